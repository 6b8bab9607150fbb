package issuer

import (
	"crypto/sha256"
	"encoding/binary"
	"sync"
)

// ownSlots is how many refresh tokens are remembered at most, in 4 MiB.
const ownSlots = 1 << 17

// ownTokens remembers refresh tokens by the hash of their exact text: what this process
// has signed it need not verify, which costs twice as much as to sign. It says nothing of
// the key, the claims or the session, which are checked as ever. Memory is constant: a
// token takes the place of another, which goes the long way then, as do all from before
// a restart.
type ownTokens struct {
	mu    sync.Mutex
	slots [][sha256.Size]byte // nil before the first token
}

func (o *ownTokens) remember(text string) {
	sum := sha256.Sum256([]byte(text))
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.slots == nil {
		o.slots = make([][sha256.Size]byte, ownSlots)
	}
	*o.slot(&sum) = sum
}

// made tells whether this process has made the token, to the letter. No is not an
// answer: it may have been forgotten.
func (o *ownTokens) made(text string) bool {
	sum := sha256.Sum256([]byte(text))
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.slots != nil && *o.slot(&sum) == sum
}

func (o *ownTokens) slot(sum *[sha256.Size]byte) *[sha256.Size]byte {
	return &o.slots[binary.LittleEndian.Uint32(sum[:])%ownSlots]
}
