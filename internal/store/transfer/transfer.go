// Package transfer copies all that one store holds into another one, an empty one, as it
// is: accounts with their IDs and hashes, sessions, clients, used assertions, the ring of
// keys with its Version. Nobody is logged out by it.
//
// Start at Copy. A store is read as a [Reader] and filled as a [Target], a page at a time;
// boltstore and pgstore are both. What is read is compared at the end with what was
// written, and with what is then in the source, by count and by [Digest] of every record.
//
// The package refuses to fill a store that holds anything else, and what it fills is no
// database for a server before it is whole: a [Target] says so to whoever opens it. A
// copy that was interrupted goes on where it ended.
package transfer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"signet/internal/audit"
	"signet/issuer"
	"signet/issuer/oauth"
	"signet/keystore"
	"signet/users"
)

// Kind is one of the kinds of records.
type Kind string

// Kinds are all there are, in the order in which they are copied.
const (
	Users      Kind = "users"
	Sessions   Kind = "sessions"
	Clients    Kind = "clients"
	Assertions Kind = "assertions"
	// Rest is the one record of all that there is once.
	Rest Kind = "keys and marks"
)

// Kinds returns every kind, in the order in which they are copied.
func Kinds() []Kind { return []Kind{Users, Sessions, Clients, Assertions, Rest} }

// Page is some records of one kind: one of the fields is set.
type Page struct {
	Users      []users.User
	Sessions   []issuer.Session
	Clients    []oauth.Client
	Assertions []Assertion
	Rest       *Single
}

// Assertion is a client assertion that was used, by a hash: see Hash.
type Assertion struct {
	// Expires is to the millisecond.
	Expires time.Time
	// Hash is of the client and the jti.
	Hash [16]byte
}

// Single is what a store holds once.
type Single struct {
	Ring      keystore.Ring
	DecoyKey  []byte
	AuditMark audit.Mark
	// OtherMarks are those of other replicas, in the order of their names. A store for one
	// process has none, and takes none.
	OtherMarks []ReplicaMark
	// HashKinds are counts that a target makes by itself of the users.
	HashKinds map[string]int
}

// ReplicaMark is the mark of a replica's audit log.
type ReplicaMark struct {
	Replica string
	Mark    audit.Mark
}

// Reader reads a store that nobody changes meanwhile.
type Reader interface {
	// Count says how many records of a kind there are.
	Count(ctx context.Context, kind Kind) (int, error)
	// Page returns up to limit records of a kind whose place is after the given one, in
	// the order of places. Fewer than limit means that there are no more.
	Page(ctx context.Context, kind Kind, after string, limit int) (Page, error)
}

// Place is how far a copy came: all records of the kinds before, and of this one those up
// to After. The zero Place is nowhere.
type Place struct {
	Kind  Kind   `json:"kind,omitempty"`
	After string `json:"after,omitempty"`
}

// Mark is what a store that is being filled says of itself, in JSON: from what, and how
// far that has come.
type Mark struct {
	From string `json:"from"`
	Place
}

// Target is a store that is being filled, and that no server opens.
type Target interface {
	Reader
	// Place returns what the last Put stored.
	Place(ctx context.Context) (Place, error)
	// Put stores records, which the target does not have, and the place, in one step.
	Put(ctx context.Context, page Page, at Place) error
	// Finish makes it a database for servers.
	Finish(ctx context.Context) error
}

// FillingError is of a store that a copy fills, or has begun to.
type FillingError struct {
	// Database is the store, and From what fills it.
	Database, From string
}

func (e *FillingError) Error() string {
	return fmt.Sprintf("%s is not whole: signet migrate fills it from %s, or was interrupted", e.Database, e.From)
}

// ErrDiffers: the target does not hold what the source does, or no longer does.
var ErrDiffers = errors.New("the copy differs")

// Counted is what a copy holds of a kind.
type Counted struct {
	Kind   Kind   `json:"kind"`
	Count  int    `json:"count"`
	Digest string `json:"digest"`
}

// pageSize is how many records are read, and written in one step; tests take a smaller one.
var pageSize = 10_000

// Progress hears how many records of a kind are done, and how many there are. checking
// says that they were written before and are being compared.
type Progress func(kind Kind, checking bool, done, all int)

// Copy fills the target, compares it with what was read of the source and that with the
// source once more, and finishes it. It goes on where
// an earlier Copy of the same source ended.
func Copy(ctx context.Context, from Reader, to Target, tell Progress) ([]Counted, error) {
	at, err := to.Place(ctx)
	if err != nil {
		return nil, err
	}
	c := &copying{from: from, to: to, at: at, tell: tell}
	var read []Counted
	for _, kind := range Kinds() {
		counted, err := c.kind(ctx, kind)
		if err != nil {
			return nil, err
		}
		read = append(read, counted)
	}
	if err := compareAll(ctx, to, "the copy", read, tell); err != nil {
		return nil, err
	}
	closer, _ := to.(Closer)
	if closer != nil {
		if err := closer.CloseSource(ctx); err != nil {
			return nil, err
		}
	}
	// What came into the source behind the place of the copy shows nowhere else.
	if err := compareAll(ctx, from, "the source afterwards", read, tell); err != nil {
		if closer != nil {
			err = errors.Join(err, closer.ReopenSource(context.WithoutCancel(ctx)))
		}
		return nil, err
	}
	return read, to.Finish(ctx)
}

// Closer is a Target that can close its source to others, so that nothing comes into it
// after it was read for the last time, and open it again.
type Closer interface {
	CloseSource(ctx context.Context) error
	ReopenSource(ctx context.Context) error
}

// copying is one run of Copy.
type copying struct {
	from Reader
	to   Target
	at   Place // where the run before ended
	tell Progress
}

// kind copies the records of one kind, but for those that the target has already.
func (c *copying) kind(ctx context.Context, kind Kind) (Counted, error) {
	skip := func(string) bool { return false }
	switch {
	case c.at.Kind == kind:
		skip = func(place string) bool { return place <= c.at.After }
	case before(kind, c.at.Kind):
		skip = func(string) bool { return true }
	}
	return walk(ctx, c.from, kind, func(done, all int) { c.tell(kind, false, done, all) }, func(page Page) error {
		fresh := page.without(skip)
		if fresh.len() == 0 {
			return nil
		}
		return c.to.Put(ctx, fresh, Place{Kind: kind, After: fresh.last()})
	})
}

// before reports whether a kind is copied before another; none comes before no kind.
func before(kind, other Kind) bool {
	for _, k := range Kinds() {
		if k == other {
			return false
		}
		if k == kind {
			return other != ""
		}
	}
	return false
}

// walk takes every page of a kind to each, and counts.
func walk(ctx context.Context, from Reader, kind Kind, tell func(done, all int), each func(Page) error) (Counted, error) {
	all, err := from.Count(ctx, kind)
	if err != nil {
		return Counted{}, err
	}
	var digest Digest
	for after := ""; ; {
		tell(digest.Count(), all)
		page, err := from.Page(ctx, kind, after, pageSize)
		if err != nil {
			return Counted{}, err
		}
		if page.len() == 0 {
			break
		}
		if err := errors.Join(digest.add(kind, page), each(page)); err != nil {
			return Counted{}, err
		}
		after = page.last()
	}
	return Counted{Kind: kind, Count: digest.Count(), Digest: digest.String()}, nil
}

func compareAll(ctx context.Context, in Reader, name string, want []Counted, tell Progress) error {
	for _, w := range want {
		if err := compare(ctx, in, name, w, tell); err != nil {
			return err
		}
	}
	return nil
}

func compare(ctx context.Context, in Reader, name string, want Counted, tell Progress) error {
	got, err := walk(ctx, in, want.Kind, func(done, all int) { tell(want.Kind, true, done, all) }, func(Page) error { return nil })
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%w: %s: %d with the digest %.16s… were read, and %d with %.16s… were found in %s",
			ErrDiffers, want.Kind, want.Count, want.Digest, got.Count, got.Digest, name)
	}
	return nil
}
