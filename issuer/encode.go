package issuer

import (
	"encoding/json"
	"strconv"
)

// payloadRoom is more than the claims of most tokens take, without a profile.
const payloadRoom = 640

// appendPayload appends the claims and the profile as one JSON object. Without a profile
// that is byte for byte what encoding/json makes of c, without its reflection: the MAC of
// renewable tokens is over it.
func (c *Claims) appendPayload(b []byte) []byte {
	b = appendText(append(b, `{"iss":`...), c.Issuer)
	b = appendText(append(b, `,"sub":`...), c.Subject)
	b = c.Audience.appendJSON(append(b, `,"aud":`...))
	b = strconv.AppendInt(append(b, `,"exp":`...), c.Expires, 10)
	b = strconv.AppendInt(append(b, `,"iat":`...), c.IssuedAt, 10)
	b = strconv.AppendInt(append(b, `,"nbf":`...), c.NotBefore, 10)
	b = appendText(append(b, `,"jti":`...), c.ID)
	b = appendText(append(b, `,"client_id":`...), c.Client)
	b = appendOptional(b, `,"scope":`, c.Scope)
	b = appendOptional(b, `,"sid":`, c.Session)
	b = appendText(append(b, `,"token_type":`...), c.Kind)
	if c.UserID != (UserID{}) {
		b = c.UserID.appendJSON(append(b, `,"user_id":`...))
	}
	if c.Actor != nil {
		b = c.Actor.appendJSON(append(b, `,"act":`...))
	}
	if c.SessionEnds != 0 {
		b = strconv.AppendInt(append(b, `,"session_exp":`...), c.SessionEnds, 10)
	}
	if c.OrigIssuedAt != 0 {
		b = strconv.AppendInt(append(b, `,"orig_iat":`...), c.OrigIssuedAt, 10)
	}
	if len(c.Profile) > 0 {
		b = append(append(b, ','), c.Profile...)
	}
	return append(b, '}')
}

func (a Audience) appendJSON(b []byte) []byte {
	switch {
	case a == nil:
		return append(b, "null"...)
	case len(a) == 1:
		return appendText(b, a[0])
	}
	b = append(b, '[')
	for i, service := range a {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, service)
	}
	return append(b, ']')
}

func (id UserID) appendJSON(b []byte) []byte {
	if id.Number && isNumber(id.Text) {
		return append(b, id.Text...)
	}
	return appendText(b, id.Text)
}

func (a *Actor) appendJSON(b []byte) []byte {
	b = appendText(append(b, `{"sub":`...), a.Subject)
	if a.Actor != nil {
		b = a.Actor.appendJSON(append(b, `,"act":`...))
	}
	return append(b, '}')
}

func appendOptional(b []byte, name, text string) []byte {
	if text == "" {
		return b
	}
	return appendText(append(b, name...), text)
}

// appendText leaves to encoding/json whatever it might escape.
func appendText(b []byte, text string) []byte {
	for i := range len(text) {
		if !plain[text[i]] {
			quoted, _ := json.Marshal(text) // a string always marshals
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}

// plain are the bytes that stand for themselves in a string of encoding/json.
var plain = func() (set [256]bool) {
	for c := byte(' '); c <= '~'; c++ {
		set[c] = true
	}
	for _, c := range `"\<>&` {
		set[c] = false
	}
	return set
}()
