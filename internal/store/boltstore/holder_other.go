//go:build !linux

package boltstore

// holder cannot be found out here.
func holder(string) string { return "" }
