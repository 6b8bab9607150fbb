package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"signet/configs"
)

// TestBashCompletes: a real bash with the script completes as one does at the Tab key.
func TestBashCompletes(t *testing.T) {
	script := filepath.Join(t.TempDir(), "signet.bash")
	if err := os.WriteFile(script, []byte(mustSignet(t, "", "completion", "bash")), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("bash", "-n", script).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for line, want := range map[string]string{
		"signet k":              "keys",
		"signet users dis":      "disable",
		"signet keys rotate -":  "--alg",
		"signet users list -o ": "json",
	} {
		if got := complete(t, script, line); !slices.Contains(got, want) {
			t.Errorf("%q is completed by %q, want %s among them", line, got, want)
		}
	}
}

// complete returns what bash offers behind a line. The function of bash-completion that
// the script needs is a few lines here: a package that not every machine has.
func complete(t *testing.T, script, line string) []string {
	t.Helper()
	cmd := exec.Command("bash", "--norc", "-c", `
		_get_comp_words_by_ref() { words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; cur=${COMP_WORDS[COMP_CWORD]}; prev=${COMP_WORDS[COMP_CWORD-1]}; }
		_init_completion() { _get_comp_words_by_ref; }
		__ltrim_colon_completions() { :; }
		compopt() { :; }
		. "$1"
		read -ra COMP_WORDS <<<"$2"; [[ $2 != *' ' ]] || COMP_WORDS+=('')
		COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$2 COMP_POINT=${#2} COMP_TYPE=9
		__start_signet
		printf '%s\n' "${COMPREPLY[@]}"`, "bash", script, line)
	cmd.Env = append(testEnv(), "PATH="+filepath.Dir(binary)+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", line, err, out)
	}
	var offered []string
	for l := range strings.Lines(string(out)) {
		offered = append(offered, strings.TrimSpace(strings.SplitN(l, "  ", 2)[0]))
	}
	return offered
}

// TestShellsTakeTheScripts: the shells that this machine has read their script.
func TestShellsTakeTheScripts(t *testing.T) {
	for shell, check := range map[string][]string{"bash": {"-n"}, "zsh": {"-n"}, "fish": {"--no-execute"}} {
		t.Run(shell, func(t *testing.T) {
			_, err := exec.LookPath(shell)
			needs(t, err == nil, "there is "+shell)
			script := filepath.Join(t.TempDir(), "script")
			if err := os.WriteFile(script, []byte(mustSignet(t, "", "completion", shell)), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(shell, append(check, script)...).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestCompletedValuesAreTaken: no value is offered that is refused, and none is for a
// flag that is not there.
func TestCompletedValuesAreTaken(t *testing.T) {
	serve, _, err := newRoot(&terminal{}).Find([]string{"serve"})
	if err != nil {
		t.Fatal(err)
	}
	there := flagNames(serve.Root())
	for name, values := range flagValues {
		if !there[name] {
			t.Errorf("no command has the flag %s", name)
		}
		if serve.LocalFlags().Lookup(name) == nil {
			continue
		}
		key := strings.Replace(name, "-", ".", 1)
		if name == "claims-user-id-type" {
			key = "claims.user_id_type"
		}
		for _, value := range values {
			_, err := configs.Load(configs.Sources{Flags: map[string]string{key: value}})
			if err != nil && !strings.Contains(err.Error(), "origins") {
				t.Errorf("--%s %s is offered and refused: %v", name, value, err)
			}
		}
	}
}

// flagNames are the flags of a tree of commands, with and without the command's path.
func flagNames(cmd *cobra.Command) map[string]bool {
	names := map[string]bool{}
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names[f.Name], names[cmd.CommandPath()+" "+f.Name] = true, true })
	cmd.PersistentFlags().VisitAll(func(f *pflag.Flag) { names[f.Name] = true })
	for _, sub := range cmd.Commands() {
		for name := range flagNames(sub) {
			names[name] = true
		}
	}
	return names
}
