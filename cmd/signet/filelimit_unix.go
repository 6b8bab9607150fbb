//go:build unix

package main

import "syscall"

// openFiles is how many files this process may have open: Go has raised the soft limit
// to the hard one.
func openFiles() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	return uint64(limit.Cur)
}
