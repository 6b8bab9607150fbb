package boltstore

import (
	"context"

	"signet/internal/store/record"
	"signet/issuer/oauth"
)

// CreateClient implements oauth.Store.
func (s *Store) CreateClient(ctx context.Context, c oauth.Client) error {
	c.Version = 1
	value, err := record.EncodeClient(c)
	if err != nil {
		return err
	}
	id := []byte(c.ID)
	return s.write(ctx, func(t *tx) error {
		if t.get(bucketClients, id) != nil {
			return oauth.ErrClientExists
		}
		return t.put(bucketClients, id, value)
	})
}

// Client implements oauth.Store.
func (s *Store) Client(ctx context.Context, id string) (c oauth.Client, err error) {
	err = s.view(ctx, func(t *tx) (err error) {
		c, err = loadClient(t, id)
		return err
	})
	return c, err
}

// UpdateClient implements oauth.Store.
func (s *Store) UpdateClient(ctx context.Context, c oauth.Client) error {
	expected := c.Version
	c.Version++
	value, err := record.EncodeClient(c)
	if err != nil {
		return err
	}
	return s.write(ctx, func(t *tx) error {
		stored, err := loadClient(t, c.ID)
		if err != nil {
			return err
		}
		if stored.Version != expected {
			return oauth.ErrClientConflict
		}
		return t.put(bucketClients, []byte(c.ID), value)
	})
}

// RemoveClient implements oauth.Store.
func (s *Store) RemoveClient(ctx context.Context, id string) error {
	return s.write(ctx, func(t *tx) error {
		if t.get(bucketClients, []byte(id)) == nil {
			return oauth.ErrNoClient
		}
		return t.delete(bucketClients, []byte(id))
	})
}

// Clients implements oauth.Store.
func (s *Store) Clients(ctx context.Context, after string, limit int) (page []oauth.Client, err error) {
	err = s.view(ctx, func(t *tx) error {
		for id, value := range following(t.Bucket(bucketClients).Cursor(), nil, after) {
			if len(page) >= limit {
				return nil
			}
			c, err := record.DecodeClient(string(id), value)
			if err != nil {
				return err
			}
			page = append(page, c)
		}
		return nil
	})
	return page, err
}

func loadClient(t *tx, id string) (oauth.Client, error) {
	b := t.get(bucketClients, []byte(id))
	if b == nil {
		return oauth.Client{}, oauth.ErrNoClient
	}
	return record.DecodeClient(id, b)
}
