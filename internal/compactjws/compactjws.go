// Package compactjws reads the compact serialisation of a JWS (RFC 7515 §7.1)
// as strictly as an issuer of its own tokens can afford to.
//
// Start at [Parse]. It refuses whatever Signet never writes: padding, stray
// bits, characters outside of base64url, JSON serialisation, duplicate members,
// text that is not UTF-8, and every header parameter but alg, kid and typ.
// A header thus cannot bring a key (jwk), send anyone to fetch one (jku, x5u),
// or ask for an extension that is not understood (crit): RFC 8725 §3.10. What it
// returns is not to be believed before [Signed] has said that the key signed it.
package compactjws

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Errors that Parse wraps.
var (
	// ErrTooLong: the text is longer than the caller allows.
	ErrTooLong = errors.New("token is too long")
	// ErrMalformed: not three base64url parts, or not JSON where it must be.
	ErrMalformed = errors.New("not a compact JWS")
	// ErrHeader: a header parameter that is not allowed.
	ErrHeader = errors.New("header parameter not allowed")
	// ErrDuplicate: a JSON object names a member twice (RFC 7515 §4, RFC 7519 §4).
	ErrDuplicate = errors.New("duplicate member")
)

// MaxBytes is a limit for Parse that no token of a sane issuer reaches.
const MaxBytes = 64 << 10

// MaxNumericDate bounds the instants of a token, in seconds since 1970 (RFC 7519 §2):
// the end of the year 9999, where RFC 3339 ends too.
const MaxNumericDate = 253402300799

// Header is the protected header of a token.
type Header struct {
	Alg string `json:"alg"`
	KID string `json:"kid,omitempty"`
	Typ string `json:"typ,omitempty"`
}

// Token is a parsed and not yet verified JWS.
type Token struct {
	Header Header
	// Payload and Signature are decoded.
	Payload, Signature []byte
	// SigningInput is what the signature covers (RFC 7515 §5.1 step 5).
	SigningInput []byte
}

// encoding refuses padding and non-zero trailing bits: one token has one text.
var encoding = base64.RawURLEncoding.Strict()

// Parse splits and decodes text, which may be at most limit bytes long. The
// length is looked at before anything else: no work grows with a stranger's
// megabyte (CVE-2025-30204).
func Parse(text string, limit int) (*Token, error) {
	if len(text) > limit {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLong, len(text), limit)
	}
	header, rest, ok := strings.Cut(text, ".")
	payload, signature, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || strings.IndexByte(signature, '.') >= 0 {
		return nil, fmt.Errorf("%w: it must have three parts", ErrMalformed)
	}
	t := &Token{SigningInput: []byte(text[:len(header)+1+len(payload)])}
	var err error
	if t.Header, err = parseHeader(header); err != nil {
		return nil, err
	}
	if t.Payload, err = decode("payload", payload); err != nil {
		return nil, err
	}
	if t.Signature, err = decode("signature", signature); err != nil {
		return nil, err
	}
	return t, nil
}

func parseHeader(part string) (Header, error) {
	raw, err := decode("header", part)
	if err != nil {
		return Header{}, err
	}
	members, err := ReadMembers(raw)
	if err != nil {
		return Header{}, fmt.Errorf("header: %w", err)
	}
	var h Header
	for _, m := range members {
		var into *string
		switch m.Name {
		case "alg":
			into = &h.Alg
		case "kid":
			into = &h.KID
		case "typ":
			into = &h.Typ
		default:
			return Header{}, fmt.Errorf("%w: %.20q", ErrHeader, m.Name)
		}
		if m.Value[0] != '"' || Text(m.Value, into) != nil {
			return Header{}, fmt.Errorf("%w: %s is not a string", ErrMalformed, m.Name)
		}
	}
	return h, nil
}

// decode also refuses line breaks, which encoding/base64 skips.
func decode(what, part string) ([]byte, error) {
	if strings.ContainsAny(part, "\r\n") {
		return nil, fmt.Errorf("%w: line break in the %s", ErrMalformed, what)
	}
	b, err := encoding.DecodeString(part)
	if err != nil {
		return nil, fmt.Errorf("%w: the %s is not base64url", ErrMalformed, what)
	}
	return b, nil
}

// Prefix returns the encoded header and the dot behind it: the part of a token
// that is the same for all tokens of one key and type.
func (h Header) Prefix() []byte {
	raw, err := json.Marshal(h)
	if err != nil {
		panic(err) // three strings always marshal
	}
	return append(encoding.AppendEncode(nil, raw), '.')
}

// SigningInput appends the encoded payload to a Prefix, in a buffer with room
// for a signature of size bytes.
func SigningInput(prefix, payload []byte, size int) []byte {
	out := make([]byte, 0, len(prefix)+encoding.EncodedLen(len(payload))+1+encoding.EncodedLen(size))
	return encoding.AppendEncode(append(out, prefix...), payload)
}

// Seal appends the signature and returns the token's text.
func Seal(signingInput, signature []byte) string {
	return string(encoding.AppendEncode(append(signingInput, '.'), signature))
}
