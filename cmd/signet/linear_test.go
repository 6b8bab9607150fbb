package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"signet/internal/control"
	"signet/internal/linear"
	"signet/internal/store/boltstore"
)

// linearWindows are the reuse windows of the histories: none, one that closes within a
// history, and one that does not.
var linearWindows = []time.Duration{0, time.Second, 5 * time.Minute}

// linearRun is a number of histories of one issuer.
type linearRun struct {
	t        *testing.T
	replicas []*issuerProcess
	window   time.Duration
	// faults are what happens during a history.
	faults func(chance *rand.Rand, h *linear.History) []linear.Fault
	seen   map[string]int // requests by kind and answer
}

// TestLinearOneProcess makes random histories of one process over bbolt that is killed and
// started again meanwhile: each could have happened one request after another. With
// LINEAR_TIME=5m it runs for so long instead of 10 s; LINEAR_SEED repeats the choices of a
// run, though not how requests met.
func TestLinearOneProcess(t *testing.T) {
	for _, window := range linearWindows {
		t.Run(window.String(), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			only := startProcess(t, dir, control.Rotation{Now: true}, linearEnv(window))
			run := &linearRun{t: t, replicas: []*issuerProcess{only}, window: window}
			run.faults = func(chance *rand.Rand, h *linear.History) []linear.Fault {
				crash := func() error {
					only.kill()
					h.Down()
					if err := checkFile(filepath.Join(dir, "signet.db")); err != nil {
						return err
					}
					h.Up()
					only.process = only.start()
					return nil
				}
				first := 40 + chance.IntN(100)
				return []linear.Fault{{After: first, Do: crash}, {After: first + 1 + chance.IntN(100), Do: crash}}
			}
			run.histories(3 * time.Second)
			run.expectSeen()
		})
	}
}

// checkFile checks the database that a killed process left behind.
func checkFile(path string) error {
	db, err := boltstore.Open(path, boltstore.Options{})
	if err != nil {
		return err
	}
	return errors.Join(db.Check(), db.Close())
}

// histories makes and checks histories for so long, or for what LINEAR_TIME says.
func (r *linearRun) histories(lasting time.Duration) {
	r.t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("LINEAR_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			r.t.Fatalf("LINEAR_SEED: %v", err)
		}
	}
	if text := os.Getenv("LINEAR_TIME"); text != "" {
		all, err := time.ParseDuration(text)
		if err != nil {
			r.t.Fatalf("LINEAR_TIME: %v", err)
		}
		lasting = all / time.Duration(len(linearWindows))
	}
	r.t.Logf("LINEAR_SEED=%d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	r.seen = map[string]int{}
	n := 0
	for began := time.Now(); n < 2 || time.Since(began) < lasting || n < 20 && len(r.unseen()) > 0; n++ {
		r.history(n, chance)
	}
	r.t.Logf("%d histories: %v", n, r.seen)
}

// history makes one history, of accounts of its own, and checks it.
func (r *linearRun) history(n int, chance *rand.Rand) {
	r.t.Helper()
	load := linear.Load{Seed: chance.Uint64(), Clients: 6, Requests: 300, Users: r.accounts(n)}
	for _, r := range r.replicas {
		load.Targets = append(load.Targets, r)
	}
	h := linear.NewHistory(r.window)
	load.Faults = r.faults(chance, h)
	if err := load.Run(r.t.Context(), h); err != nil {
		r.t.Fatalf("history %d: %v", n, err)
	}
	for _, op := range h.Ops() {
		r.seen[op.Kind.String()+" "+op.Answer.String()]++
	}
	if err := h.Check(time.Minute); err != nil {
		r.fail(n, err)
	}
}

// accounts adds two accounts.
func (r *linearRun) accounts(n int) []string {
	r.t.Helper()
	door, err := control.Dial(r.t.Context(), filepath.Join(r.replicas[0].dir, "control.sock"))
	if err != nil {
		r.t.Fatal(err)
	}
	defer door.Close()
	names := []string{fmt.Sprintf("kyoko-%d", n), fmt.Sprintf("madoka-%d", n)}
	for _, name := range names {
		if _, err := control.AddUser.Do(r.t.Context(), door, control.Credentials{Name: name, Password: linearPassword}); err != nil {
			r.t.Fatal(err)
		}
	}
	return names
}

// fail tells a violation, and leaves a page that shows it with the artifacts of the test
// (go test -artifacts).
func (r *linearRun) fail(n int, err error) {
	r.t.Helper()
	violation, ok := errors.AsType[*linear.Violation](err)
	if !ok {
		r.t.Fatalf("history %d: %v", n, err)
	}
	path := filepath.Join(r.t.ArtifactDir(), fmt.Sprintf("history-%d.html", n))
	page, failed := os.Create(path)
	if failed == nil {
		failed = errors.Join(violation.Draw(page), page.Close())
	}
	if failed != nil {
		r.t.Error(failed)
	}
	r.t.Fatalf("history %d: %v\nthe same as a page, which go test -artifacts keeps: %s", n, violation, path)
}

// expectSeen holds that the histories had what the check is about.
func (r *linearRun) expectSeen() {
	r.t.Helper()
	if missing := r.unseen(); len(missing) > 0 {
		r.t.Errorf("no history had %q", missing)
	}
}

// unseen are the answers that no history had so far; of those that are lost any will do.
func (r *linearRun) unseen() (missing []string) {
	for _, what := range []string{"login done", "login account inactive", "refresh done", "refresh refused", "refresh account inactive",
		"verify done", "verify refused", "logout done", "end session done", "end sessions of user done", "disable done", "enable done"} {
		if r.seen[what] == 0 {
			missing = append(missing, what)
		}
	}
	for what := range r.seen {
		if strings.HasSuffix(what, " "+linear.Lost.String()) {
			return missing
		}
	}
	return append(missing, linear.Lost.String())
}
