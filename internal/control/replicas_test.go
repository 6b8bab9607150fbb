package control

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"signet/keystore"
)

// timedStore is a store of several processes.
type timedStore struct {
	keystore.Store
	now func() time.Time
}

func (s timedStore) Time(context.Context) (time.Time, error) { return s.now(), nil }

// Where several processes sign, the answers say so: a revocation takes a while elsewhere,
// and tokens were counted here alone.
func TestKeysOfReplicas(t *testing.T) {
	f := newFixture(t)
	policy := f.Keys.Policy()
	alone, err := f.revokeKey(t.Context(), Revocation{KID: f.Keys.Keys()[0].KID, DryRun: true})
	must(t, err)
	if alone.Replicas != nil {
		t.Errorf("a server that has its store alone speaks of replicas: %+v", alone.Replicas)
	}
	sealing, err := keystore.OpenSealingKey(filepath.Join(t.TempDir(), "seal.key"), true)
	must(t, err)
	f.Keys, err = keystore.Open(t.Context(), keystore.Options{Store: timedStore{new(ringInMemory), f.now}, Shared: true,
		Sealing: sealing, Now: f.now, Policy: &policy})
	must(t, err)
	kid := f.Keys.Keys()[0].KID
	if use := f.keyUse(kid, ConsumerList{}); use.Complete {
		t.Error("the count of one replica is said to be complete")
	}
	revoked, err := f.revokeKey(t.Context(), Revocation{KID: kid})
	must(t, err)
	if l := revoked.Replicas; l == nil || l.Drop != keystore.PollInterval || l.Sign != keystore.StaleAfter {
		t.Errorf("the others: %+v", l)
	}
}

// ringInMemory is a keystore.Store of one process.
type ringInMemory struct{ ring keystore.Ring }

func (s *ringInMemory) LoadRing(context.Context) (keystore.Ring, error) { return s.ring, nil }

func (s *ringInMemory) ReplaceRing(_ context.Context, r keystore.Ring) error {
	if r.Version != s.ring.Version {
		return keystore.ErrConflict
	}
	s.ring = r
	s.ring.Version++
	return nil
}
