package pgstore

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"signet/internal/audit"
	"signet/internal/throttle"
	"signet/issuer"
	"signet/keystore"
)

// refreshFindsNone: a refresh, which has less time than a call may wait, is told why it got
// no connection, and the log tells it once.
func refreshFindsNone(t *testing.T, s *Store) {
	t.Helper()
	var told bytes.Buffer
	s.log, s.acquireLimit = slog.New(slog.NewTextHandler(&told, nil)), time.Minute
	defer func() { s.acquireLimit = 100 * time.Millisecond }()
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, _, _, err := s.AdvanceWithUser(ctx, "session", "subject", issuer.Step{}, 0)
		cancel()
		if !errors.Is(err, ErrStorage) || !errors.Is(err, errBusy) || !strings.Contains(err.Error(), "raise pool_max_conns") {
			t.Errorf("a refresh: %v, want %v", err, errBusy)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, _, err := s.AdvanceWithUser(ctx, "session", "subject", issuer.Step{}, 0); !errors.Is(err, context.Canceled) || errors.Is(err, errBusy) {
		t.Errorf("a refresh whose client has gone: %v", err)
	}
	if n := strings.Count(told.String(), "\n"); n != 0 {
		t.Errorf("a minute has %d more lines:\n%s", n, told.String())
	}
	s.short.warned = s.short.warned.Add(-warnBusyEvery)
	s.tellShortage(t.Context(), 2)
	if want := "pool_max_conns=2 refused=4 do=\"raise pool_max_conns in the URL of store"; strings.Count(told.String(), "\n") != 1 || !strings.Contains(told.String(), want) {
		t.Errorf("the log after a minute: %s, want %s", told.String(), want)
	}
}

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
	refreshFindsNone(t, s)
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
