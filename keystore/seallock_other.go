//go:build !unix

package keystore

import "os"

// Where files have no such lock, the data directory is one server's alone.
func lockFile(*os.File) error { return nil }
