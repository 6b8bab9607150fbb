// Package control is what an operator does, whether or not a server runs.
//
// An [Operator] has the operations; each is an [Op] of the table in ops.go. A
// running server owns the database and answers operations on a unix socket
// ([Server]); without one a command opens the database and calls the same
// Operator itself. A command sees only a [Door] and cannot tell the two apart.
//
// The package refuses callers on the socket that are not of the server's own
// user, and it hands out no password and no private key; a client's secret once, when
// it is made; and the hashes of passwords for an export ([ExportUsers]) alone, which
// moves accounts elsewhere with the passwords they have.
package control

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"signet/issuer"
	"signet/issuer/oauth"
	"signet/keystore"
	"signet/users"
)

// Operator does what operators ask, on the domains of one issuer.
type Operator struct {
	Users   *users.Directory
	Keys    *keystore.Manager
	Issuer  *issuer.Issuer
	Clients *oauth.Clients
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

func (o *Operator) now() time.Time {
	if o.Now == nil {
		return time.Now()
	}
	return o.Now()
}

// What a command is about, for the log: never a password.
func (r Rotation) target() string   { return cmp.Or(r.Alg, "all algorithms") }
func (r Revocation) target() string { return r.KID }
func (e SessionEnd) target() string { return cmp.Or(e.ID, e.User, "all") }

// Page asks for a part of a list: what comes after the given place.
type Page struct {
	After string `json:"after,omitempty"`
	Limit int    `json:"limit,omitempty"`
}

// maxPage bounds a page; 0 asks for it.
const maxPage = 1000

func (p Page) limit() int {
	if p.Limit <= 0 || p.Limit > maxPage {
		return maxPage
	}
	return p.Limit
}

// KeyList is every key the issuer still knows.
type KeyList struct {
	Keys []keystore.Info `json:"keys"`
	Now  time.Time       `json:"now"`
}

// KeyID names a key.
type KeyID struct {
	KID string `json:"kid"`
}

// Rotation asks for new keys; see keystore.RotateRequest.
type Rotation struct {
	Alg    string        `json:"alg,omitempty"`
	In     time.Duration `json:"in,omitempty"`
	Now    bool          `json:"now,omitempty"`
	DryRun bool          `json:"dry_run,omitempty"`
}

// Rotated says which keys take over from which.
type Rotated struct {
	Takeovers []keystore.Takeover `json:"takeovers"`
	DryRun    bool                `json:"dry_run"`
	Now       time.Time           `json:"now"`
}

// Revocation asks to take a key out of use.
type Revocation struct {
	KID    string `json:"kid"`
	DryRun bool   `json:"dry_run,omitempty"`
}

// RevokedKey says which key takes over from the revoked one.
type RevokedKey struct {
	keystore.Takeover
	SessionsEnded int       `json:"sessions_ended"`
	DryRun        bool      `json:"dry_run"`
	Now           time.Time `json:"now"`
}

func (o *Operator) listKeys(context.Context, struct{}) (KeyList, error) {
	return KeyList{Keys: o.Keys.Keys(), Now: o.now()}, nil
}

func (o *Operator) showKey(_ context.Context, in KeyID) (keystore.Info, error) {
	for _, k := range o.Keys.Keys() {
		if k.KID == in.KID {
			return k, nil
		}
	}
	return keystore.Info{}, noKey(in.KID)
}

func (o *Operator) rotateKeys(ctx context.Context, in Rotation) (Rotated, error) {
	req := keystore.RotateRequest{Alg: in.Alg, In: in.In, Now: in.Now}
	takeovers, err := o.Keys.Rotate(ctx, req, in.DryRun)
	return Rotated{Takeovers: takeovers, DryRun: in.DryRun, Now: o.now()}, err
}

// revokeKey ends the sessions after the key: their tokens no longer verify from
// then on, whether or not the records are gone yet.
func (o *Operator) revokeKey(ctx context.Context, in Revocation) (RevokedKey, error) {
	takeover, err := o.Keys.Revoke(ctx, in.KID, in.DryRun)
	out := RevokedKey{Takeover: takeover, DryRun: in.DryRun, Now: o.now()}
	if err != nil || in.DryRun {
		return out, err
	}
	out.SessionsEnded, err = o.Issuer.EndSignedBy(context.WithoutCancel(ctx), in.KID)
	if err != nil {
		err = fmt.Errorf("the key is revoked and its tokens are refused, but the sessions could not all be deleted: %w", err)
	}
	return out, err
}

// PublishedSet is the JWK Set of the instant, as it is served.
type PublishedSet struct {
	Set json.RawMessage `json:"set"`
}

func (o *Operator) keySet(context.Context, struct{}) (PublishedSet, error) {
	doc, err := o.Keys.Document(o.now())
	if err != nil {
		return PublishedSet{}, err
	}
	return PublishedSet{Set: doc.Body()}, nil
}
