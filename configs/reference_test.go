package configs

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
	"github.com/google/go-cmp/cmp"
)

// TestReferenceIsTheDefault holds the file that ships against the code.
func TestReferenceIsTheDefault(t *testing.T) {
	shipped, err := os.ReadFile("signet.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if string(Reference()) != string(shipped) {
		t.Fatal("Reference is not the file that ships")
	}
	got, err := Load(Sources{Path: "signet.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), got); diff != "" {
		t.Errorf("signet.yaml differs from the defaults (-want +got):\n%s", diff)
	}
	if faults := Default().Check(); len(faults) > 0 {
		t.Errorf("the defaults have faults: %v", faults)
	}
}

// TestReferenceIsTheTable holds the keys of the file against the table, in its
// order, and asks for a comment above each and for the word (reload) where it
// is true.
func TestReferenceIsTheTable(t *testing.T) {
	var want []string
	for _, s := range table {
		want = append(want, s.key)
	}
	if len(want) == 0 {
		t.Fatal("the table is empty")
	}
	keys, lines := referenceKeys(t)
	if diff := cmp.Diff(want, keys); diff != "" {
		t.Fatalf("keys of signet.yaml (-table +file):\n%s", diff)
	}
	text := strings.Split(string(Reference()), "\n")
	for i, s := range table {
		comment := commentAbove(text, lines[i])
		if comment == "" {
			t.Errorf("signet.yaml:%d: %s has no comment above it", lines[i], s.key)
		}
		if got := strings.HasSuffix(comment, "(reload)"); got != s.reload {
			t.Errorf("signet.yaml:%d: %s: says (reload): %v, and the table %v", lines[i], s.key, got, s.reload)
		}
	}
}

// referenceKeys lists the settings of the file and their lines.
func referenceKeys(t *testing.T) (keys []string, lines []int) {
	file, err := parse(string(Reference()))
	if err != nil {
		t.Fatal(err)
	}
	var walk func(prefix string, m ast.MapNode)
	walk = func(prefix string, m ast.MapNode) {
		for it := m.MapRange(); it.Next(); {
			key := prefix + it.Key().GetToken().Value
			_, setting := lookup(key)
			if section, ok := it.Value().(ast.MapNode); ok && !setting {
				walk(key+".", section)
				continue
			}
			keys, lines = append(keys, key), append(lines, lineOf(it.Key()))
		}
	}
	walk("", file.Docs[0].Body.(ast.MapNode))
	return keys, lines
}

// commentAbove joins the comment that ends on the line before line.
func commentAbove(text []string, line int) string {
	var comment []string
	for i := line - 2; i >= 0; i-- {
		c, ok := strings.CutPrefix(strings.TrimSpace(text[i]), "#")
		if !ok {
			break
		}
		comment = append(comment, strings.TrimSpace(c))
	}
	slices.Reverse(comment)
	return strings.Join(comment, " ")
}

func TestTable(t *testing.T) {
	seen := map[string]string{}
	for _, s := range table {
		for _, name := range []string{envName(s.key), flagName(s.key)} {
			if other, taken := seen[name]; taken {
				t.Errorf("%s and %s are both %s", other, s.key, name)
			}
			seen[name] = s.key
		}
		if s.help == "" || s.kind == "" {
			t.Errorf("%s has no help or no kind", s.key)
		}
		if serviceLink.MatchString(envName(s.key) + "=1") {
			t.Errorf("%s is taken for a variable that no operator wrote", envName(s.key))
		}
		c := Default()
		if err := s.set(c, s.get(c)); err != nil {
			t.Errorf("%s does not read its own text: %v", s.key, err)
		}
		if diff := cmp.Diff(Default(), c); diff != "" {
			t.Errorf("%s changes what it reads back:\n%s", s.key, diff)
		}
	}
	if got := envName("keys.rotate_every"); got != "SIGNET_KEYS_ROTATE_EVERY" {
		t.Errorf("variable is %s", got)
	}
	if got := flagName("keys.rotate_every"); got != "keys-rotate-every" {
		t.Errorf("flag is %s", got)
	}
}

func TestDiff(t *testing.T) {
	if a, b := Default().Diff(Default()); a != nil || b != nil {
		t.Errorf("equal configurations differ in %v and %v", a, b)
	}
	other := Default()
	other.Tokens.Access *= 2
	other.Keys.Algorithms = []string{"RS256", "ES256"}
	other.Listen = ":80"
	other.Log = Log{Level: "warn", Format: "json"}
	reloadable, fixed := Default().Diff(other)
	if diff := cmp.Diff([]Change{
		{"tokens.access", "5m", "10m"}, {"keys.algorithms", "ES256,RS256", "RS256,ES256"}, {"log.level", "info", "warn"},
	}, reloadable); diff != "" {
		t.Errorf("reloadable (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]Change{
		{"listen", "127.0.0.1:8080", ":80"}, {"log.format", "text", "json"},
	}, fixed); diff != "" {
		t.Errorf("fixed (-want +got):\n%s", diff)
	}
	reloadable, fixed = Default().Diff(otherConfig())
	if n := len(reloadable) + len(fixed); n != len(table) {
		t.Errorf("%d settings differ, want %d", n, len(table))
	}
}

// FuzzLoad feeds text as a file: it is refused with faults that name the file,
// or it is a configuration that passes Check and survives being printed.
func FuzzLoad(f *testing.F) {
	f.Add(Reference())
	for _, s := range table {
		f.Add([]byte(yamlLine(s, s.get(otherConfig()))))
	}
	for _, seed := range []string{
		"", "---\n...\n---\n", "tokens:\n  access: 5 minutes\n", "a: &a [*a]\n", "<<: *x\n", "? {a: b}\n: c\n", "- - - -\n",
		"log: !!map {level: |\n  info\n}", "tokens: {audience: [[a], {b: c}, ~, 1.5, .inf]}", "store: \"\\u0000\"\n",
		"\ttokens:", "keys: {rotate_every: 106751d23h59m}", "%TAG ! x\n--- !a\n", "*a : b\n&b c: d\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Load(Sources{Path: "f.yaml", File: slices.Concat([]byte{}, text)})
		if err != nil {
			if c != nil {
				t.Error("a Config beside an error")
			}
			for _, line := range faultsOf(t, err) {
				if !strings.HasPrefix(line, "f.yaml") {
					t.Errorf("fault without its place: %q", line)
				}
				if strings.Contains(line, "gave up") {
					t.Errorf("the parser panics: %s", line)
				}
			}
			return
		}
		if faults := c.Check(); len(faults) > 0 {
			t.Errorf("loaded with faults: %v", faults)
		}
		c.Warnings()
		again := printed(t, c)
		if diff := cmp.Diff(c, again); diff != "" {
			t.Errorf("printed and read again (-want +got):\n%s", diff)
		}
	})
}

// printed loads the texts of c as flags.
func printed(t *testing.T, c *Config) *Config {
	flags := map[string]string{}
	for _, s := range table {
		flags[s.key] = s.get(c)
	}
	again, err := Load(Sources{Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	return again
}
