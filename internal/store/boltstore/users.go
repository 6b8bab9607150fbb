package boltstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"

	"signet/internal/store/record"
	"signet/users"
)

// CreateUser implements users.Store.
func (s *Store) CreateUser(ctx context.Context, u users.User) error {
	u.Version = 1
	value, err := record.EncodeUser(u)
	if err != nil {
		return err
	}
	id, name := []byte(u.ID), []byte(u.Name)
	return s.write(ctx, func(t *tx) error {
		if t.get(bucketNames, name) != nil || t.get(bucketUsers, id) != nil {
			return users.ErrExists
		}
		if err := indexUser(t, users.User{}, u); err != nil {
			return err
		}
		if err := t.put(bucketUsers, id, value); err != nil {
			return err
		}
		return t.put(bucketNames, name, id)
	})
}

// UserByName implements users.Store.
func (s *Store) UserByName(ctx context.Context, name string) (u users.User, err error) {
	err = s.view(ctx, func(t *tx) (err error) {
		id := t.get(bucketNames, []byte(name))
		if id == nil {
			return users.ErrNotFound
		}
		u, err = loadUser(t, string(id))
		return err
	})
	return u, err
}

// UserByUserID implements users.Store.
func (s *Store) UserByUserID(ctx context.Context, userID string) (u users.User, err error) {
	err = s.view(ctx, func(t *tx) (err error) {
		id := t.get(bucketUserIDs, []byte(userID))
		if id == nil {
			return users.ErrNotFound
		}
		u, err = loadUser(t, string(id))
		return err
	})
	return u, err
}

// UserByID implements users.Store.
func (s *Store) UserByID(ctx context.Context, id string) (u users.User, err error) {
	err = s.view(ctx, func(t *tx) (err error) {
		u, err = loadUser(t, id)
		return err
	})
	return u, err
}

// UpdateUser implements users.Store.
func (s *Store) UpdateUser(ctx context.Context, u users.User) error {
	expected := u.Version
	u.Version++
	value, err := record.EncodeUser(u)
	if err != nil {
		return err
	}
	return s.write(ctx, func(t *tx) error {
		stored, err := loadUser(t, u.ID)
		if err != nil {
			return err
		}
		if stored.Version != expected || stored.Name != u.Name {
			return users.ErrConflict
		}
		if err := indexUser(t, stored, u); err != nil {
			return err
		}
		return t.put(bucketUsers, []byte(u.ID), value)
	})
}

// RemoveUser implements users.Store.
func (s *Store) RemoveUser(ctx context.Context, id string) error {
	return s.write(ctx, func(t *tx) error {
		u, err := loadUser(t, id)
		if err != nil {
			return err
		}
		if err := indexUser(t, u, users.User{}); err != nil {
			return err
		}
		if err := t.delete(bucketUsers, []byte(id)); err != nil {
			return err
		}
		return t.delete(bucketNames, []byte(u.Name))
	})
}

// Users implements users.Store.
func (s *Store) Users(ctx context.Context, after string, limit int) (page []users.User, err error) {
	err = s.view(ctx, func(t *tx) error {
		for _, id := range following(t.Bucket(bucketNames).Cursor(), nil, after) {
			if len(page) >= limit {
				return nil
			}
			u, err := loadUser(t, string(id))
			if err != nil {
				return err
			}
			page = append(page, u)
		}
		return nil
	})
	return page, err
}

// HashKinds implements users.Store.
func (s *Store) HashKinds(ctx context.Context) (map[string]int, error) {
	counts := map[string]int{}
	err := s.view(ctx, func(t *tx) error {
		for kind, n := range following(t.Bucket(bucketHashes).Cursor(), kindPrefix, "") {
			counts[string(kind)] = int(binary.BigEndian.Uint64(n))
		}
		return nil
	})
	return counts, err
}

// DecoyKey returns the key for users.Options: 256 random bits, made when it is first
// asked for. Whoever reads it here reads the names of all accounts beside it.
func (s *Store) DecoyKey(ctx context.Context) (key []byte, err error) {
	read := func(t *tx) error {
		key = bytes.Clone(t.get(bucketMeta, keyDecoys))
		return nil
	}
	if err := s.view(ctx, read); err != nil || key != nil {
		return key, err
	}
	fresh := make([]byte, 32)
	rand.Read(fresh)
	err = s.write(ctx, func(t *tx) error {
		if read(t); key != nil {
			return nil
		}
		key = fresh
		return t.put(bucketMeta, keyDecoys, fresh)
	})
	return key, err
}

// indexUser follows a change of an account in the index of user ids and in the counts
// of hash kinds; the zero User stands for none.
func indexUser(t *tx, before, after users.User) error {
	if before.UserID != after.UserID {
		if err := indexUserID(t, before, after); err != nil {
			return err
		}
	}
	if before.ID != "" && after.ID != "" && before.Hash == after.Hash {
		return nil
	}
	for _, step := range []struct {
		user users.User
		by   int64
	}{{before, -1}, {after, 1}} {
		if step.user.ID == "" {
			continue
		}
		if err := countHash(t, users.HashKind(step.user.Hash), step.by); err != nil {
			return err
		}
	}
	return nil
}

func indexUserID(t *tx, before, after users.User) error {
	if after.UserID != "" {
		if t.get(bucketUserIDs, []byte(after.UserID)) != nil {
			return users.ErrUserID
		}
		if err := t.put(bucketUserIDs, []byte(after.UserID), []byte(after.ID)); err != nil {
			return err
		}
	}
	if before.UserID == "" {
		return nil
	}
	return t.delete(bucketUserIDs, []byte(before.UserID))
}

// kindPrefix stands before the name of a kind, which may be empty: bbolt takes no
// empty key.
var kindPrefix = []byte{'k'}

// countHash adds to the count of a kind.
func countHash(t *tx, kind string, by int64) error {
	key := append(bytes.Clone(kindPrefix), kind...)
	count := uint64(by)
	if stored := t.get(bucketHashes, key); stored != nil {
		count += binary.BigEndian.Uint64(stored)
	}
	if count == 0 {
		return t.delete(bucketHashes, key)
	}
	return t.put(bucketHashes, key, binary.BigEndian.AppendUint64(nil, count))
}

func loadUser(t *tx, id string) (users.User, error) {
	b := t.get(bucketUsers, []byte(id))
	if b == nil {
		return users.User{}, users.ErrNotFound
	}
	return record.DecodeUser(id, b)
}
