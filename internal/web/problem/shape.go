package problem

import (
	"bytes"
	"encoding/json"
	"net/http"
)

// Shape returns the value that a dialect sends for p as JSON. It may set headers.
type Shape func(header http.Header, p Problem) any

// Detail is the shape of Django REST framework, and so of simplejwt: what is wrong
// with each field, or {"detail", "code"}.
func Detail(header http.Header, p Problem) any {
	if p.Status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", `Bearer realm="api"`) // RFC 9110 §15.5.2, RFC 6750 §3
	}
	if len(p.Fields) > 0 {
		return p.Fields
	}
	return struct {
		Detail    string `json:"detail"`
		Code      string `json:"code,omitempty"`
		RequestID string `json:"request_id,omitempty"`
	}{p.Detail, p.Code, p.RequestID}
}

// Fields says what is wrong with each field, in their order.
type Fields []Field

// Field is the name of a field and what is wrong with it.
type Field struct {
	Name     string
	Messages []string
}

// NonField is the name for what no single field is to blame for.
const NonField = "non_field_errors"

// MarshalJSON writes an object; a map would lose the order.
func (f Fields) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, field := range f {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(encode(field.Name))
		b.WriteByte(':')
		b.Write(encode(field.Messages))
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// WriteJSON sends v as Django REST framework would: no HTML escapes, no line break.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	body := encode(v)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body) // a client that has gone is not our error
}

func encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // structs of strings always encode
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
