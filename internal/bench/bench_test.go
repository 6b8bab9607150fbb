package main

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"signet/internal/pgtest"
)

// needWrk skips, which scripts/test takes for a failure in CI.
func needWrk(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("wrk"); err != nil {
		t.Skipf("SKIPPED: the load generator wrk is missing; apt-get install wrk")
	}
}

// TestQuickRun runs it all as a person does: each row of the table is measured, and
// what it says of itself is true. No figure is judged.
func TestQuickRun(t *testing.T) {
	needWrk(t)
	pgtest.Start(t) // or a skip: its rows have no figure without
	file := filepath.Join(t.TempDir(), "rows.json")
	cmd := exec.Command("../../scripts/bench", "--quick", "--limit", "8m", "--json", file)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var rows []struct {
		Work, Unit           string
		Figure, Limit, Ratio *float64
		Target               float64
		Met                  bool
		Rule                 rule
		LoadCPU              *float64 `json:"load_cpu"`
		Note                 string
	}
	if err := json.Unmarshal(text, &rows); err != nil {
		t.Fatal(err)
	}
	want := everyWork()
	if len(rows) != len(want) {
		t.Fatalf("%d rows, want %d\n%s", len(rows), len(want), out)
	}
	for i, r := range rows {
		w := want[i]
		if r.Work != w.name || r.Unit != w.unit || r.Target != w.target || r.Rule != w.rule {
			t.Errorf("row %d is %+v, want that of %+v", i, r, w)
		}
		if !strings.Contains(string(out), r.Work) {
			t.Errorf("the table does not name %q", r.Work)
		}
		if r.Figure == nil || r.Limit == nil {
			t.Errorf("%s: %s", r.Work, r.Note)
			continue
		}
		if *r.Figure <= 0 || *r.Limit < 0 {
			t.Errorf("%s: figure %v, limit %v", r.Work, *r.Figure, *r.Limit)
		}
		if *r.Limit == 0 != (r.Ratio == nil) || r.Ratio != nil && math.Abs(*r.Figure / *r.Limit / *r.Ratio - 1) > 0.01 {
			t.Errorf("%s: figure %v, limit %v, ratio %v", r.Work, *r.Figure, *r.Limit, r.Ratio)
		}
		if cpu := r.LoadCPU; cpu != nil && (*cpu < 0 || *cpu > 1.01) {
			t.Errorf("%s: the load generator had %v of the cores", r.Work, *cpu)
		}
		if r.Unit == "requests/s" && r.LoadCPU == nil {
			t.Errorf("%s: the share of the load generator is missing", r.Work)
		}
	}
}

func everyWork() (all []work) {
	for _, s := range sections {
		all = append(all, s.works...)
	}
	return all
}

// The table of docs/performance.md has the rows that are measured, in their order, with
// their targets.
func TestPageHasEachRow(t *testing.T) {
	text, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(strings.TrimSpace(line), " | "); len(cells) == 6 && !strings.HasPrefix(line, "| work ") {
			got = append(got, strings.TrimPrefix(cells[0], "| ")+": "+cells[4])
		}
	}
	var want []string
	for _, s := range append(slices.Clone(sections), peerSections()...) {
		for _, w := range s.works {
			cells := strings.Split(markdown([]row{w.row(result{})}), " | ")
			want = append(want, w.name+": "+cells[len(cells)-2])
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the rows of the page:\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestRules(t *testing.T) {
	for _, c := range []struct {
		rule                  rule
		figure, limit, target float64
		met                   bool
	}{
		{ratioAtLeast, 85, 100, 0.85, true},
		{ratioAtLeast, 84, 100, 0.85, false},
		{ratioAtMost, 110, 100, 1.1, true},
		{ratioAtMost, 111, 100, 1.1, false},
		{figureBelow, 1.9, 0.1, 2, true},
		{figureBelow, 2, 0.1, 2, false},
		{figureAtMost, 3, 0, 3, true},
		{figureAtMost, 4, 0, 3, false},
		{moreAtMost, 88, 63, 25, true},
		{moreAtMost, 89, 63, 25, false},
		{ratioAtLeast, math.NaN(), math.NaN(), 1, false},
		{figureBelow, math.NaN(), math.NaN(), 1, false},
	} {
		if met := c.rule.met(c.figure, c.limit, c.target); met != c.met {
			t.Errorf("%s %v: figure %v, limit %v: met %t", c.rule, c.target, c.figure, c.limit, met)
		}
	}
	for _, w := range everyWork() {
		if w.rule == "" || !w.rule.met(w.target, 1, w.target) && !w.rule.met(w.target-1, 1, w.target) {
			t.Errorf("%s: no figure meets %q", w.name, w.rule)
		}
	}
}

// A section that fails leaves rows that say why, and no figure.
func TestFailedSection(t *testing.T) {
	l := &lab{results: map[string]result{}, failed: map[string]string{}}
	s := section{"broken", []work{{"some work", "ms", "nothing", figureBelow, 1}}, nil}
	l.failed[s.name] = "the disk is full"
	rows := l.rows([]section{s})
	text, err := json.Marshal(rows)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"work":"some work","figure":null,"unit":"ms","limit":null,"ratio":null,"target":1,"met":false,` +
		`"rule":"figure below","limit_is":"nothing","load_cpu":null,"note":"not measured: the disk is full"}]`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	if text := table(rows); !strings.Contains(text, "not measured: the disk is full") {
		t.Errorf("the table does not say why:\n%s", text)
	}
}

// A slice whose answers are not the work is an error, not a high rate.
func TestRefusedAnswersAreNoFigure(t *testing.T) {
	needWrk(t)
	l := &lab{dir: t.TempDir(), script: filepath.Join(t.TempDir(), "wrk.lua")}
	if err := os.WriteFile(l.script, wrkScript, 0o600); err != nil {
		t.Fatal(err)
	}
	status := http.StatusServiceUnavailable
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(status) }))
	defer s.Close()
	what := load{url: s.URL, method: http.MethodGet, connections: 2}
	if o, err := l.run(t.Context(), what, time.Second); err == nil || !strings.Contains(err.Error(), "answers were not 200") {
		t.Errorf("503 to all: %+v, %v", o, err)
	}
	what.refusals = true
	if o, err := l.run(t.Context(), what, time.Second); err != nil || o.Refused != o.Requests || o.Requests == 0 {
		t.Errorf("503, which was wanted: %+v, %v", o, err)
	}
	what.pool = &pool{tokens: []string{"a"}, part: 2}
	if _, err := l.run(t.Context(), what, time.Second); !errors.Is(err, errPoolEmpty) {
		t.Errorf("a pool that is too small: %v", err)
	}
}

// TestEachRefreshHasItsOwnToken: no token is sent twice, also when those of the pool are
// used up and successors go around.
func TestEachRefreshHasItsOwnToken(t *testing.T) {
	needWrk(t)
	l := &lab{dir: t.TempDir(), script: filepath.Join(t.TempDir(), "wrk.lua")}
	if err := os.WriteFile(l.script, wrkScript, 0o600); err != nil {
		t.Fatal(err)
	}
	chain := newChain(64)
	s := httptest.NewServer(chain)
	defer s.Close()
	o, err := l.run(t.Context(), refreshLoad(s.URL, &pool{tokens: chain.first(), part: 64}), time.Second)
	if err != nil || o.Requests <= 64 {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestInterrupt: what was started is gone, and so are its files.
func TestInterrupt(t *testing.T) {
	needWrk(t)
	tmp := t.TempDir()
	cmd := exec.Command("../../scripts/bench", "--quick", "--only", "machine,refresh")
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for deadline := time.Now().Add(2 * time.Minute); !running(t, tmp, "wrk"); {
		select {
		case err := <-ended:
			text, _ := os.ReadFile(out.Name())
			t.Fatalf("it ended before the load: %v\n%s", err, text)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			cmd.Process.Kill()
			t.Fatal("no load within two minutes")
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("an interrupted run ended with 0")
	}
	if running(t, tmp, "") {
		t.Error("a process is left")
	}
	left, err := filepath.Glob(filepath.Join(tmp, "*bench*"))
	if err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, %v", left, err)
	}
}

// running reports whether a process of this run lives: its command or its environment
// names the directory.
func running(t *testing.T, dir, program string) bool {
	t.Helper()
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(processes) == 0 {
		t.Fatalf("no processes are seen: %v", err)
	}
	return slices.ContainsFunc(processes, func(p string) bool {
		command, err := os.ReadFile(filepath.Join(p, "cmdline"))
		return err == nil && strings.Contains(string(command), dir) && strings.HasPrefix(string(command), program)
	})
}
