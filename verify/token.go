package verify

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"signet/internal/compactjws"
)

// token is a compact JWS (RFC 7515 §7.1) that was read and not yet verified.
//
// internal/compactjws reads it as the issuer does, who knows every header that it
// has ever written, and refuses all others. Here the token may come from an issuer
// that writes x5t or cty, which RFC 7515 §4 says to ignore. Everything else is as
// strict as there.
type token struct {
	header       header
	headerText   string // encoded
	payload      []byte
	signature    []byte
	signingInput []byte
}

type header struct{ alg, kid, typ string }

// encoding refuses padding and non-zero trailing bits: a part has one text.
var encoding = base64.RawURLEncoding.Strict()

// latestHeader is that of the latest token with a good signature. The tokens of a key
// have one text of it, which then need not be read again.
type latestHeader struct {
	token atomic.Pointer[token] // only its header
}

func (l *latestHeader) read(text string) (header, error) {
	if latest := l.token.Load(); latest != nil && latest.headerText == text {
		return latest.header, nil
	}
	raw, err := decode("header", text)
	if err != nil {
		return header{}, err
	}
	return readHeader(raw)
}

func (l *latestHeader) keep(t *token) {
	if latest := l.token.Load(); latest == nil || latest.headerText != t.headerText {
		l.token.Store(&token{header: t.header, headerText: strings.Clone(t.headerText)})
	}
}

func parse(text string, latest *latestHeader) (*token, error) {
	first, rest, ok := strings.Cut(text, ".")
	second, third, ok2 := strings.Cut(rest, ".")
	if !ok || !ok2 || strings.IndexByte(third, '.') >= 0 {
		return nil, fmt.Errorf("%w: it must have three parts", ErrMalformed)
	}
	t := &token{headerText: first, signingInput: []byte(text[:len(first)+1+len(second)])}
	var err error
	if t.header, err = latest.read(first); err != nil {
		return nil, err
	}
	if t.payload, err = decode("payload", second); err != nil {
		return nil, err
	}
	t.signature, err = decode("signature", third)
	return t, err
}

// decode also refuses line breaks, which encoding/base64 skips.
func decode(what, part string) ([]byte, error) {
	b, err := encoding.DecodeString(part)
	if err != nil || strings.ContainsAny(part, "\r\n") {
		return nil, fmt.Errorf("%w: the %s is not base64url", ErrMalformed, what)
	}
	return b, nil
}

// readHeader takes alg, kid and typ. An extension changes what the token means,
// and none is understood here: crit, or b64 even where crit does not name it. Keys
// and places of keys (jwk, x5c, jku, x5u) are ignored like all other parameters:
// keys come from the KeySource alone (RFC 8725 §3.10).
func readHeader(raw []byte) (header, error) {
	members, err := object(raw)
	if err != nil {
		return header{}, fmt.Errorf("header: %w", err)
	}
	for _, name := range []string{"crit", "b64"} {
		if _, there := members.Get(name); there {
			return header{}, fmt.Errorf("%w: %s", ErrHeader, name)
		}
	}
	var h header
	for _, f := range []struct {
		name string
		into *string
	}{{"alg", &h.alg}, {"kid", &h.kid}, {"typ", &h.typ}} {
		value, there := members.Get(f.name)
		if there && (value[0] != '"' || compactjws.Text(value, f.into) != nil) {
			return header{}, fmt.Errorf("%w: %s is not a string", ErrMalformed, f.name)
		}
	}
	return h, nil
}

// object reads one JSON object strictly: UTF-8, no duplicate members, nothing
// behind it.
func object(raw []byte) (compactjws.Members, error) {
	members, err := compactjws.ReadMembers(raw)
	if errors.Is(err, compactjws.ErrDuplicate) {
		return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: not one strict JSON object", ErrMalformed)
	}
	return members, nil
}
