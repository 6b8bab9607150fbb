package boltstore

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// hasRoom returns ENOSPC if the disk of the file is full but for less than roomToWrite.
func hasRoom(f *os.File) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return err
	}
	if left := st.Bavail * uint64(st.Bsize); left < roomToWrite {
		return fmt.Errorf("%w: %d bytes are left", unix.ENOSPC, left)
	}
	return nil
}
