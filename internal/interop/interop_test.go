package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Every example is driven, but for the one on paper, and says in five lines what to do.
func TestExamples(t *testing.T) {
	entries, err := os.ReadDir("../../examples")
	if err != nil || len(entries) < 2 {
		t.Fatalf("%d examples, %v", len(entries), err)
	}
	driven := map[string]bool{"envoy": true}
	for _, c := range clients {
		driven[c.name] = true
	}
	if len(entries) != len(driven) {
		t.Errorf("%d directories in examples, and %d that are known here", len(entries), len(driven))
	}
	for _, entry := range entries {
		if !driven[entry.Name()] {
			t.Errorf("%s is not driven", entry.Name())
		}
		text, err := os.ReadFile(filepath.Join("../../examples", entry.Name(), "README.md"))
		if err != nil {
			t.Fatal(err)
		}
		lines := 0
		for line := range strings.Lines(string(text)) {
			if strings.TrimSpace(line) != "" {
				lines++
			}
		}
		if lines != 5 {
			t.Errorf("the README of %s has %d lines, want 5", entry.Name(), lines)
		}
	}
}

// A cell that differs is a failure, and so is a run of nothing.
func TestVerdict(t *testing.T) {
	cells := maps.Clone(common)
	cells[caseNewKey] = "at once"
	s := &server{client: client{name: "c"}, cells: cells}
	if err := verdict([]*server{s}); err != nil {
		t.Errorf("what all do: %v", err)
	}
	for _, column := range columns {
		cells := maps.Clone(cells)
		cells[column] = "500"
		other := &server{client: s.client, cells: cells}
		err := verdict([]*server{s, other})
		if want := "c, " + column + `: got "500", expected`; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s…", column, err, want)
		}
		if !strings.Contains(matrix([]*server{other}), "500 (!)") {
			t.Errorf("%s: the matrix has no mark", column)
		}
	}
	if err := verdict(nil); err == nil || err.Error() != "no example was run" {
		t.Errorf("no server: %v", err)
	}
}

// The clients' table of docs/leaked-key.md names each example, and says of it what is
// expected here.
func TestPageOfTheLeakedKey(t *testing.T) {
	text, err := os.ReadFile("../../docs/leaked-key.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(strings.TrimSpace(line), " | "); len(cells) == 5 {
			rows[strings.TrimPrefix(cells[0], "| ")] = cells[1:]
		}
	}
	for _, c := range clients {
		row := rows[c.kind]
		if len(row) != 4 {
			t.Errorf("%s: the page has no row for %q", c.name, c.kind)
			continue
		}
		if want := c.name + " |"; row[3] != want {
			t.Errorf("%s: the row of %s is measured with %q", c.name, c.kind, row[3])
		}
		drops := strings.HasSuffix(c.expected(caseRevoked), "then 401")
		if says := row[0] == "yes" || row[1] == "a reload" && c.reload != ""; says != drops {
			t.Errorf("%s: after a token of the new key %s is expected, and the page says %q", c.name, c.expected(caseRevoked), row[0])
		}
		if says := row[1] == "jwks_max_age"; says != (c.forgetsWithin == jwksMaxAge) {
			t.Errorf("%s: without one %s is expected, and the page says %q", c.name, c.expected(caseAlone), row[1])
		}
		if says := row[2] == "30 seconds"; says != (c.newKeyWithin == 30*time.Second) {
			t.Errorf("%s: the new key is expected %s, and the page says %q", c.name, c.expected(caseNewKey), row[2])
		}
	}
}
