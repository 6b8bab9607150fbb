// Package record is how accounts, clients, keys and identifiers are written in a
// database: the same in every one.
//
// Records are CBOR maps with integer keys (RFC 8949): small, and a field can be
// added without touching the old records. A number is never used again. The ring is
// JSON, as package keystore declares it.
package record

import (
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"

	"signet/internal/store"
	"signet/issuer/oauth"
	"signet/users"
)

type userRecord struct {
	Name            string `cbor:"1,keyasint"`
	Hash            string `cbor:"2,keyasint"`
	Disabled        bool   `cbor:"3,keyasint,omitempty"`
	Created         int64  `cbor:"4,keyasint"`
	PasswordChanged int64  `cbor:"5,keyasint"`
	Version         uint64 `cbor:"6,keyasint"`
	Epoch           uint64 `cbor:"7,keyasint,omitempty"`

	UserID      string   `cbor:"8,keyasint,omitempty"`
	Email       string   `cbor:"9,keyasint,omitempty"`
	GivenName   string   `cbor:"10,keyasint,omitempty"`
	FamilyName  string   `cbor:"11,keyasint,omitempty"`
	Staff       bool     `cbor:"12,keyasint,omitempty"`
	Superuser   bool     `cbor:"13,keyasint,omitempty"`
	Groups      []string `cbor:"14,keyasint,omitempty"`
	Permissions []string `cbor:"15,keyasint,omitempty"`
	Claims      string   `cbor:"16,keyasint,omitempty"`
}

// clientRecord omits what is empty, and an empty list comes back as nil.
type clientRecord struct {
	Public    bool           `cbor:"1,keyasint,omitempty"`
	Grants    []string       `cbor:"2,keyasint,omitempty"`
	Scopes    []string       `cbor:"3,keyasint,omitempty"`
	Audiences []string       `cbor:"4,keyasint,omitempty"`
	Alg       string         `cbor:"5,keyasint,omitempty"`
	Secrets   []secretRecord `cbor:"6,keyasint,omitempty"`
	Created   int64          `cbor:"7,keyasint"`
	Version   uint64         `cbor:"8,keyasint"`
	Keys      []byte         `cbor:"9,keyasint,omitempty"`
}

type secretRecord struct {
	Hash    []byte `cbor:"1,keyasint,omitempty"`
	Created int64  `cbor:"2,keyasint"`
}

// decoding accepts any bytes in a text: the store gives back what it was given.
var decoding = func() cbor.DecMode {
	mode, err := cbor.DecOptions{UTF8: cbor.UTF8DecodeInvalid}.DecMode()
	if err != nil {
		panic(err)
	}
	return mode
}()

// EncodeUser returns the record of an account; its ID is no part of it.
func EncodeUser(u users.User) ([]byte, error) {
	return cbor.Marshal(userRecord{
		Name: u.Name, Hash: u.Hash, Disabled: u.Disabled, Version: u.Version, Epoch: u.Epoch,
		Created: u.Created.UnixMilli(), PasswordChanged: u.PasswordChanged.UnixMilli(),
		UserID: u.UserID, Email: u.Email, GivenName: u.GivenName, FamilyName: u.FamilyName,
		Staff: u.Staff, Superuser: u.Superuser, Groups: u.Groups, Permissions: u.Permissions, Claims: u.Claims,
	})
}

// DecodeUser reads what EncodeUser wrote.
func DecodeUser(id string, b []byte) (users.User, error) {
	var r userRecord
	if err := Decode(b, &r); err != nil {
		return users.User{}, err
	}
	return users.User{
		ID: id, Name: r.Name, Hash: r.Hash, Disabled: r.Disabled, Version: r.Version, Epoch: r.Epoch,
		Created: Instant(r.Created), PasswordChanged: Instant(r.PasswordChanged),
		Profile: users.Profile{
			UserID: r.UserID, Email: r.Email, GivenName: r.GivenName, FamilyName: r.FamilyName,
			Staff: r.Staff, Superuser: r.Superuser, Groups: r.Groups, Permissions: r.Permissions, Claims: r.Claims,
		},
	}, nil
}

// EncodeClient returns the record of a client; its ID is no part of it.
func EncodeClient(c oauth.Client) ([]byte, error) {
	r := clientRecord{
		Public: c.Public, Grants: c.Grants, Scopes: c.Scopes, Audiences: c.Audiences, Alg: c.Alg, Keys: c.Keys,
		Created: c.Created.UnixMilli(), Version: c.Version,
	}
	for _, secret := range c.Secrets {
		r.Secrets = append(r.Secrets, secretRecord{Hash: secret.Hash, Created: secret.Created.UnixMilli()})
	}
	return cbor.Marshal(r)
}

// DecodeClient reads what EncodeClient wrote.
func DecodeClient(id string, b []byte) (oauth.Client, error) {
	var r clientRecord
	if err := Decode(b, &r); err != nil {
		return oauth.Client{}, err
	}
	c := oauth.Client{
		ID: id, Public: r.Public, Grants: r.Grants, Scopes: r.Scopes, Audiences: r.Audiences, Alg: r.Alg, Keys: r.Keys,
		Created: Instant(r.Created), Version: r.Version,
	}
	for _, secret := range r.Secrets {
		c.Secrets = append(c.Secrets, oauth.Secret{Hash: secret.Hash, Created: Instant(secret.Created)})
	}
	return c, nil
}

// Decode reads a CBOR record into a struct.
func Decode(b []byte, record any) error {
	if err := decoding.Unmarshal(b, record); err != nil {
		return fmt.Errorf("%w: a record cannot be read: %v: restore a backup", store.ErrStorage, err)
	}
	return nil
}

// Instant is the instant that a record has in milliseconds since 1970.
func Instant(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
