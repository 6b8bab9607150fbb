package transfer

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/bits"

	"github.com/fxamacker/cbor/v2"
)

// Digest stands for a set of records of one kind, in whatever order they were added: the
// sum of their SHA-256, modulo 2^256. It shows what a fault changes; somebody who chooses
// records could make two sets with one sum.
type Digest struct {
	sum   [4]uint64
	count int
}

// canonical writes equal records as equal bytes (RFC 8949 §4.2.1), all of their fields
// with their names; an empty list is as good as none.
var canonical = func() cbor.EncMode {
	opts := cbor.CoreDetEncOptions()
	opts.NilContainers = cbor.NilContainerAsEmpty
	opts.Time = cbor.TimeRFC3339NanoUTC
	mode, err := opts.EncMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

// Count is how many records were added.
func (d *Digest) Count() int { return d.count }

// String is the digest in hexadecimal.
func (d *Digest) String() string {
	var out []byte
	for _, word := range d.sum {
		out = binary.BigEndian.AppendUint64(out, word)
	}
	return hex.EncodeToString(out)
}

// Add adds a record: any value with exported fields.
func (d *Digest) Add(kind Kind, record any) error {
	text, err := canonical.Marshal(record)
	if err != nil {
		return err
	}
	hash := sha256.Sum256(append([]byte(kind+"\x00"), text...))
	carry := uint64(0)
	for i := len(d.sum) - 1; i >= 0; i-- {
		d.sum[i], carry = bits.Add64(d.sum[i], binary.BigEndian.Uint64(hash[8*i:]), carry)
	}
	d.count++
	return nil
}

func (d *Digest) add(kind Kind, p Page) error {
	for _, add := range []func() error{
		func() error { return addAll(d, kind, p.Users) },
		func() error { return addAll(d, kind, p.Sessions) },
		func() error { return addAll(d, kind, p.Clients) },
		func() error { return addAll(d, kind, p.Assertions) },
		func() error { return addAll(d, kind, p.singles()) },
	} {
		if err := add(); err != nil {
			return err
		}
	}
	return nil
}

func addAll[T any](d *Digest, kind Kind, records []T) error {
	for _, r := range records {
		if err := d.Add(kind, r); err != nil {
			return err
		}
	}
	return nil
}
