package record

import "testing"

func TestPackID(t *testing.T) {
	for _, s := range []string{
		"", "a", "\x00", "\x01", "0123456789abcdef", "0123456789abcdef0123456789abcdef",
		"0123456789ABCDEF0123456789abcdef", "g123456789abcdef0123456789abcdef", "sixteen bytes at", "\xff\xfe",
	} {
		if got := UnpackID(PackID(s)); got != s {
			t.Errorf("%q came back as %q", s, got)
		}
	}
}

func TestPackKID(t *testing.T) {
	for kid, length := range map[string]int{
		"": 1, "key-1": 6, "\xff\x00": 3,
		"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs":  33, // a thumbprint
		"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xt":  44, // not the text of its bytes
		"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC\n9X": 44,
	} {
		b := PackKID(kid)
		if got := UnpackKID(b); got != kid || len(b) != length {
			t.Errorf("%q came back as %q from %d bytes, want %d", kid, got, len(b), length)
		}
	}
}
