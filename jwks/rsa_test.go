package jwks

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"math/big"
	"strings"
	"testing"

	"github.com/c2sp/wycheproof"
)

// rocaKey is the public key that Wycheproof has for the weakness.
func rocaKey(t *testing.T) *rsa.PublicKey {
	t.Helper()
	raw, err := fs.ReadFile(wycheproof.TestVectors, "json_web_key_test.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		TestGroups []struct {
			Comment string
			Public  struct{ Keys []struct{ N string } }
		}
	}
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, group := range vectors.TestGroups {
		if group.Comment == "jws_rsa_roca_key" && len(group.Public.Keys) == 1 {
			n, err := base64.RawURLEncoding.DecodeString(group.Public.Keys[0].N)
			if err != nil {
				t.Fatal(err)
			}
			return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}
		}
	}
	t.Fatal("Wycheproof has no key with ROCA any more")
	return nil
}

func TestWeakRSAKeysAreRefused(t *testing.T) {
	good := new(big.Int).SetBit(big.NewInt(9), 2047, 1)
	for want, key := range map[string]*rsa.PublicKey{
		"":                                    {N: good, E: 65537},
		"RSA modulus of 2047 bits; the least": {N: new(big.Int).SetBit(big.NewInt(9), 2046, 1), E: 65537},
		"RSA modulus of 8193 bits; the most":  {N: new(big.Int).SetBit(big.NewInt(9), 8192, 1), E: 65537},
		"RSA modulus that is even":            {N: new(big.Int).SetBit(big.NewInt(8), 2047, 1), E: 65537},
		"RSA exponent is not an odd number":   {N: good, E: 3},
		"fingerprint of ROCA":                 rocaKey(t),
	} {
		err := CheckRSA(key)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for _, e := range []int{0, 1, 2, 3, 65535, 65536, 65538, 1 << 31} {
		if CheckRSA(&rsa.PublicKey{N: good, E: e}) == nil {
			t.Errorf("exponent %d is taken", e)
		}
	}
}
