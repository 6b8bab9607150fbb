//go:build unix

package audit

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// noFollow keeps a link that somebody put there from leading the writes elsewhere.
const noFollow = syscall.O_NOFOLLOW

// lock keeps other processes away until the file is closed.
func lock(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }

// linked reports whether a directory still has the file.
func linked(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return !ok || stat.Nlink > 0
}
