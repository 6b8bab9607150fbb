package passhash_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"testing"

	"signet/users/passhash"
)

// TestDjango asks a real Django: it takes what Argon2id makes, and Parse takes what
// its hashers make.
func TestDjango(t *testing.T) {
	python := os.Getenv("TEST_PYTHON")
	switch {
	case python != "":
	case os.Getenv("CI") != "":
		t.Fatal("not tested: needed is that TEST_PYTHON names a python with Django, argon2-cffi and bcrypt")
	default:
		t.Skip("SKIPPED: needed is that TEST_PYTHON names a python with Django, argon2-cffi and bcrypt")
	}
	const password, wrong = " Zo\u00eb pr\u00e9f\u00e8re パスワード \U0001f511 ", "Zo\u00eb pr\u00e9f\u00e8re パスワード \U0001f511"
	ask := map[string]any{"password": password, "wrong": wrong, "encoded": []string{
		"argon2" + passhash.Argon2id(19456, 2, 1, password),
		"argon2" + passhash.Argon2id(1024, 3, 4, password),
	}}
	said := askDjango(t, python, ask)
	if len(said.Taken) != 2 || !said.Taken[0] || !said.Taken[1] || len(said.Wrong) != 2 || said.Wrong[0] || said.Wrong[1] {
		t.Errorf("Django takes the password: %v, a wrong one: %v", said.Taken, said.Wrong)
	}
	if len(said.Fresh) != 6 {
		t.Fatalf("Django made %q", said.Fresh)
	}
	for _, encoded := range said.Fresh {
		h := parse(t, encoded)
		if !h.Matches(password) || h.Matches(wrong) {
			t.Errorf("%q does not match its password, and no other", encoded)
		}
	}
}

type djangoSaid struct {
	Taken, Wrong []bool
	Fresh        []string
}

func askDjango(t *testing.T, python string, ask any) djangoSaid {
	t.Helper()
	text, err := json.Marshal(ask)
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), python, "-B", "testdata/check_django.py")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(text), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", python, err, stderr.Bytes())
	}
	var said djangoSaid
	if err := json.Unmarshal(stdout.Bytes(), &said); err != nil {
		t.Fatalf("%v in %q", err, stdout.Bytes())
	}
	return said
}
