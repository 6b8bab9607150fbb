package pgstore

import (
	"context"
	"crypto/sha256"
	"time"

	"signet/issuer/oauth"
)

// assertionHash stands for whose assertion it is. A replay has the same, and the same
// expiry.
func assertionHash(client, jti string) []byte {
	hash := sha256.Sum256([]byte(client + "\x00" + jti))
	return hash[:16]
}

// UseAssertion implements oauth.Assertions.
func (s *Store) UseAssertion(ctx context.Context, client, jti string, expires time.Time) error {
	return s.write(ctx, func(ctx context.Context, q querier) error {
		return orRefuse(oauth.ErrReplayed)(q.Exec(ctx,
			`INSERT INTO signet_assertions (expires, hash) VALUES ($1, $2) ON CONFLICT (expires, hash) DO NOTHING`,
			expires.UnixMilli(), assertionHash(client, jti)))
	})
}

// SweepAssertions implements oauth.Assertions.
func (s *Store) SweepAssertions(ctx context.Context, now time.Time, limit int) (swept int, err error) {
	err = s.write(ctx, func(ctx context.Context, q querier) error {
		tag, err := q.Exec(ctx, `DELETE FROM signet_assertions WHERE (expires, hash) IN (
			SELECT expires, hash FROM signet_assertions WHERE expires < $1 ORDER BY expires, hash LIMIT $2)`, now.UnixMilli(), limit)
		swept = int(tag.RowsAffected())
		return err
	})
	if err != nil {
		return 0, err
	}
	return swept, nil
}
