// Package pgtest gives tests a private PostgreSQL, which package pgcluster runs.
//
// Start at [Start]; [New] is a cluster for one test alone, with settings of its own. Where
// there is no PostgreSQL a test is skipped, and fails in CI.
package pgtest

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"signet/internal/pgcluster"
)

// stepTime bounds each statement.
const stepTime = 60 * time.Second

// Cluster is a running PostgreSQL, whose failures are those of the test.
type Cluster struct{ *pgcluster.Cluster }

// Options are for New.
type Options = pgcluster.Options

var shared struct {
	once    sync.Once
	cluster *pgcluster.Cluster
	err     error
}

// Start returns the cluster that the tests of this process share. It does not sync to the
// disk.
func Start(t testing.TB) *Cluster {
	t.Helper()
	shared.once.Do(func() { shared.cluster, shared.err = pgcluster.New(Options{}) })
	require(t, shared.err)
	return &Cluster{shared.cluster}
}

// New starts a cluster that ends with the test.
func New(t testing.TB, opts Options) *Cluster {
	t.Helper()
	c, err := pgcluster.New(opts)
	require(t, err)
	t.Cleanup(func() { must(t, c.End()) })
	return &Cluster{c}
}

func require(t testing.TB, err error) {
	t.Helper()
	switch {
	case errors.Is(err, pgcluster.ErrMissing) && os.Getenv("CI") == "":
		t.Skipf("SKIPPED: %v", err)
	case err != nil:
		t.Fatalf("PostgreSQL for tests: %v", err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Database returns the URL of a new, empty database.
func (c *Cluster) Database(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stepTime)
	defer cancel()
	url, err := c.Cluster.Database(ctx)
	must(t, err)
	return url
}

// Exec runs one SQL statement in a connection of its own.
func (c *Cluster) Exec(t testing.TB, database, sql string, args ...any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), stepTime)
	defer cancel()
	must(t, c.Cluster.Exec(ctx, database, sql, args...))
}

// Stop ends the server at once, as a crash does.
func (c *Cluster) Stop(t testing.TB) {
	t.Helper()
	must(t, c.Cluster.Stop())
}

// Resume starts the server again after Stop.
func (c *Cluster) Resume(t testing.TB) {
	t.Helper()
	must(t, c.Cluster.Resume())
}

// Restart is Stop and Resume: the server recovers as after a crash, and all connections
// are gone.
func (c *Cluster) Restart(t testing.TB) {
	t.Helper()
	c.Stop(t)
	c.Resume(t)
}
