package storetest

import (
	"context"
	"testing"

	"signet/internal/audit"
)

func testAuditMark(t *testing.T, s Store) {
	if m, err := s.AuditMark(t.Context()); err != nil || m != (audit.Mark{}) {
		t.Errorf("a new store has the mark %v, %v; want the zero one", m, err)
	}
	for _, want := range []audit.Mark{
		{Head: audit.Head{Seq: 7, Hash: audit.Hash{1, 2, 3}}},
		{Start: audit.Head{Seq: 7, Hash: audit.Hash{1}}, Head: audit.Head{Seq: 1 << 40, Hash: audit.Hash{255}}},
		{},
	} {
		if err := s.SetAuditMark(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		if m, err := s.AuditMark(t.Context()); err != nil || m != want {
			t.Errorf("the mark is %v, %v; want %v", m, err, want)
		}
	}
}

// AuditMark implements audit.Marks.
func (f *Faulty) AuditMark(ctx context.Context) (audit.Mark, error) {
	return query(f, "AuditMark", func() (audit.Mark, error) { return f.store.AuditMark(ctx) })
}

// SetAuditMark implements audit.Marks.
func (f *Faulty) SetAuditMark(ctx context.Context, m audit.Mark) error {
	return f.call("SetAuditMark", func() error { return f.store.SetAuditMark(ctx, m) })
}
