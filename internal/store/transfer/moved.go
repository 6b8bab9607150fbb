package transfer

import (
	"context"
	"fmt"
	"time"
)

// Moved is what a store says of itself, in JSON, when it has been copied: servers are at
// work on the copy. Two issuers of one history would both rotate its refresh tokens, and
// each end the sessions that the other has refreshed.
type Moved struct {
	// To names the copy, without a password.
	To string    `json:"to"`
	At time.Time `json:"at"`
}

// Source is a store that is copied, and that no server opens afterwards.
type Source interface {
	Reader
	// Moved returns what the last Leave stored; nil if there was none, or Return since.
	Moved(ctx context.Context) (*Moved, error)
	// Leave closes the store to whoever does not ask for one that was moved.
	Leave(ctx context.Context, m Moved) error
	// Return opens it again.
	Return(ctx context.Context) error
}

// MovedError is of a store that has been copied, and that is not to be used.
type MovedError struct {
	Database string
	Moved
}

func (e *MovedError) Error() string {
	return fmt.Sprintf("%s was copied to %s by signet migrate on %s, and is closed: two issuers of one history would end each other's sessions",
		e.Database, e.To, e.At.UTC().Format("2006-01-02 15:04 MST"))
}
