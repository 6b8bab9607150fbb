package boltstore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"signet/issuer/oauth"
)

// A used assertion is a key alone: its expiry, by which the keys are in order and are
// swept, and a hash of whose it is. A replay has the same of both.
func assertionKey(client, jti string, expires time.Time) []byte {
	hash := sha256.Sum256([]byte(client + "\x00" + jti))
	return append(expiryKey(expires), hash[:16]...)
}

func expiryKey(t time.Time) []byte {
	return binary.BigEndian.AppendUint64(nil, uint64(max(0, t.UnixMilli())))
}

// UseAssertion implements oauth.Assertions.
func (s *Store) UseAssertion(ctx context.Context, client, jti string, expires time.Time) error {
	key := assertionKey(client, jti, expires)
	return s.write(ctx, func(t *tx) error {
		if t.get(bucketUsed, key) != nil {
			return oauth.ErrReplayed
		}
		return t.put(bucketUsed, key, []byte{})
	})
}

// SweepAssertions implements oauth.Assertions.
func (s *Store) SweepAssertions(ctx context.Context, now time.Time, limit int) (swept int, err error) {
	end := expiryKey(now)
	err = s.write(ctx, func(t *tx) error {
		var expired [][]byte
		c := t.Bucket(bucketUsed).Cursor()
		for k, _ := c.First(); k != nil && len(expired) < limit && string(k[:8]) < string(end); k, _ = c.Next() {
			expired = append(expired, k)
		}
		for _, k := range expired {
			if err := t.delete(bucketUsed, k); err != nil {
				return err
			}
		}
		swept = len(expired)
		return nil
	})
	if err != nil {
		return 0, err
	}
	return swept, nil
}
