// Package store holds what the databases of Signet have in common: the errors that
// callers branch on. boltstore keeps everything in one file, pgstore in PostgreSQL;
// storetest says what both mean.
package store

import "errors"

var (
	// ErrStorage: the storage failed. Whether a change was made is unknown.
	ErrStorage = errors.New("the database failed")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("the database is closed")
)
