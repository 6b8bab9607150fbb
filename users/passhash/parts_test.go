package passhash_test

import (
	"bytes"
	"errors"
	"testing"

	"signet/users/passhash"
)

// TestParts: a hash of any scheme is the same after it was taken apart, and what Parse
// does not take is refused.
func TestParts(t *testing.T) {
	kinds := map[string]bool{}
	for _, file := range []string{"django-5.2.json", "others.json"} {
		for _, e := range entries(t, file) {
			kind, salt, key := parse(t, e.Encoded).Parts()
			kinds[kind] = true
			again, err := passhash.FromParts(kind, salt, key)
			if err != nil {
				t.Fatalf("%s: %v", kind, err)
			}
			k, s, y := again.Parts()
			if k != kind || !bytes.Equal(s, salt) || !bytes.Equal(y, key) {
				t.Errorf("%s became %s", kind, k)
			}
		}
	}
	if len(kinds) < 7 {
		t.Errorf("only %v", kinds)
	}
	salt, key := make([]byte, 16), make([]byte, 32)
	for kind, want := range map[string]error{
		"md5 i=1":                   passhash.ErrScheme,
		"argon2id m=64,t=17,p=1":    passhash.ErrCost,
		"bcrypt c=4":                passhash.ErrShape, // a key of 32 bytes
		string(make([]byte, 1<<20)): passhash.ErrShape,
	} {
		if _, err := passhash.FromParts(kind, salt, key); !errors.Is(err, want) {
			t.Errorf("%.40q: %v, want %v", kind, err, want)
		}
	}
}
