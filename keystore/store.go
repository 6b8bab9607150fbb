package keystore

import (
	"context"
	"encoding/json"
	"time"
)

// Key is one signing key as it is stored. Its state follows from its times
// alone; see State.
type Key struct {
	// KID is the RFC 7638 thumbprint of the public half (SHA-256, base64url).
	KID string `json:"kid"`
	// Alg is the one JWS algorithm this key is used with (RFC 8725 §3.1).
	Alg string `json:"alg"`
	// Public is the public half as a JWK (RFC 7517). A store may change its
	// white space.
	Public json.RawMessage `json:"public"`
	// Sealed is the private half as an encrypted JWK (RFC 7517 §7), in compact
	// JWE form, or says where in a Vault it is; empty once it has been destroyed.
	Sealed string `json:"sealed,omitempty"`

	// Created is when the key was made, and published.
	Created time.Time `json:"created"`
	// SignsFrom is when it starts to sign.
	SignsFrom time.Time `json:"signs_from"`
	// SignsUntil is when its successor takes over; zero while there is none.
	SignsUntil time.Time `json:"signs_until,omitzero"`
	// Held keys wait, published, for an operator to give them their turn. SignsFrom is
	// then so far ahead that it never comes.
	Held bool `json:"held,omitempty"`
	// Revoked is when an operator took the key out of use; zero if never.
	Revoked time.Time `json:"revoked,omitzero"`

	// MaxAccess and MaxRefresh are the longest token lifetimes, MaxCache the
	// longest jwks_max_age, that were in force at any time while this key was
	// pending or active. They only grow.
	MaxAccess  time.Duration `json:"max_access"`
	MaxRefresh time.Duration `json:"max_refresh"`
	MaxCache   time.Duration `json:"max_cache"`
	// Shared: while the key was pending or active, several processes went by the ring.
	Shared bool `json:"shared,omitempty"`
	// Extended is how much longer the key is published and kept because of leaps of
	// the clock that an operator confirmed.
	Extended time.Duration `json:"extended,omitempty"`
}

// Policy is what the configuration says about keys and about the lifetimes that
// decide how long a key must be kept.
type Policy struct {
	// Algorithms that have a signing key; the first signs where none is asked for.
	Algorithms []string `json:"algorithms"`
	// RSABits is the modulus of new RSA keys: 2048, 3072 or 4096.
	RSABits int `json:"rsa_bits"`
	// RotateEvery is the age at which a key is replaced; 0 means never by itself.
	RotateEvery time.Duration `json:"rotate_every"`
	// PublishAhead is how long a new key is published before it signs.
	PublishAhead time.Duration `json:"publish_ahead"`
	// JWKSMaxAge is how long a cache may keep the key set.
	JWKSMaxAge time.Duration `json:"jwks_max_age"`
	// AccessLifetime and RefreshLifetime are the longest of any token.
	AccessLifetime  time.Duration `json:"access_lifetime"`
	RefreshLifetime time.Duration `json:"refresh_lifetime"`
	// Shared: several processes go by the ring. The Manager sets it; see Options.
	Shared bool `json:"shared,omitempty"`
}

// Ring is every key the issuer still knows. It is small and stored whole.
type Ring struct {
	// Format is the way in which the ring is written and authenticated.
	Format int `json:"format,omitempty"`
	// Version counts the replacements of the ring; 0 is the ring that was
	// never stored.
	Version uint64 `json:"version"`
	// Keys are in the order in which they were made.
	Keys []Key `json:"keys"`
	// Policy is the one in force. It is kept with the keys so that whoever opens
	// them goes by it, with or without the configuration that it came from.
	Policy Policy `json:"policy"`
	// HeldUntil is when the last promise of a jwks_max_age ends that was longer
	// than the one in force.
	HeldUntil time.Time `json:"held_until,omitzero"`
	// Refused are the kids of revoked keys that were forgotten since: none is
	// imported again.
	Refused []string `json:"refused,omitempty"`
	// Doomed are places in a Vault whose private halves are to be destroyed.
	Doomed []string `json:"doomed,omitempty"`
	// Seen is the last stored instant at which the clock was right: no state is
	// evaluated at an earlier one.
	Seen time.Time `json:"seen,omitzero"`
	// Stopped is when a leap of the clock stopped the schedule, in the time from
	// before it; zero while it runs.
	Stopped time.Time `json:"stopped,omitzero"`
	// SealedBy identifies the sealing key, and tells nothing of it.
	SealedBy string `json:"sealed_by,omitempty"`
	// MAC authenticates all the rest, with the Version that it is stored under. A
	// store keeps every other member as it is.
	MAC string `json:"mac,omitempty"`
}

// Store keeps the ring. Every method is one atomic step. Where the storage itself
// failed, the ring may or may not have been replaced.
type Store interface {
	// LoadRing returns the stored ring, or a zero Ring if none was ever stored. It is the
	// one that was stored last, by whichever process: no copy that lags behind.
	LoadRing(ctx context.Context) (Ring, error)
	// ReplaceRing stores r with Version r.Version+1 if the stored Version still
	// equals r.Version, durably, and returns ErrConflict if it does not: of two
	// calls that started from the same ring exactly one succeeds.
	ReplaceRing(ctx context.Context, r Ring) error
}

// Timekeeper is a Store of several processes, with a clock that is the same for all of
// them.
type Timekeeper interface {
	Store
	// Time returns what time it is by the clock of the storage.
	Time(ctx context.Context) (time.Time, error)
}
