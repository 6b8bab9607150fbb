package boltstore

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"

	"signet/internal/store/record"
	"signet/issuer"
)

// A session is stored as a head of fixed length, with all that a refresh changes but the
// key, and a CBOR map of the rest. A refresh does not make it longer, so that full pages
// stay whole, and a sweep reads its times without decoding it. Before schema 3 it was a
// CBOR map alone, as sessionRecord reads it; such a record becomes a new one at its next
// refresh.

// headLayout begins a head. No CBOR map does.
const headLayout = 1

// Where the fields of a head are: four instants in milliseconds, the count of refreshes,
// two identifiers of 16 bytes.
const (
	atCreated    = 1
	atRotated    = atCreated + 8
	atExpires    = atRotated + 8
	atEnds       = atExpires + 8
	atGeneration = atEnds + 8
	atCurrent    = atGeneration + 8
	atPrevious   = atCurrent + packedLength
	headLength   = atPrevious + packedLength

	packedLength = 16
)

// sessionRecord is the map. In one that follows a head, fields 3 to 7 are missing, and
// 8 and 9 are there only for what does not fit the head.
type sessionRecord struct {
	Subject    []byte `cbor:"1,keyasint"`
	Client     string `cbor:"2,keyasint,omitempty"`
	Created    int64  `cbor:"3,keyasint,omitempty"`
	Rotated    int64  `cbor:"4,keyasint,omitempty"`
	Expires    int64  `cbor:"5,keyasint,omitempty"`
	Ends       int64  `cbor:"6,keyasint,omitempty"`
	Generation uint64 `cbor:"7,keyasint,omitempty"`
	Current    []byte `cbor:"8,keyasint,omitempty"`
	Previous   []byte `cbor:"9,keyasint,omitempty"`
	KID        string `cbor:"10,keyasint,omitempty"`
	Epoch      uint64 `cbor:"11,keyasint,omitempty"`
	// Thumbprint is a KID that is one (RFC 7638), without its base64.
	Thumbprint []byte `cbor:"12,keyasint,omitempty"`
}

func encodeSession(s issuer.Session) ([]byte, error) {
	head := make([]byte, headLength)
	head[0] = headLayout
	putInstant(head[atCreated:], s.Created)
	putInstant(head[atRotated:], s.Rotated)
	putInstant(head[atExpires:], s.Expires)
	putInstant(head[atEnds:], s.Ends)
	binary.BigEndian.PutUint64(head[atGeneration:], s.Generation)
	r := sessionRecord{
		Subject: record.PackID(s.Subject), Client: s.Client, Epoch: s.Epoch,
		Current: putID(head[atCurrent:], s.Current), Previous: putID(head[atPrevious:], s.Previous),
	}
	if r.Thumbprint = record.Thumbprint(s.KID); r.Thumbprint == nil {
		r.KID = s.KID
	}
	rest, err := cbor.Marshal(r)
	return append(head, rest...), err
}

func decodeSession(id string, b []byte) (issuer.Session, error) {
	s, rest, err := decodeHead(id, b)
	if err != nil {
		return issuer.Session{}, err
	}
	var r sessionRecord
	if err := record.Decode(rest, &r); err != nil {
		return issuer.Session{}, err
	}
	if len(rest) == len(b) { // no head
		s.Created, s.Rotated = record.Instant(r.Created), record.Instant(r.Rotated)
		s.Expires, s.Ends, s.Generation = record.Instant(r.Expires), record.Instant(r.Ends), r.Generation
	}
	s.Subject, s.Client, s.KID, s.Epoch = record.UnpackID(r.Subject), r.Client, r.KID, r.Epoch
	if r.Current != nil {
		s.Current = record.UnpackID(r.Current)
	}
	if r.Previous != nil {
		s.Previous = record.UnpackID(r.Previous)
	}
	if r.Thumbprint != nil {
		s.KID = base64.RawURLEncoding.EncodeToString(r.Thumbprint)
	}
	return s, nil
}

// decodeHead returns what the head says of a session, and what follows it: all of an
// older record, which has none.
func decodeHead(id string, b []byte) (s issuer.Session, rest []byte, err error) {
	s.ID = id
	if len(b) == 0 || b[0] != headLayout {
		return s, b, nil
	}
	if len(b) < headLength {
		return s, nil, fmt.Errorf("%w: a record is too short: restore a backup", ErrStorage)
	}
	s.Created, s.Rotated = instantAt(b[atCreated:]), instantAt(b[atRotated:])
	s.Expires, s.Ends = instantAt(b[atExpires:]), instantAt(b[atEnds:])
	s.Generation = binary.BigEndian.Uint64(b[atGeneration:])
	s.Current, s.Previous = idAt(b[atCurrent:]), idAt(b[atPrevious:])
	return s, b[headLength:], nil
}

// matches reports whether a stored session is one that the sweep ends. Where its times
// decide, and it has a head, nothing is decoded and nothing allocated: a sweep looks at
// every session.
func matches(sweep issuer.Sweep, id, b []byte) (bool, error) {
	if sweep.KID == "" && len(b) >= headLength && b[0] == headLayout {
		return sweep.Matches(issuer.Session{Expires: instantAt(b[atExpires:]), Ends: instantAt(b[atEnds:])}), nil
	}
	session, err := decodeSession(string(id), b)
	return err == nil && sweep.Matches(session), err
}

func putInstant(b []byte, t time.Time) { binary.BigEndian.PutUint64(b, uint64(t.UnixMilli())) }

func instantAt(b []byte) time.Time { return record.Instant(int64(binary.BigEndian.Uint64(b))) }

// putID writes an identifier into the head, or returns it packed if it does not fit
// there. Zeros in the head are none.
func putID(b []byte, s string) (packed []byte) {
	packed = record.PackID(s)
	if digits := record.Packed(packed); digits != nil && [packedLength]byte(digits) != [packedLength]byte{} {
		copy(b, digits)
		return nil
	}
	return packed
}

func idAt(b []byte) string {
	if b = b[:packedLength]; [packedLength]byte(b) == [packedLength]byte{} {
		return ""
	}
	return hex.EncodeToString(b)
}
