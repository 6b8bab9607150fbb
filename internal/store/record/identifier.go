package record

import (
	"encoding/base64"
	"encoding/hex"
)

// Thumbprint returns the 32 bytes that a KID stands for, or nil if it is no thumbprint.
func Thumbprint(kid string) []byte {
	const length = 32
	if len(kid) != base64.RawURLEncoding.EncodedLen(length) {
		return nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(kid) // strict: as many texts as values
	if err != nil || len(b) != length {                        // it skips line breaks
		return nil
	}
	return b
}

// How PackID wrote an identifier: its first byte.
const (
	packedText = iota
	packedHex
	packedThumbprint
)

// PackID writes 32 lower-case hexadecimal digits, as all identifiers are, in
// 16 bytes, and any other text as it is.
func PackID(s string) []byte {
	if s == "" {
		return nil
	}
	if isHex32(s) {
		b, _ := hex.AppendDecode([]byte{packedHex}, []byte(s))
		return b
	}
	return append([]byte{packedText}, s...)
}

// UnpackID reads what PackID wrote.
func UnpackID(b []byte) string {
	switch {
	case len(b) == 0:
		return ""
	case b[0] == packedHex:
		return hex.EncodeToString(b[1:])
	default:
		return string(b[1:])
	}
}

func isHex32(s string) bool {
	if len(s) != 32 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// PackKID writes a thumbprint without its base64, and any other text as it is.
func PackKID(kid string) []byte {
	if b := Thumbprint(kid); b != nil {
		return append([]byte{packedThumbprint}, b...)
	}
	return append([]byte{packedText}, kid...)
}

// UnpackKID reads what PackKID wrote.
func UnpackKID(b []byte) string {
	switch {
	case len(b) == 0:
		return ""
	case b[0] == packedThumbprint:
		return base64.RawURLEncoding.EncodeToString(b[1:])
	default:
		return string(b[1:])
	}
}

// Packed returns the 16 bytes of an identifier that PackID wrote as such, or nil.
func Packed(b []byte) []byte {
	if len(b) != 17 || b[0] != packedHex {
		return nil
	}
	return b[1:]
}
