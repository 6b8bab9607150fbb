package users

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"sync"
	"time"

	"signet/users/passhash"
)

// decoys are the hashes that stand in where there is no account, so that a login
// takes the time that one of an account would.
//
// Accounts that were brought along keep their old hash until their first login, and
// an old hash takes another time than a new one. An unknown name therefore gets the
// kind of hash that a share of the accounts has, by a keyed hash of the name: always
// the same for one name, and over many names as often as among the accounts. Whoever
// lacks the key cannot tell such a name from an account by the time of its refusal.
type decoys struct {
	key []byte

	mu      sync.Mutex
	counted time.Time
	kinds   []kindShare
	hashes  map[string]*passhash.Hash
}

// kindShare is a kind and how many accounts have it.
type kindShare struct {
	kind  string
	count int
}

// countKinds is how often the kinds are counted at most.
const countKinds = 10 * time.Second

func newDecoys(key []byte) *decoys {
	if len(key) == 0 {
		key = make([]byte, 32)
		rand.Read(key)
	}
	return &decoys{key: key, hashes: map[string]*passhash.Hash{}}
}

// decoy is the hash that stands in for name; fallback is its kind where no account
// has a password.
func (d *Directory) decoy(ctx context.Context, name, fallback string) (*passhash.Hash, error) {
	c := d.decoys
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := d.now(); c.counted.IsZero() || now.Sub(c.counted).Abs() > countKinds {
		counts, err := d.store.HashKinds(ctx)
		if err != nil {
			return nil, err
		}
		c.kinds, c.counted = shares(counts), now
	}
	return c.hash(cmp.Or(c.choose(name), fallback))
}

// shares are the kinds in the order of their names.
func shares(counts map[string]int) []kindShare {
	var list []kindShare
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		if kind != "" && counts[kind] > 0 {
			list = append(list, kindShare{kind, counts[kind]})
		}
	}
	return list
}

// choose picks a kind with the probability of its share.
func (c *decoys) choose(name string) string {
	total := 0
	for _, k := range c.kinds {
		total += k.count
	}
	mac := hmac.New(sha256.New, c.key)
	mac.Write([]byte(name))
	place, _ := bits.Mul64(binary.BigEndian.Uint64(mac.Sum(nil)), uint64(total))
	for _, k := range c.kinds {
		if place < uint64(k.count) {
			return k.kind
		}
		place -= uint64(k.count)
	}
	return ""
}

// hash makes one decoy for each kind.
func (c *decoys) hash(kind string) (*passhash.Hash, error) {
	if h, ok := c.hashes[kind]; ok {
		return h, nil
	}
	h, err := passhash.Decoy(kind)
	if err != nil {
		return nil, fmt.Errorf("decoy: %w", err)
	}
	c.hashes[kind] = h
	return h, nil
}
