package storetest

import (
	"context"
	"testing"

	"signet/internal/audit"
)

func testAuditHead(t *testing.T, s Store) {
	if h, err := s.AuditHead(t.Context()); err != nil || h != (audit.Head{}) {
		t.Errorf("a new store has the mark %v, %v; want the zero one", h, err)
	}
	for _, want := range []audit.Head{{Seq: 7, Hash: audit.Hash{1, 2, 3}}, {Seq: 1 << 40, Hash: audit.Hash{255}}, {}} {
		if err := s.SetAuditHead(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		if h, err := s.AuditHead(t.Context()); err != nil || h != want {
			t.Errorf("the mark is %v, %v; want %v", h, err, want)
		}
	}
}

// AuditHead implements audit.Marks.
func (f *Faulty) AuditHead(ctx context.Context) (audit.Head, error) {
	return query(f, "AuditHead", func() (audit.Head, error) { return f.store.AuditHead(ctx) })
}

// SetAuditHead implements audit.Marks.
func (f *Faulty) SetAuditHead(ctx context.Context, h audit.Head) error {
	return f.call("SetAuditHead", func() error { return f.store.SetAuditHead(ctx, h) })
}
