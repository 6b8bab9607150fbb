// Package audit writes what matters for security into a file of its own: one JSON
// object a line, each holding the hash of the line before, on disk before the answer.
//
// Start at [Log], which is an event.Recorder, and at [Verify], which reads such a file
// back. A changed line no longer has the hash that the next one names; a cut in the
// middle shows as a gap; a cut at either end, against the mark that the database keeps
// ([Mark]). Whoever can write both the file and the database can write another
// history: the head that [Verify] returns is small enough to be kept elsewhere.
//
// The package refuses to lose what it was told: while the file cannot be written,
// Record fails, records wait in memory, and Ready tells those who grant something to
// refuse it. It writes no token, no password and no name that a stranger typed.
package audit

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Errors a caller branches on.
var (
	// ErrUnwritten: the file cannot be written; what was told waits in memory.
	ErrUnwritten = errors.New("the audit log cannot be written")
	// ErrInUse: another process writes the file.
	ErrInUse = errors.New("another process writes this audit log")
	// ErrForeign: the file does not end in a record.
	ErrForeign = errors.New("this is not an audit log")
	// ErrClosed: the log was closed.
	ErrClosed = errors.New("the audit log is closed")
)

// Record is one line.
type Record struct {
	// Seq counts the records from 1 on, over all files of the log.
	Seq uint64 `json:"seq"`
	// Time is UTC, in milliseconds.
	Time    time.Time `json:"time"`
	Event   string    `json:"event"`
	Action  string    `json:"action,omitempty"`
	Target  string    `json:"target,omitempty"`
	Alg     string    `json:"alg,omitempty"`
	Outcome string    `json:"outcome"`
	Error   string    `json:"error,omitempty"`
	Subject string    `json:"sub,omitempty"`
	Session string    `json:"sid,omitempty"`
	Client  string    `json:"client_id,omitempty"`
	// Address is the client's, RequestID that of the X-Request-Id header.
	Address   string `json:"from,omitempty"`
	RequestID string `json:"request_id,omitempty"`
	// OperatorUID is the system's user id of who gave a command.
	OperatorUID string `json:"operator_uid,omitempty"`
	// Unrecorded is how many events before this one were too many to be written down.
	Unrecorded uint64 `json:"unrecorded,omitempty"`
	// Prev is the hash of the line before, base64url without padding.
	Prev string `json:"prev"`
}

// Hash is the SHA-256 of a line without its newline.
type Hash [sha256.Size]byte

// String is the hash as it stands in a record.
func (h Hash) String() string { return base64.RawURLEncoding.EncodeToString(h[:]) }

// MarshalText and UnmarshalText are String and back.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what String writes.
func (h *Hash) UnmarshalText(text []byte) error {
	b, err := base64.RawURLEncoding.Strict().DecodeString(string(text))
	if err != nil || len(b) != len(h) {
		return fmt.Errorf("%.60q is not the hash of a record", text)
	}
	copy(h[:], b)
	return nil
}

// Head is the last record of a log: its number and its hash. The zero Head is that of an
// empty one.
type Head struct {
	Seq  uint64 `json:"seq"`
	Hash Hash   `json:"sha256"`
}

// Mark is what a store keeps of a log: by it a cut at either end of the file shows.
type Mark struct {
	// Start is the head before the first record of the file that is written now.
	Start Head `json:"start"`
	// Head is the last record.
	Head Head `json:"head"`
}

// append writes the record as the line after head, and returns the head that it makes.
func (h Head) append(to []byte, r Record) ([]byte, Head, error) {
	r.Seq, r.Prev = h.Seq+1, h.Hash.String()
	line, err := json.Marshal(&r)
	if err != nil {
		return to, h, fmt.Errorf("encode a record: %w", err)
	}
	return append(append(to, line...), '\n'), Head{Seq: r.Seq, Hash: sha256.Sum256(line)}, nil
}
