package record

import (
	"bytes"
	"encoding/json"
	"fmt"

	"signet/internal/store"
	"signet/keystore"
)

// DecodeRing reads what EncodeRing wrote.
func DecodeRing(b []byte) (keystore.Ring, error) {
	var r keystore.Ring
	if err := json.Unmarshal(b, &r); err != nil {
		return keystore.Ring{}, fmt.Errorf("%w: the keys cannot be read: %v: restore a backup", store.ErrStorage, err)
	}
	r.HeldUntil = r.HeldUntil.UTC()
	for i := range r.Keys {
		k := &r.Keys[i]
		k.Created, k.SignsFrom = k.Created.UTC(), k.SignsFrom.UTC()
		k.SignsUntil, k.Revoked = k.SignsUntil.UTC(), k.Revoked.UTC()
	}
	return r, nil
}

// EncodeRing returns the ring with every member as it is.
func EncodeRing(r keystore.Ring) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // the JWKs come back as they were
	if err := e.Encode(r); err != nil {
		return nil, fmt.Errorf("the keys cannot be stored: %w", err)
	}
	return b.Bytes(), nil
}
