package boltstore

import (
	"context"
	"encoding/json"

	"signet/internal/audit"
)

// AuditMark implements audit.Marks.
func (s *Store) AuditMark(ctx context.Context) (m audit.Mark, err error) {
	err = s.view(ctx, func(t *tx) error {
		text := t.get(bucketMeta, keyAuditMark)
		if text == nil {
			return nil
		}
		if err := json.Unmarshal(text, &m); err != nil {
			return s.storageError("read the mark of the audit log in", err)
		}
		return nil
	})
	return m, err
}

// SetAuditMark implements audit.Marks.
func (s *Store) SetAuditMark(ctx context.Context, m audit.Mark) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return s.write(ctx, func(t *tx) error { return t.put(bucketMeta, keyAuditMark, text) })
}
