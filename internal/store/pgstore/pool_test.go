package pgstore

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"signet/internal/audit"
	"signet/internal/throttle"
	"signet/keystore"
)

// TestFloodLeavesTheReplicaItsOwn: while requests hold every connection of theirs, what the
// replica does by itself goes on.
func TestFloodLeavesTheReplicaItsOwn(t *testing.T) {
	s := openTest(t, newDatabase(t)+"&pool_max_conns=2")
	s.acquireLimit = 100 * time.Millisecond
	for range 2 {
		c, err := s.pool.Acquire(t.Context())
		must(t, err)
		defer c.Release()
	}
	_, err := s.UserByName(t.Context(), "nobody")
	if !errors.Is(err, errBusy) || !strings.Contains(err.Error(), "raise pool_max_conns") {
		t.Errorf("a request: %v, want %v", err, errBusy)
	}
	for name, do := range map[string]func(ctx context.Context) error{
		"LoadRing":      func(ctx context.Context) error { _, err := s.LoadRing(ctx); return err },
		"ReplaceRing":   func(ctx context.Context) error { return s.ReplaceRing(ctx, keystore.Ring{}) },
		"Time":          func(ctx context.Context) error { _, err := s.Time(ctx); return err },
		"CheckWritable": s.CheckWritable,
		"AuditMark":     func(ctx context.Context) error { _, err := s.AuditMark(ctx); return err },
		"SetAuditMark":  func(ctx context.Context) error { return s.SetAuditMark(ctx, audit.Mark{}) },
		"Exchange": func(ctx context.Context) error {
			_, err := s.Exchange(ctx, throttle.Batch{Replica: 1, Number: 1, Body: []byte{1}}, nil)
			return err
		},
		"Sweep": s.Sweep,
	} {
		if err := do(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if p := s.Pool(); p.Limit != 2 || p.InUse != 2 {
		t.Errorf("%+v, want 2 connections for requests, in use", p)
	}
	if n := s.own.Stat().MaxConns(); n != ownConnections {
		t.Errorf("%d connections of its own, want %d", n, ownConnections)
	}
}
