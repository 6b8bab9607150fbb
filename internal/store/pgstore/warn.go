package pgstore

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// warnUnverified is said of TLS without a verified name, which keeps out listeners alone.
const warnUnverified = "the certificate of the database is not verified: add sslmode=verify-full and sslrootcert=FILE to its URL"

// unverified reports whether a connection may be to a host that has proved nothing.
func unverified(config *pgx.ConnConfig) bool {
	for _, w := range ways(config) {
		if w.tls != nil && w.tls.InsecureSkipVerify && w.tls.VerifyPeerCertificate == nil && w.tls.VerifyConnection == nil {
			return true
		}
	}
	return false
}

// warnWay is what is to be said of the way to the database.
func warnWay(config *pgx.ConnConfig) []string {
	if unverified(config) {
		return []string{warnUnverified}
	}
	return nil
}

// warnCommit is said of a server that answers before a change is on its disk.
const warnCommit = "the database has synchronous_commit=off: a crash of it undoes what was answered, the revocation of a key too; set it to on, at least for the user of signet"

// readCommit reads when a commit is answered; empty where an engine has no such setting.
const readCommit = `SELECT coalesce(current_setting('synchronous_commit', true), '')`

func (s *Store) commits(ctx context.Context) (mode string, err error) {
	err = s.readOn(ctx, s.own, func(ctx context.Context, q querier) error {
		err := q.QueryRow(ctx, readCommit).Scan(&mode)
		if code(err) == undefinedFunction {
			return nil
		}
		return err
	})
	return mode, err
}

// warn gathers what is allowed and unsafe, and logs it.
func (s *Store) warn(ctx context.Context) error {
	s.warnings = warnWay(s.pool.Config().ConnConfig)
	mode, err := s.commits(ctx)
	if err != nil {
		return err
	}
	if mode == "off" {
		s.warnings = append(s.warnings, warnCommit)
	}
	for _, w := range s.warnings {
		s.log.WarnContext(ctx, w, "database", s.name)
	}
	return nil
}

// Warnings are sentences about what is allowed and unsafe in the way the database is
// reached and keeps what it was told. The log has them too.
func (s *Store) Warnings() []string { return s.warnings }
