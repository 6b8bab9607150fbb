//go:build !linux

package hashpool

import "os"

func executable() (string, error) { return os.Executable() }

// lowered starts a process as it is.
func lowered(start func() error) error { return start() }

// Rename does nothing: the process is called as its file is.
func Rename() {}
