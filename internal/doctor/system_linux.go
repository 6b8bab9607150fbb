package doctor

import (
	"fmt"
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

func owner(info fs.FileInfo) (uid int, known bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}

func roomAt(dir string) (room, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return room{}, fmt.Errorf("the disk of %s cannot be asked: %w", dir, err)
	}
	unit := uint64(st.Bsize)
	return room{bytes: st.Blocks * unit, free: st.Bavail * unit, inodes: st.Files, freeInodes: st.Ffree}, nil
}
