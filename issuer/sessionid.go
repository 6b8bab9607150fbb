package issuer

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// newSessionID names a session that begins now: 48 bits of milliseconds since 1970, as in
// a UUID of version 7 (RFC 9562 §5.7), and 80 random bits. So sessions that began together
// lie together in a store, and those in use on few of its pages. An ID is no credential:
// it is a claim that every service reads, and nothing is granted to who knows it. That is
// why 80 bits are enough to keep two from being the same, and a forged one from meeting
// any. Signet once named sessions by 128 random bits; those IDs stay good.
func newSessionID(now time.Time) string {
	var b [16]byte
	rand.Read(b[:])
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(min(max(0, now.UnixMilli()), 1<<48-1)))
	copy(b[:6], ms[2:])
	return hex.EncodeToString(b[:])
}
