// Package consumers remembers who fetched the key set, which version of it last, and when.
//
// Start at [Table.Note], which is on the path of every request for the key set: it
// takes one short lock, reads no disk, and allocates only for a consumer that is new.
//
// Nothing here is proved. A name, a User-Agent, and behind an untrusted proxy an address
// are what the sender says, so the table helps an operator to see and must permit
// nothing. Storage is bounded whatever is sent (table.go), and a flood of forged
// consumers does not push out those that come back: after an hour a consumer keeps
// its place. The table ends with the process.
package consumers

import (
	"cmp"
	"hash/maphash"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"
)

// Fetch is one request that left its sender with a version of the key set.
type Fetch struct {
	// Name is what the consumer calls itself, or empty; see NameIn.
	Name string
	// Address is the client's; the zero Addr if it is unknown.
	Address   netip.Addr
	UserAgent string
	// ETag and KIDs are the version. KIDs is kept, and must not change.
	ETag string
	KIDs []string
	At   time.Time
}

// Consumer is one that was seen: by its name, or else by address and User-Agent.
type Consumer struct {
	Name string
	// Address is where the last fetch came from.
	Address   netip.Addr
	UserAgent string // printable, and cut to 200 bytes
	First     time.Time
	Last      time.Time
	// ETag and KIDs are the version that was fetched last.
	ETag string
	KIDs []string
	// Regular consumers came back after an hour or more; the others may be forgotten
	// for whoever comes next.
	Regular bool
}

// Table holds the consumers: safe for concurrent use.
type Table struct {
	seed      maphash.Seed
	forgotten atomic.Uint64
	sets      [sets]set
}

// New returns a table that has seen nobody.
func New() *Table { return &Table{seed: maphash.MakeSeed()} }

// identity has no pointers: hashing it allocates nothing.
type identity struct {
	name    string
	address [16]byte
	agent   string
}

// Note records a fetch. A name counts alone: a service that has several addresses is
// one consumer.
func (t *Table) Note(f Fetch) {
	id := identity{name: f.Name}
	if f.Name == "" {
		id = identity{address: f.Address.As16(), agent: f.UserAgent[:min(len(f.UserAgent), maxAgent)]}
	}
	key := maphash.Comparable(t.seed, id)
	if !t.sets[key%sets].note(key, &f) {
		t.forgotten.Add(1)
	}
}

// Forgotten is how many consumers had to make room, or found none: more than zero
// says that the list is not complete.
func (t *Table) Forgotten() uint64 { return t.forgotten.Load() }

// List returns the consumers: those with a name first, by name, then by address and
// User-Agent. It is not one instant of the table.
func (t *Table) List() []Consumer {
	var all []Consumer
	for i := range t.sets {
		all = t.sets[i].list(all)
	}
	sorted(all)
	return all
}

func sorted(all []Consumer) {
	slices.SortFunc(all, func(a, b Consumer) int {
		return cmp.Or(byName(a, b), a.Address.Compare(b.Address), cmp.Compare(a.UserAgent, b.UserAgent))
	})
}

func byName(a, b Consumer) int {
	if (a.Name == "") != (b.Name == "") {
		return cmp.Compare(len(b.Name), len(a.Name))
	}
	return cmp.Compare(a.Name, b.Name)
}

// maxAgent is how much of a User-Agent counts, in bytes; real ones are shorter.
const maxAgent = 200

// Shown is text that can be shown at a terminal, in a table: no control character, none
// that turns the direction of text. U+FFFD stands in their place.
func Shown(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, text)
}

// printable is as much of a User-Agent as counts, as it can be shown.
func printable(text string) string {
	text = Shown(text[:min(len(text), maxAgent)])
	for len(text) > maxAgent { // a replacement is longer than what it replaces
		_, size := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-size]
	}
	return strings.Clone(text)
}
