package verify

import (
	"container/list"
	"crypto/sha256"
	"sync"
)

// maxCachedBytes bounds a token that is remembered, so that the cache is bounded in
// bytes as well as in tokens. It is the largest that fits a cookie.
const maxCachedBytes = 4096

// shards keep callers from waiting for each other's lock.
const shards = 16

// identity is the hash of a token's exact text: another text of the same token is
// another entry, and has to verify on its own.
type identity [sha256.Size]byte

// identify copies what may be remembered to the stack only.
func identify(text string) identity {
	var buffer [maxCachedBytes]byte
	if len(text) > len(buffer) {
		return sha256.Sum256([]byte(text))
	}
	return sha256.Sum256(buffer[:copy(buffer[:], text)])
}

// cache remembers the claims of verified tokens, the least recently used of them
// least. It decides nothing: the caller holds every entry against the clock and
// the keys before it believes it.
type cache struct {
	shards [shards]shard
}

type shard struct {
	mu      sync.Mutex
	limit   int
	entries map[identity]*list.Element
	recent  list.List // of *remembered, the most recent first
}

type remembered struct {
	id     identity
	claims *Claims
}

func newCache(size int) *cache {
	if size < 0 {
		return nil
	}
	if size == 0 {
		size = DefaultCacheSize
	}
	c := new(cache)
	for i := range c.shards {
		c.shards[i].limit = (size + i) / shards
		c.shards[i].entries = make(map[identity]*list.Element)
	}
	return c
}

func (c *cache) shard(id identity) *shard { return &c.shards[id[0]%shards] }

// get returns claims that the caller must not change, or nil.
func (c *cache) get(id identity) *Claims {
	s := c.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	element := s.entries[id]
	if element == nil {
		return nil
	}
	s.recent.MoveToFront(element)
	return element.Value.(*remembered).claims
}

// add remembers claims in the place of what was there.
func (c *cache) add(id identity, claims *Claims) {
	s := c.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if element := s.entries[id]; element != nil {
		element.Value.(*remembered).claims = claims
		s.recent.MoveToFront(element)
		return
	}
	s.entries[id] = s.recent.PushFront(&remembered{id, claims})
	if s.recent.Len() > s.limit {
		s.drop(s.recent.Back())
	}
}

// remove forgets a token.
func (c *cache) remove(id identity) {
	s := c.shard(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if element := s.entries[id]; element != nil {
		s.drop(element)
	}
}

func (s *shard) drop(element *list.Element) {
	delete(s.entries, element.Value.(*remembered).id)
	s.recent.Remove(element)
}
