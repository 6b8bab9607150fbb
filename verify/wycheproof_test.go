package verify_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"testing"

	"github.com/c2sp/wycheproof"

	"signet/jwks"
	"signet/verify"
)

// deviations are the vectors that verify answers otherwise than Wycheproof says.
// Those for keys that cannot be allowed at all (HMAC, RS384, ...) are not among
// them: see unsupported.
var deviations = map[string]map[int]string{
	"json_web_signature_test.json": {
		346: "valid PS256, but the key is for RS256: one key, one algorithm (RFC 8725bis §3.1)",
		350: "as 346",
	},
}

// unsupported is true of groups whose key is for an algorithm that is never
// allowed: their valid vectors are refused as they should be.
func unsupported(keys []object) bool {
	return !slices.ContainsFunc(keys, func(k object) bool {
		alg, _ := k["alg"].(string)
		return slices.Contains([]string{"ES256", "RS256", "PS256", "ES384", "EdDSA"}, alg)
	})
}

type vectors struct {
	NumberOfTests int
	TestGroups    []struct {
		Comment         string
		Public, Private object
		Tests           []struct {
			TcID                 int
			Comment, JWS, Result string
		}
	}
}

func readVectors(t testing.TB, name string) vectors {
	t.Helper()
	raw, err := fs.ReadFile(wycheproof.TestVectors, name)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestWycheproof(t *testing.T) {
	for name, least := range map[string]int{"json_web_signature_test.json": 400, "json_web_key_test.json": 26} {
		t.Run(name, func(t *testing.T) {
			v := readVectors(t, name)
			tried, accepted := 0, 0
			for _, group := range v.TestGroups {
				keys := published(group.Public, group.Private)
				for _, test := range group.Tests {
					tried++
					err := checkVector(t, keys, test.JWS)
					if err == nil {
						accepted++
					}
					want := test.Result == "valid" && !unsupported(keys)
					deviation := deviations[name][test.TcID]
					if (err == nil) != want && deviation == "" {
						t.Errorf("%d %s/%s: %v, want %s", test.TcID, group.Comment, test.Comment, err, test.Result)
					}
					if (err == nil) == want && deviation != "" {
						t.Errorf("%d is no deviation any more: %s", test.TcID, deviation)
					}
				}
			}
			if tried < least || tried != v.NumberOfTests || accepted == 0 {
				t.Fatalf("%d cases tried, %d accepted; the file says %d", tried, accepted, v.NumberOfTests)
			}
			t.Logf("%d cases, %d accepted", tried, accepted)
		})
	}
}

// published is what a server would publish of a group: symmetric keys as well,
// which a careless one does.
func published(public, private object) []object {
	from := public
	if from == nil {
		from = private
	}
	if list, ok := from["keys"].([]any); ok {
		keys := []object{}
		for _, k := range list {
			keys = append(keys, k.(object))
		}
		return keys
	}
	return []object{from}
}

func checkVector(t *testing.T, keys []object, jws string) error {
	parsed, _, err := jwks.Parse([]byte(text(object{"keys": keys})))
	if err != nil {
		t.Fatal(err)
	}
	v := &verify.Verifier{Issuer: issuerURL, Audience: audience, Keys: verify.Static(parsed)}
	if payload, err := v.CheckSignature(t.Context(), jws); err != nil {
		return err
	} else if payload == nil {
		return fmt.Errorf("no payload")
	}
	return nil
}
