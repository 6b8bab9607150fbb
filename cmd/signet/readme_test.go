package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// block is a fenced block of README.md.
type block struct {
	section, language, text string
}

func readmeBlocks(t *testing.T) []block {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []block
	section, open := "", false
	for line := range strings.Lines(string(text)) {
		language, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && !open:
			blocks, open = append(blocks, block{section: section, language: strings.TrimSpace(language)}), true
		case fence:
			open = false
		case open:
			blocks[len(blocks)-1].text += line
		case strings.HasPrefix(line, "## "):
			section = strings.TrimSpace(line[3:])
		}
	}
	return blocks
}

func blocksOf(t *testing.T, section, language string) []string {
	t.Helper()
	var found []string
	for _, b := range readmeBlocks(t) {
		if b.section == section && (language == "" || b.language == language) {
			found = append(found, b.text)
		}
	}
	if len(found) == 0 {
		t.Fatalf("README.md has no %s block under %q", language, section)
	}
	return found
}

// TestReadmeSetUp: two commands, one runs the main job and one the tests.
func TestReadmeSetUp(t *testing.T) {
	commands := blocksOf(t, "Set up", "")
	if want := []string{"go run ./cmd/signet serve\n", "scripts/test\n"}; !slices.Equal(commands, want) {
		t.Errorf("set-up commands %q, want %q", commands, want)
	}
	info, err := os.Stat("../../scripts/test")
	if err != nil || info.Mode()&0o111 == 0 {
		t.Errorf("scripts/test cannot be run: %v", err)
	}
}

// TestReadmeTour runs the first set-up command, then every command of the tour in
// one shell, and compares what they print; … stands for anything. The services'
// examples then verify the token of the tour.
func TestReadmeTour(t *testing.T) {
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	here := strings.NewReplacer("127.0.0.1:8080", addr).Replace
	env := testEnv("SIGNET_DATA="+filepath.Join(t.TempDir(), "data"), "SIGNET_LISTEN="+addr, "SIGNET_ISSUER=http://"+addr)
	serve := exec.Command("sh", "-c", blocksOf(t, "Set up", "")[0])
	serve.Dir, serve.Env = "../..", env
	launch(t, addr, serve)

	set := "" // ACCESS=… REFRESH=…, once the tour has set them
	for _, console := range blocksOf(t, "Five minutes", "console") {
		set = runConsole(t, env, set, here(console))
	}
	if len(strings.Fields(set)) != 2 {
		t.Fatalf("the tour does not set ACCESS and REFRESH: %q", set)
	}
	env = append(env, strings.Fields(set)...)
	t.Run("go", func(t *testing.T) {
		file := snippet(t, t.TempDir(), "main.go", here(blocksOf(t, "How a service verifies", "go")[0]))
		verifies(t, env, "go", "run", file)
	})
	t.Run("python", func(t *testing.T) {
		python := os.Getenv("TEST_PYTHON")
		needs(t, python != "", "TEST_PYTHON names a python with PyJWT[crypto]")
		file := snippet(t, t.TempDir(), "main.py", here(blocksOf(t, "How a service verifies", "python")[0]))
		verifies(t, env, python, file)
	})
	t.Run("node", func(t *testing.T) {
		modules := os.Getenv("TEST_NODE_MODULES")
		needs(t, modules != "", "TEST_NODE_MODULES names a node_modules directory with jose")
		dir := t.TempDir()
		if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
			t.Fatal(err)
		}
		file := snippet(t, dir, "main.mjs", here(blocksOf(t, "How a service verifies", "js")[0]))
		verifies(t, env, "node", file)
	})
}

// needs skips a test that lacks what it needs, loudly; in CI it fails.
func needs(t *testing.T, there bool, what string) {
	t.Helper()
	switch {
	case there:
	case os.Getenv("CI") != "":
		t.Fatalf("not tested: needed is that %s", what)
	default:
		t.Skipf("SKIPPED: needed is that %s", what)
	}
}

// runConsole runs the commands of a console block after one another in one shell,
// which begins with the variables in set, and returns them as it leaves them.
func runConsole(t *testing.T, env []string, set, console string) string {
	t.Helper()
	var script strings.Builder
	var wants []string
	fmt.Fprintln(&script, "set -o pipefail")
	for line := range strings.Lines(console) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			fmt.Fprintf(&script, "%s\necho \"<end $?>\"\n", strings.TrimSpace(command))
			wants = append(wants, "")
			continue
		}
		wants[len(wants)-1] += line
	}
	fmt.Fprintln(&script, `echo "ACCESS=$ACCESS REFRESH=$REFRESH"`)
	cmd := exec.Command("bash", "-c", script.String())
	cmd.Dir, cmd.Env = "../..", env
	if words := strings.Fields(set); len(words) == 2 {
		cmd.Env = append(slices.Clone(env), words...)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	parts := regexp.MustCompile(`<end (\d+)>\n`).Split(string(out), -1)
	codes := regexp.MustCompile(`<end (\d+)>\n`).FindAllStringSubmatch(string(out), -1)
	if len(parts) != len(wants)+1 {
		t.Fatalf("%d commands, %d ended:\n%s", len(wants), len(parts)-1, out)
	}
	for i, want := range wants {
		pattern := `(?s)\A` + strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(want)), "…", ".*") + `\s*\z`
		if codes[i][1] != "0" || !regexp.MustCompile(pattern).MatchString(parts[i]) {
			t.Errorf("the tour's command %d ended with %s and printed\n%s\nREADME.md says\n%s", i+1, codes[i][1], parts[i], want)
		}
	}
	return strings.TrimSpace(parts[len(wants)])
}

func snippet(t *testing.T, dir, name, text string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// verifies runs an example, which prints the subject of the token in ACCESS.
func verifies(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = "../..", env
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "sub ") {
		t.Errorf("%v: %v\n%s", cmd.Args, err, out)
	}
}

// TestReadmeTokens: the tokens on the first page are real, and its key set verifies them.
func TestReadmeTokens(t *testing.T) {
	samples := blocksOf(t, "", "json")
	if len(samples) != 3 {
		t.Fatalf("%d JSON blocks, want a pair, its claims and a key set", len(samples))
	}
	var pair map[string]string
	if err := json.Unmarshal([]byte(samples[0]), &pair); err != nil || len(pair) != 2 {
		t.Fatalf("the pair: %v", err)
	}
	keys, err := jwk.ParseString(samples[2])
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range pair {
		payload, err := jws.Verify([]byte(token), jws.WithKeySet(keys))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if shown := strings.Join(strings.Fields(samples[1]), ""); name == "access" && !strings.Contains(shown, string(payload)) {
			t.Errorf("the claims shown are not those of the token: %s", payload)
		}
	}
}
