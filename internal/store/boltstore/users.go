package boltstore

import (
	"context"

	"signet/users"
)

// CreateUser implements users.Store.
func (s *Store) CreateUser(ctx context.Context, u users.User) error {
	u.Version = 1
	value, err := encodeUser(u)
	if err != nil {
		return err
	}
	id, name := []byte(u.ID), []byte(u.Name)
	return s.write(ctx, func(t *tx) error {
		if t.get(bucketNames, name) != nil || t.get(bucketUsers, id) != nil {
			return users.ErrExists
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
	value, err := encodeUser(u)
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

func loadUser(t *tx, id string) (users.User, error) {
	b := t.get(bucketUsers, []byte(id))
	if b == nil {
		return users.User{}, users.ErrNotFound
	}
	return decodeUser(id, b)
}
