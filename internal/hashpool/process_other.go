//go:build !linux

package hashpool

import (
	"io"
	"os"
)

func executable() (string, error) { return os.Executable() }

// lowered starts a process as it is.
func lowered(start func() error) error { return start() }

// Rename does nothing: the process is called as its file is.
func Rename() {}

func polled(in io.Reader) io.Reader { return in }

func preferHugePages() {}
