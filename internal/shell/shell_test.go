package shell_test

import (
	"os/exec"
	"strings"
	"testing"

	"signet/internal/shell"
)

// TestWordsArriveAsTheyAre: a real shell hands them on unchanged.
func TestWordsArriveAsTheyAre(t *testing.T) {
	words := []string{
		"", "plain", "/var/lib/signet/signet.db", "/srv/my data/signet.db", "it's", "''", `a"b\c`, "$HOME", "~", "*", "a;b", "a&b", "#a", "!",
		"postgres://signet@db/signet?sslmode=verify-full&host=/run/pg", "two\nlines", "Müller", "{a,b}", "bolt:/srv/data", "`id`", "a=b",
	}
	out, err := exec.Command("sh", "-c", shell.Command(append([]string{"printf", `%s\0`}, words...)...)).Output()
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	if strings.Join(got, "\x00") != strings.Join(words, "\x00") {
		t.Errorf("the shell read %q, want %q", got, words)
	}
}

// TestPlainWordsStayReadable: only what needs it is quoted.
func TestPlainWordsStayReadable(t *testing.T) {
	for word, want := range map[string]string{
		"bolt:/var/lib/signet": "bolt:/var/lib/signet", "/srv/my data": "'/srv/my data'", "": "''", "it's": `'it'\''s'`,
		"postgres://signet@db/signet": "postgres://signet@db/signet", "postgres://db/x?sslmode=require": "'postgres://db/x?sslmode=require'",
	} {
		if got := shell.Word(word); got != want {
			t.Errorf("%q is written %s, want %s", word, got, want)
		}
	}
}
