// Package control is what an operator does, whether or not a server runs.
//
// An [Operator] has the operations; each is an [Op] of the table in ops.go. A
// running server owns the database and answers operations on a unix socket
// ([Server]); without one a command opens the database and calls the same
// Operator itself. A command sees only a [Door] and cannot tell the two apart.
//
// The package refuses callers on the socket that are not of the server's own
// user, and it hands out no password and no private key; a client's secret once, when
// it is made; and the hashes of passwords for an export ([ExportUsers]) alone, which
// moves accounts elsewhere with the passwords they have.
package control

import (
	"cmp"
	"context"
	"time"

	"signet/internal/audit"
	"signet/internal/peers"
	"signet/issuer"
	"signet/issuer/oauth"
	"signet/keystore"
	"signet/users"
)

// Operator does what operators ask, on the domains of one issuer.
type Operator struct {
	Users   *users.Directory
	Keys    *keystore.Manager
	Issuer  *issuer.Issuer
	Clients *oauth.Clients
	// Database is what Backup copies; nil is none.
	Database Database
	// Live is what only a running server knows; nil where none runs.
	Live *Live
	// Others is what servers elsewhere told the database, for a command that opens it
	// without a Live; nil where no other server has it.
	Others interface {
		Others(ctx context.Context) (peers.Others, error)
	}
	// Serve is the command that starts the server, where there is no Live.
	Serve string
	// Audit is where changes are recorded; nil records none.
	Audit *audit.Log
	// Build is the version of the program.
	Build string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

func (o *Operator) now() time.Time {
	if o.Now == nil {
		return time.Now()
	}
	return o.Now()
}

// What a command is about, for the log: never a password.
func (e SessionEnd) target() string { return cmp.Or(e.ID, e.User, "all") }

// Page asks for a part of a list: what comes after the given place.
type Page struct {
	After string `json:"after,omitempty"`
	Limit int    `json:"limit,omitempty"`
}

// maxPage bounds a page; 0 asks for it.
const maxPage = 1000

func (p Page) limit() int {
	if p.Limit <= 0 || p.Limit > maxPage {
		return maxPage
	}
	return p.Limit
}
