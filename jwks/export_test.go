package jwks_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"

	"signet/jwks"
)

func TestEntriesKeepTheOrderAndTheText(t *testing.T) {
	var keys []jwk.Key
	for _, alg := range []string{"RS256", "ES256", "EdDSA", "ES384", "PS256"} {
		keys = append(keys, newPrivate(t, alg, "k-"+alg))
	}
	body := mustDocument(t, keys, time.Time{}).Body()
	entries, err := jwks.Entries(body)
	if err != nil || len(entries) != len(keys) {
		t.Fatalf("%d entries of %d, %v", len(entries), len(keys), err)
	}
	for i, e := range entries {
		if e.KID != keys[i].KeyID() || e.Alg != keys[i].Algorithm().String() {
			t.Errorf("entry %d is %s for %s, want %s", i, e.KID, e.Alg, keys[i].KeyID())
		}
		if !bytes.Contains(body, e.JWK) {
			t.Errorf("%s: the JWK is not as it stands in the set: %s", e.KID, e.JWK)
		}
	}
}

func TestEntriesTakesAllOrNothing(t *testing.T) {
	good := string(mustDocument(t, []jwk.Key{newPrivate(t, "ES256", "one")}, time.Time{}).Body())
	first := strings.TrimSuffix(strings.TrimPrefix(good, `{"keys":[`), `]}`)
	private, err := json.Marshal(newPrivate(t, "ES256", "two"))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, set string
		want      error
	}{
		{"no set", `[]`, jwks.ErrSet},
		{"no keys", `{"Keys":[]}`, jwks.ErrSet},
		{"cut", good[:len(good)-1], jwks.ErrSet},
		{"unknown type", `{"keys":[` + first + `,{"kty":"AKP","kid":"two"}]}`, jwks.ErrUnusable},
		{"private half", `{"keys":[` + first + `,` + string(private) + `]}`, jwks.ErrUnusable},
		{"two keys with one kid", `{"keys":[` + first + `,` + first + `]}`, jwks.ErrUnusable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if entries, err := jwks.Entries([]byte(tt.set)); !errors.Is(err, tt.want) || entries != nil {
				t.Errorf("Entries = %v, %v; want %v", entries, err, tt.want)
			}
		})
	}
}

// PEM is read by another implementation, and is one block with nothing around it.
func TestPEMHoldsThePublicKeyAlone(t *testing.T) {
	for alg := range published {
		t.Run(alg, func(t *testing.T) {
			private := newPrivate(t, alg, "k")
			entries, err := jwks.Entries(mustDocument(t, []jwk.Key{private}, time.Time{}).Body())
			if err != nil {
				t.Fatal(err)
			}
			text, err := entries[0].PEM()
			if err != nil {
				t.Fatal(err)
			}
			block, rest := pem.Decode(text)
			if block == nil || block.Type != "PUBLIC KEY" || len(block.Headers) != 0 || len(rest) != 0 ||
				!bytes.HasPrefix(text, []byte("-----BEGIN ")) {
				t.Fatalf("not one bare block: %s", text)
			}
			read, err := x509.ParsePKIXPublicKey(block.Bytes)
			if err != nil || encoded(t, read) != encoded(t, entries[0].Public) {
				t.Errorf("%v, %v is not the key that went in", read, err)
			}
			expectOpenSSLReads(t, text)
		})
	}
}

func expectOpenSSLReads(t *testing.T, text []byte) {
	t.Helper()
	cmd := exec.Command("openssl", "pkey", "-pubin", "-pubout")
	cmd.Stdin = bytes.NewReader(text)
	out, err := cmd.Output()
	if errors.Is(err, exec.ErrNotFound) && os.Getenv("CI") == "" {
		t.Skip("SKIPPED: openssl is not installed, and has not read the PEM")
	}
	if err != nil || !bytes.Equal(out, text) {
		t.Errorf("openssl reads %q, %v", out, err)
	}
}
