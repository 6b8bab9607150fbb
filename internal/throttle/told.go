package throttle

import (
	"encoding/binary"
	"errors"
	"time"
)

// MaxBody is the most bytes of a Batch.
const MaxBody = 128 << 10

// told is the content of a batch. Ages are at the time when it was made.
type told struct {
	proofs  []toldProof
	charges []toldCharge
}

// toldProof is that a pair was proved. Its time is its age alone.
type toldProof struct {
	pair uint64
	provedAt
	age time.Duration
}

// toldCharge is some failures of one counter: the last age ago, the first span earlier.
type toldCharge struct {
	flightKey
	failures  uint32
	age, span time.Duration
}

// maxFailures is the most of one toldCharge that are counted.
const maxFailures = 1 << 16

// Format of a body: a version, the proofs, the charges. Keys have 8 bytes; numbers are
// varints, times are in microseconds.
const toldVersion = 1

const (
	flagClears = 1 << iota
	flagKnown
)

var errMalformed = errors.New("not a batch of this version")

func (t told) empty() bool { return len(t.proofs)+len(t.charges) == 0 }

func (t told) body() []byte {
	b := []byte{toldVersion}
	b = binary.AppendUvarint(b, uint64(len(t.proofs)))
	for _, p := range t.proofs {
		b = p.append(b)
	}
	b = binary.AppendUvarint(b, uint64(len(t.charges)))
	for _, c := range t.charges {
		b = c.append(b)
	}
	return b
}

func (p toldProof) append(b []byte) []byte {
	var flags byte
	if p.clears {
		flags |= flagClears
	}
	if p.known {
		flags |= flagKnown
	}
	b = append(b, flags)
	for _, key := range []uint64{p.pair, p.account, p.address} {
		b = binary.BigEndian.AppendUint64(b, key)
	}
	return appendTime(b, p.age)
}

func (c toldCharge) append(b []byte) []byte {
	b = append(b, byte(c.kind))
	b = binary.BigEndian.AppendUint64(b, c.key)
	b = binary.AppendUvarint(b, uint64(c.failures))
	return appendTime(appendTime(b, c.age), c.span)
}

// appendTime writes no time that parseTold refuses: clocks go back, and stand still.
func appendTime(b []byte, d time.Duration) []byte {
	return binary.AppendUvarint(b, uint64(min(max(0, d), longAgo).Microseconds()))
}

// parseTold reads a body, of which nothing is believed.
func parseTold(body []byte) (t told, err error) {
	r := reader{rest: body, ok: len(body) <= MaxBody}
	if r.byte() != toldVersion {
		return told{}, errMalformed
	}
	for range r.number(maxProofs) {
		t.proofs = append(t.proofs, r.proof())
	}
	for range r.number(maxCharges) {
		t.charges = append(t.charges, r.charge())
	}
	if !r.ok || len(r.rest) > 0 {
		return told{}, errMalformed
	}
	return t, nil
}

// reader reads from rest until something is missing or out of bounds.
type reader struct {
	rest []byte
	ok   bool
}

func (r *reader) proof() (p toldProof) {
	flags := r.byte()
	r.ok = r.ok && flags <= flagClears|flagKnown
	p.clears, p.known = flags&flagClears != 0, flags&flagKnown != 0
	p.pair, p.account, p.address = r.key(), r.key(), r.key()
	p.age = r.time()
	return p
}

func (r *reader) charge() (c toldCharge) {
	c.kind = kind(r.byte())
	r.ok = r.ok && c.kind < kinds
	c.key = r.key()
	c.failures = uint32(r.number(maxFailures))
	c.age, c.span = r.time(), r.time()
	return c
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) key() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) take(n int) []byte {
	if r.ok = r.ok && len(r.rest) >= n; !r.ok {
		return nil
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

// number reads one up to most; 0 if it is not.
func (r *reader) number(most uint64) uint64 {
	v, n := binary.Uvarint(r.rest)
	if r.ok = r.ok && n > 0 && v <= most; !r.ok {
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// longAgo is more than any time that is told.
const longAgo = 365 * 24 * time.Hour

func (r *reader) time() time.Duration {
	return time.Duration(r.number(uint64(longAgo.Microseconds()))) * time.Microsecond
}
