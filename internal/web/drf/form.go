package drf

import (
	"bytes"
	"io"
	"mime/multipart"
	"net/url"
	"strings"
	"unicode/utf8"
)

// parseForm reads application/x-www-form-urlencoded. Unlike url.ParseQuery it takes
// a bare semicolon, as Django does: curl -d sends passwords that way.
func parseForm(body string) (values, error) {
	fields := make(values)
	for pair := range strings.SplitSeq(body, "&") {
		if pair == "" {
			continue
		}
		name, text, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(name)
		text, err2 := url.QueryUnescape(text)
		if err != nil || err2 != nil {
			return nil, malformed("Form parse error - a % must be followed by two hexadecimal digits; write %25 for the sign itself")
		}
		if err := fields.add("Form", name, value{text: text}); err != nil {
			return nil, err
		}
	}
	return fields, nil
}

// parseMultipart reads multipart/form-data (RFC 7578).
func parseMultipart(body []byte, boundary string) (values, error) {
	if boundary == "" {
		return nil, malformed("Multipart form parse error - Content-Type names no boundary")
	}
	fields := make(values)
	reader := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := reader.NextPart()
		if err == io.EOF { // a missing end wraps io.EOF, and is not the end
			return fields, nil
		}
		if err != nil {
			return nil, broken()
		}
		text, err := io.ReadAll(part)
		if err != nil {
			return nil, broken()
		}
		if err := fields.add("Multipart form", part.FormName(), partValue(part, text)); err != nil {
			return nil, err
		}
	}
}

func broken() error {
	return malformed("Multipart form parse error - a part or the closing boundary is missing or broken")
}

// partValue refuses files: they are not text.
func partValue(part *multipart.Part, text []byte) value {
	if part.FileName() != "" {
		return value{fault: faultString}
	}
	return value{text: string(text)}
}

func (v values) add(kind, name string, value value) error {
	if !utf8.ValidString(name) || !utf8.ValidString(value.text) {
		return malformed(kind + " parse error - a field is not UTF-8")
	}
	if _, twice := v[name]; twice {
		return malformed(kind + " parse error - a field is named twice")
	}
	v[name] = value
	return nil
}
