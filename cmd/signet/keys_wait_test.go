package main

import (
	"net/http"
	"strings"
	"testing"

	"signet/internal/pgtest"
)

// TestRotationWaitsWhileTheDatabaseIsSilent: that nobody of the others is heard of does not
// say that nobody lacks the new key. The server itself knows of no consumer, and all else
// that a rotation needs works: what ends the wait too early would let the key sign.
func TestRotationWaitsWhileTheDatabaseIsSilent(t *testing.T) {
	t.Parallel()
	cluster := pgtest.New(t, pgtest.Options{})
	database := cluster.Database(t)
	all := replicas(t, database, 3, "SIGNET_KEYS_ALGORITHMS=ES256", "SIGNET_KEYS_JWKS_MAX_AGE=1s", "SIGNET_KEYS_PUBLISH_AHEAD=1h")
	a, b := all[0], all[1]
	b.fetch(t, "orders")
	a.awaitConsumers(t, 3, 1)

	cluster.Exec(t, database, "ALTER TABLE signet_peers RENAME TO signet_silent")
	out, errs, err := a.signet(t, "", "keys", "rotate", "--wait", "--for", "2s")
	if err == nil || out != "" || !strings.Contains(errs, "who fetched the key set from other servers is not known: ") ||
		!strings.Contains(errs, "\nthe new key stays published, and held\n  try: signet keys rotate --wait") {
		t.Errorf("a wait in which nobody is heard of: %v\n%s%s", err, out, errs)
	}
	if list := a.must(t, "", "keys", "list"); strings.Count(list, "held") != 1 {
		t.Errorf("the new key is not held:\n%s", list)
	}
	cluster.Exec(t, database, "ALTER TABLE signet_silent RENAME TO signet_peers")

	a.awaitConsumers(t, 3, 1)
	if _, errs, err := a.signet(t, "", "keys", "rotate", "--wait", "--for", "1s"); err == nil || !strings.Contains(errs, "1 consumer has not fetched the new key within 1s") {
		t.Errorf("a wait for one who is heard of again: %v\n%s", err, errs)
	}
	if status, body := ask(t, http.MethodGet, a.base+"/.well-known/jwks.json?rs=orders", nil); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	if out := a.must(t, "", "keys", "rotate", "--wait", "--for", "10s"); !strings.Contains(out, "signs from ") {
		t.Errorf("once it has fetched the key: %s", out)
	}
}
