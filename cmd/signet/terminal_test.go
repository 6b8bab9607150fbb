package main

import (
	"encoding/base64"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

// TestInspectedTokenGivesNoOrders: a stranger's token shows what it says, and no rune of it
// reaches the terminal as a control, a new line or a change of direction.
func TestInspectedTokenGivesNoOrders(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	serveBinary(t, dir, addr, "SIGNET_KEYS_ALGORITHMS=ES256")
	part := base64.RawURLEncoding.EncodeToString
	var hostile strings.Builder
	for _, r := range []rune{0x7f, 0x80, 0x85, 0x9b, 0x9d, 0x9f, 0x61c, 0x200e, 0x200f, 0x2028, 0x2029, 0x202a, 0x202e, 0x2066, 0x2069} {
		hostile.WriteRune(r)
	}
	const harmless = "渡辺 é <&> 👩\u200d👧"
	claims := `{"iss":"` + hostile.String() + `","` + hostile.String() + `":["\u001b[31m\u009b"],"name":"` + harmless + `"}`
	for _, header := range []string{
		`{"alg":"ES256","kid":"` + hostile.String() + `\u001b]0;x\u0007","typ":"` + hostile.String() + `"}`,
		`{"alg":"` + hostile.String() + `\u001b[2J","kid":"k","typ":"JWT"}`,
	} {
		token := part([]byte(header)) + "." + part([]byte(claims)) + "." + part(make([]byte, 64))
		for _, form := range []string{"table", "json"} {
			for _, command := range []string{"inspect", "verify"} {
				out, stderr, _ := signet(t, token, "token", command, "-o", form, "--data", dir)
				for _, r := range out + stderr {
					if r != '\n' && (unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control)) {
						t.Errorf("token %s -o %s writes %U:\n%q\n%q", command, form, r, out, stderr)
						break
					}
				}
				if command == "inspect" {
					expectClaims(t, out, form, claims)
				}
			}
		}
	}
}

// expectClaims holds what is shown to what the token says.
func expectClaims(t *testing.T, out, form, claims string) {
	t.Helper()
	var want, got map[string]any
	if err := json.Unmarshal([]byte(claims), &want); err != nil {
		t.Fatal(err)
	}
	if form == "json" {
		var inspected struct{ Claims map[string]any }
		if err := json.Unmarshal([]byte(out), &inspected); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		got = inspected.Claims
	} else {
		_, after, _ := strings.Cut(out, "\nclaims  ")
		if err := json.NewDecoder(strings.NewReader(after)).Decode(&got); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if got["name"] != want["name"] || got["iss"] != want["iss"] || len(got) != len(want) {
		t.Errorf("shown as %q, want %q", got, want)
	}
	if !strings.Contains(out, want["name"].(string)) {
		t.Errorf("a harmless name is not shown as it is:\n%s", out)
	}
}
