package main

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signet/configs"
	"signet/internal/control"
	"signet/internal/store/boltstore"
	"signet/internal/web/problem"
	"signet/issuer"
	"signet/keystore"
)

// sharedStore is a store with a clock, as several processes have it.
type sharedStore struct{ *boltstore.Store }

func (sharedStore) Time(context.Context) (time.Time, error) { return time.Now(), nil }

// TestReadyOfAReplica: /readyz says which of its own troubles keeps a replica from signing,
// and requests meanwhile are answered as those without a database.
func TestReadyOfAReplica(t *testing.T) {
	dir := t.TempDir()
	store, err := boltstore.Open(filepath.Join(dir, "signet.db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	sealing, err := keystore.OpenSealingKey(filepath.Join(dir, "seal.key"), true)
	if err != nil {
		t.Fatal(err)
	}
	var wall, elapsed time.Duration
	began := time.Now()
	keys, err := keystore.Open(t.Context(), keystore.Options{Store: sharedStore{store}, Shared: true, Sealing: sealing,
		Now: func() time.Time { return time.Now().Add(wall) }, Elapsed: func() time.Duration { return time.Since(began) + elapsed },
		Policy: &keystore.Policy{Algorithms: []string{"ES256"}, PublishAhead: time.Hour, JWKSMaxAge: time.Minute, AccessLifetime: time.Minute, RefreshLifetime: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	d := &domains{store: store, keys: keys}
	if err := d.ready(t.Context()); err != nil {
		t.Errorf("healthy: %v", err)
	}
	for _, c := range []struct {
		wall, elapsed time.Duration
		want          error
		says, logs    string
	}{
		{time.Minute, time.Minute, keystore.ErrStale, "Not ready: the keys could not be read from the database for a while, and may have changed since; the log says why.",
			"cannot sign: the keys in the database may have changed: they were last read 1m0s ago"},
		{time.Hour, 0, keystore.ErrClock, "Not ready: the clock of this machine is wrong.",
			"cannot sign: the clock of this machine has leapt: it is 1h0m0s ahead of what it should be"},
	} {
		wall, elapsed = c.wall, c.elapsed
		err := d.ready(t.Context())
		p, ok := errors.AsType[*problem.Problem](err)
		if !errors.Is(err, c.want) || !ok || p.Detail != c.says || !strings.HasPrefix(p.Cause.Error(), c.logs) {
			t.Errorf("%v, want %v, %q, and for the log %q", err, c.want, c.says, c.logs)
		}
		if _, _, err := keys.Sign("", "JWT", nil); !storageFailed(err) {
			t.Errorf("a login that meets %v is not answered with 503", err)
		}
	}
}

// TestRevokedOnReplicas: the command says how long the others go on with the key.
func TestRevokedOnReplicas(t *testing.T) {
	var alone, shared bytes.Buffer
	writeRevokedKeys(&alone, control.RevokedKey{})
	writeRevokedKeys(&shared, control.RevokedKey{Replicas: &control.ReplicaLag{Drop: keystore.PollInterval, Sign: keystore.StaleAfter}})
	want := "the other replicas drop it within 5s; one that cannot reach the database publishes it until it can, and signs with it for 15s at most\n"
	if got := shared.String(); got != alone.String()+want {
		t.Errorf("%q, want %q at the end", got, want)
	}
}

// TestPollIntervals: the configuration knows how long the keys need to be everywhere.
func TestPollIntervals(t *testing.T) {
	if configs.ReplicaPoll != keystore.PollInterval {
		t.Errorf("configs counts with %v and the keys with %v", configs.ReplicaPoll, keystore.PollInterval)
	}
	if configs.RefreshLimit != issuer.RefreshLimit {
		t.Errorf("configs counts with %v and a refresh with %v", configs.RefreshLimit, issuer.RefreshLimit)
	}
}
