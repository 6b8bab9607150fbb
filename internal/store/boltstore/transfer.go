package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"go.etcd.io/bbolt"

	"signet/internal/audit"
	"signet/internal/store/record"
	"signet/internal/store/transfer"
	"signet/issuer"
	"signet/users"
)

var (
	_ transfer.Reader = (*Store)(nil)
	_ transfer.Target = (*Target)(nil)
)

// filling stands in place of application while a database is being filled: whoever opens
// it, an older Signet too, refuses it.
const filling = "signet, being filled"

var keyFilling = []byte("filling")

// Target is a database that is being filled, and that Open refuses until it is finished.
type Target struct{ *Store }

// OpenTarget makes the database at path, to be filled from what from names, or opens one
// that was begun so; anew empties that first. It returns fs.ErrExist for any other file,
// and a transfer.FillingError for one that is filled from elsewhere.
func OpenTarget(path, from string, anew bool, opts Options) (*Target, error) {
	opts.filling = true
	if err := begin(path, from, opts); err != nil {
		return nil, err
	}
	t, err := openTarget(path, from, opts)
	if !anew || err != nil && !errors.As(err, new(*transfer.FillingError)) {
		return t, err
	}
	if t != nil {
		if err := t.Close(); err != nil {
			return nil, err
		}
	}
	if err := os.Remove(path); err != nil {
		return nil, openError(path, err)
	}
	return OpenTarget(path, from, false, opts)
}

// begin makes the database where there is no file.
func begin(path, from string, opts Options) error {
	_, err := os.Lstat(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	mark, err := json.Marshal(transfer.Mark{From: from})
	if err != nil {
		return err
	}
	return createWith(path, func(tx *bbolt.Tx) error {
		if err := prepare(tx); err != nil {
			return err
		}
		meta := tx.Bucket(bucketMeta)
		return errors.Join(meta.Put(keyApplication, []byte(filling)), meta.Put(keyFilling, mark))
	})
}

func openTarget(path, from string, opts Options) (*Target, error) {
	store, err := Open(path, opts)
	if err != nil {
		return nil, err
	}
	t := &Target{store}
	mark, err := t.mark(context.Background())
	switch {
	case err == nil && mark == nil:
		err = fmt.Errorf("%s: %w", path, fs.ErrExist)
	case err == nil && mark.From != from:
		err = &transfer.FillingError{Database: path, From: mark.From}
	}
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return t, nil
}

// mark returns what the database says of its being filled; nil if it is not.
func (t *Target) mark(ctx context.Context) (mark *transfer.Mark, err error) {
	err = t.view(ctx, func(tx *tx) (err error) {
		mark, err = readFilling(tx.Tx)
		return err
	})
	return mark, err
}

// readFilling is nil for a database that is not being filled.
func readFilling(tx *bbolt.Tx) (*transfer.Mark, error) {
	meta := tx.Bucket(bucketMeta)
	if meta == nil || string(meta.Get(keyApplication)) != filling {
		return nil, nil
	}
	mark := new(transfer.Mark)
	if err := json.Unmarshal(meta.Get(keyFilling), mark); err != nil {
		return nil, fmt.Errorf("%w: the place of its filling cannot be read: %w", ErrStorage, err)
	}
	return mark, nil
}

// Place implements transfer.Target.
func (t *Target) Place(ctx context.Context) (transfer.Place, error) {
	mark, err := t.mark(ctx)
	if err != nil || mark == nil {
		return transfer.Place{}, err
	}
	return mark.Place, nil
}

// Put implements transfer.Target.
func (t *Target) Put(ctx context.Context, page transfer.Page, at transfer.Place) error {
	mark, err := t.mark(ctx)
	if err != nil {
		return err
	}
	text, err := json.Marshal(transfer.Mark{From: mark.From, Place: at})
	if err != nil {
		return err
	}
	return t.write(ctx, func(tx *tx) error {
		if err := putPage(tx, page); err != nil {
			return &writeError{op: "fill", bucket: string(at.Kind), err: err}
		}
		return tx.put(bucketMeta, keyFilling, text)
	})
}

// Finish implements transfer.Target.
func (t *Target) Finish(ctx context.Context) error {
	return t.write(ctx, func(tx *tx) error {
		return errors.Join(tx.put(bucketMeta, keyApplication, []byte(application)), tx.delete(bucketMeta, keyFilling))
	})
}

func putPage(t *tx, page transfer.Page) error {
	for _, u := range page.Users {
		if err := putUser(t, u); err != nil {
			return err
		}
	}
	for _, s := range page.Sessions {
		if err := errors.Join(storeSession(t, s), t.put(bucketBySubject, subjectKey(s.Subject, s.ID), nil)); err != nil {
			return err
		}
	}
	for _, c := range page.Clients {
		value, err := record.EncodeClient(c)
		if err != nil {
			return err
		}
		if err := t.put(bucketClients, []byte(c.ID), value); err != nil {
			return err
		}
	}
	for _, a := range page.Assertions {
		if err := t.put(bucketUsed, append(expiryKey(a.Expires), a.Hash[:]...), []byte{}); err != nil {
			return err
		}
	}
	return putSingle(t, page.Rest)
}

func putUser(t *tx, u users.User) error {
	id, name := []byte(u.ID), []byte(u.Name)
	if t.get(bucketNames, name) != nil || t.get(bucketUsers, id) != nil {
		return users.ErrExists
	}
	value, err := record.EncodeUser(u)
	if err != nil {
		return err
	}
	if err := indexUser(t, users.User{}, u); err != nil {
		return err
	}
	return errors.Join(t.put(bucketUsers, id, value), t.put(bucketNames, name, id))
}

func putSingle(t *tx, one *transfer.Single) error {
	if one == nil {
		return nil
	}
	ring, err := record.EncodeRing(one.Ring)
	if err != nil {
		return err
	}
	mark, err := json.Marshal(one.AuditMark)
	if err != nil {
		return err
	}
	if one.Ring.Version > 0 {
		err = t.put(bucketKeys, keyRing, ring)
	}
	if len(one.DecoyKey) > 0 {
		err = errors.Join(err, t.put(bucketMeta, keyDecoys, one.DecoyKey))
	}
	if one.AuditMark != (audit.Mark{}) {
		err = errors.Join(err, t.put(bucketMeta, keyAuditMark, mark))
	}
	return err
}

// Count implements transfer.Reader.
func (s *Store) Count(ctx context.Context, kind transfer.Kind) (n int, err error) {
	bucket := map[transfer.Kind][]byte{
		transfer.Users: bucketUsers, transfer.Sessions: bucketSessions, transfer.Clients: bucketClients, transfer.Assertions: bucketUsed,
	}[kind]
	if bucket == nil {
		return 1, nil
	}
	err = s.view(ctx, func(t *tx) error {
		n = t.Bucket(bucket).Stats().KeyN
		return nil
	})
	return n, err
}

// Page implements transfer.Reader.
func (s *Store) Page(ctx context.Context, kind transfer.Kind, after string, limit int) (page transfer.Page, err error) {
	switch kind {
	case transfer.Users:
		page.Users, err = s.Users(ctx, after, limit)
	case transfer.Sessions:
		err = s.view(ctx, func(t *tx) (err error) {
			page.Sessions, err = sessionsAfter(t, after, limit)
			return err
		})
	case transfer.Clients:
		page.Clients, err = s.Clients(ctx, after, limit)
	case transfer.Assertions:
		page.Assertions, err = s.assertionsAfter(ctx, after, limit)
	default:
		if after == "" {
			page.Rest, err = s.single(ctx)
		}
	}
	return page, err
}

func sessionsAfter(t *tx, after string, limit int) (page []issuer.Session, err error) {
	for id, record := range following(t.Bucket(bucketSessions).Cursor(), nil, after) {
		if len(page) >= limit {
			break
		}
		session, err := decodeSession(string(id), record)
		if err != nil {
			return nil, err
		}
		page = append(page, session)
	}
	return page, nil
}

func (s *Store) assertionsAfter(ctx context.Context, after string, limit int) (page []transfer.Assertion, err error) {
	last, err := transfer.ParsePlace(after)
	if err != nil {
		return nil, err
	}
	key := ""
	if after != "" {
		key = string(append(expiryKey(last.Expires), last.Hash[:]...))
	}
	err = s.view(ctx, func(t *tx) error {
		for k := range following(t.Bucket(bucketUsed).Cursor(), nil, key) {
			if len(page) >= limit {
				return nil
			}
			if len(k) != 24 {
				return s.storageError("read a used assertion of", errors.New("its key has another length"))
			}
			page = append(page, transfer.Assertion{Expires: time.UnixMilli(int64(binary.BigEndian.Uint64(k))).UTC(), Hash: [16]byte(k[8:])})
		}
		return nil
	})
	return page, err
}

func (s *Store) single(ctx context.Context) (*transfer.Single, error) {
	one := new(transfer.Single)
	var err error
	if one.AuditMark, err = s.AuditMark(ctx); err != nil {
		return nil, err
	}
	if one.HashKinds, err = s.HashKinds(ctx); err != nil {
		return nil, err
	}
	err = s.view(ctx, func(t *tx) (err error) {
		one.DecoyKey = bytes.Clone(t.get(bucketMeta, keyDecoys))
		one.Ring, err = loadRing(t)
		return err
	})
	return one, err
}
