package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"iter"
	"time"

	"go.etcd.io/bbolt"

	"signet/internal/store/record"
	"signet/issuer"
)

// CreateSession implements issuer.Sessions.
func (s *Store) CreateSession(ctx context.Context, session issuer.Session) error {
	value, err := encodeSession(session)
	if err != nil {
		return err
	}
	id := []byte(session.ID)
	return s.write(ctx, func(t *tx) error {
		if t.get(bucketSessions, id) != nil {
			return issuer.ErrSessionExists
		}
		pack(t)
		if err := t.put(bucketSessions, id, value); err != nil {
			return err
		}
		return t.put(bucketBySubject, subjectKey(session.Subject, session.ID), nil)
	})
}

// Session implements issuer.Sessions.
func (s *Store) Session(ctx context.Context, id string) (session issuer.Session, err error) {
	err = s.view(ctx, func(t *tx) (err error) {
		session, err = loadSession(t, id)
		return err
	})
	return session, err
}

// AdvanceSession implements issuer.Sessions. It rewrites the record alone: the
// index does not depend on anything that a refresh changes.
func (s *Store) AdvanceSession(ctx context.Context, id string, step issuer.Step) (session issuer.Session, outcome issuer.Outcome, err error) {
	// In the resolution of the store, so that the session returned is the one stored.
	step.Now, step.Expires = milliseconds(step.Now), milliseconds(step.Expires)
	err = s.write(ctx, func(t *tx) (err error) {
		session, err = loadSession(t, id)
		if err != nil {
			return err
		}
		switch outcome = session.Advance(step); outcome {
		case issuer.Advanced:
			return storeSession(t, session)
		case issuer.Reused, issuer.Superseded:
			return deleteSession(t, session)
		default:
			return nil
		}
	})
	if err != nil {
		return issuer.Session{}, 0, err
	}
	return session, outcome, nil
}

// EndSession implements issuer.Sessions.
func (s *Store) EndSession(ctx context.Context, id string) error {
	return s.write(ctx, func(t *tx) error {
		session, err := loadSession(t, id)
		if err != nil {
			return err
		}
		return deleteSession(t, session)
	})
}

// ListSessions implements issuer.SessionIndex.
func (s *Store) ListSessions(ctx context.Context, subject, after string, limit int) (page []issuer.Session, err error) {
	err = s.view(ctx, func(t *tx) error {
		for id := range sessionIDs(t, subject, after) {
			if len(page) >= limit {
				return nil
			}
			session, err := loadSession(t, id)
			if err != nil {
				return err
			}
			page = append(page, session)
		}
		return nil
	})
	return page, err
}

// EndSubjectSessions implements issuer.SessionIndex.
func (s *Store) EndSubjectSessions(ctx context.Context, subject string) (ended int, err error) {
	err = s.write(ctx, func(t *tx) error {
		ended = 0
		// Deleting moves a cursor: the keys come first.
		var ids []string
		for key := range following(t.Bucket(bucketBySubject).Cursor(), subjectKey(subject, ""), "") {
			ids = append(ids, string(key))
		}
		for _, id := range ids {
			if err := deleteSession(t, issuer.Session{ID: id, Subject: subject}); err != nil {
				return err
			}
			ended++
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return ended, nil
}

// sweepBatch is how many sessions a step of a sweep ends at most: each touches a page of
// its own in the index, and writers wait for all of them.
const sweepBatch = 100

// SweepSessions implements issuer.SessionIndex. It looks for candidates in a
// read transaction, and occupies the writer only to delete them.
func (s *Store) SweepSessions(ctx context.Context, sweep issuer.Sweep, after string, limit int) (ended int, last string, err error) {
	candidates, last, err := s.sweepCandidates(ctx, sweep, after, limit)
	if err != nil || len(candidates) == 0 {
		return 0, last, err
	}
	err = s.write(ctx, func(t *tx) (err error) {
		ended, err = endMatching(t, sweep, candidates)
		return err
	})
	if err != nil {
		return 0, "", err
	}
	return ended, last, nil
}

func (s *Store) sweepCandidates(ctx context.Context, sweep issuer.Sweep, after string, limit int) (ids []string, last string, err error) {
	err = s.view(ctx, func(t *tx) error {
		looked, at := 0, []byte(nil)
		for key, value := range following(t.Bucket(bucketSessions).Cursor(), nil, after) {
			if looked >= limit || len(ids) >= sweepBatch {
				last = string(at)
				return nil
			}
			looked, at = looked+1, key
			ends, err := matches(sweep, key, value)
			if err != nil {
				return err
			}
			if ends {
				ids = append(ids, string(key))
			}
		}
		last = ""
		return nil
	})
	return ids, last, err
}

// endMatching deletes those candidates that still match: one may have been
// refreshed since, or have ended.
func endMatching(t *tx, sweep issuer.Sweep, ids []string) (ended int, err error) {
	var matching []issuer.Session
	for _, id := range ids {
		b := t.get(bucketSessions, []byte(id))
		if b == nil {
			continue
		}
		session, err := decodeSession(id, b)
		if err != nil {
			return 0, err
		}
		if sweep.Matches(session) {
			matching = append(matching, session)
		}
	}
	for _, session := range matching {
		if err := deleteSession(t, session); err != nil {
			return 0, err
		}
	}
	return len(matching), nil
}

func loadSession(t *tx, id string) (issuer.Session, error) {
	b := t.get(bucketSessions, []byte(id))
	if b == nil {
		return issuer.Session{}, issuer.ErrNoSession
	}
	return decodeSession(id, b)
}

func storeSession(t *tx, session issuer.Session) error {
	value, err := encodeSession(session)
	if err != nil {
		return err
	}
	pack(t)
	return t.put(bucketSessions, []byte(session.ID), value)
}

// pack keeps the pages of sessions full. IDs are in order of time and records do not grow,
// so nothing comes between those of a page once it was split; bbolt's half would stay
// half. It merges pages that are filled to less than half of this.
func pack(t *tx) { t.Bucket(bucketSessions).FillPercent = 0.9 }

func deleteSession(t *tx, session issuer.Session) error {
	pack(t)
	if err := t.delete(bucketSessions, []byte(session.ID)); err != nil {
		return err
	}
	return t.delete(bucketBySubject, subjectKey(session.Subject, session.ID))
}

// subjectKey is a key of the index: the subject, after its length so that no
// subject is a prefix of another, and the session.
func subjectKey(subject, id string) []byte {
	key := binary.BigEndian.AppendUint32(nil, uint32(len(subject)))
	return append(append(key, subject...), id...)
}

// sessionIDs yields the sessions of a subject, or all if it is empty, whose ID
// is greater than after.
func sessionIDs(t *tx, subject, after string) iter.Seq[string] {
	bucket, prefix := bucketSessions, []byte(nil)
	if subject != "" {
		bucket, prefix = bucketBySubject, subjectKey(subject, "")
	}
	return func(yield func(string) bool) {
		for id := range following(t.Bucket(bucket).Cursor(), prefix, after) {
			if !yield(string(id)) {
				return
			}
		}
	}
}

// following yields the entries whose key begins with prefix and goes on with
// something greater than after; the keys come without the prefix.
func following(c *bbolt.Cursor, prefix []byte, after string) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		start := append(bytes.Clone(prefix), after...)
		k, v := c.Seek(start)
		if after != "" && bytes.Equal(k, start) {
			k, v = c.Next()
		}
		for ; k != nil && bytes.HasPrefix(k, prefix); k, v = c.Next() {
			if !yield(k[len(prefix):], v) {
				return
			}
		}
	}
}

func milliseconds(t time.Time) time.Time { return record.Instant(t.UnixMilli()) }
