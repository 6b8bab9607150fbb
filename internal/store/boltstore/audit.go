package boltstore

import (
	"context"
	"encoding/json"

	"signet/internal/audit"
)

// AuditHead implements audit.Marks.
func (s *Store) AuditHead(ctx context.Context) (h audit.Head, err error) {
	err = s.view(ctx, func(t *tx) error {
		text := t.get(bucketMeta, keyAuditHead)
		if text == nil {
			return nil
		}
		if err := json.Unmarshal(text, &h); err != nil {
			return s.storageError("read the mark of the audit log in", err)
		}
		return nil
	})
	return h, err
}

// SetAuditHead implements audit.Marks.
func (s *Store) SetAuditHead(ctx context.Context, h audit.Head) error {
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return s.write(ctx, func(t *tx) error { return t.put(bucketMeta, keyAuditHead, text) })
}
