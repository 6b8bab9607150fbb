package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"signet/keystore"
)

// The operations on keys that are not in the table of ops.go.
var (
	ImportKey  = change("keys import", (*Operator).importKey)
	ResealKeys = change("keys reseal", (*Operator).resealKeys)
	ResumeKeys = change("keys resume", (*Operator).resumeKeys)
)

// What a command is about, for the log: never a key.
func (d DryRun) dryRun() bool         { return d.DryRun }
func (r Rotation) dryRun() bool       { return r.DryRun }
func (r Revocation) dryRun() bool     { return r.DryRun }
func (i KeyImport) dryRun() bool      { return i.DryRun }
func (r Rotation) target() string     { return cmp.Or(r.Alg, "all algorithms") }
func (r Revocation) target() string   { return r.KID }
func (i KeyImport) target() string    { return cmp.Or(i.Alg, "the algorithm of the key") }
func (i ImportedKey) target() string  { return i.New.KID }
func (r ResealedKeys) target() string { return r.Path }

// KeyList is every key the issuer still knows.
type KeyList struct {
	Keys []keystore.Info `json:"keys"`
	Now  time.Time       `json:"now"`
	// Schedule is there if it is stopped.
	Schedule *keystore.Schedule `json:"schedule,omitempty"`
	// Read is there where several servers share the keys, and one of them answers.
	Read *KeysRead `json:"read,omitempty"`
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
	Hold   bool          `json:"hold,omitempty"`
	Ripe   bool          `json:"ripe,omitempty"`
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
	// Replicas is there if other processes may go on with the key for a while.
	Replicas *ReplicaLag `json:"replicas,omitempty"`
}

func (o *Operator) listKeys(context.Context, struct{}) (KeyList, error) {
	s := o.Keys.Schedule()
	out := KeyList{Keys: o.Keys.Keys(), Now: s.Now}
	if !s.Stopped.IsZero() {
		out.Schedule = &s
	}
	out.Read = o.keysRead()
	return out, nil
}

func (o *Operator) rotateKeys(ctx context.Context, in Rotation) (Rotated, error) {
	req := keystore.RotateRequest{Alg: in.Alg, In: in.In, Now: in.Now, Hold: in.Hold, Ripe: in.Ripe}
	takeovers, err := o.Keys.Rotate(ctx, req, in.DryRun)
	return Rotated{Takeovers: takeovers, DryRun: in.DryRun, Now: o.Keys.Schedule().Now}, err
}

// revokeKey ends the sessions after the key: their tokens no longer verify from
// then on, whether or not the records are gone yet.
func (o *Operator) revokeKey(ctx context.Context, in Revocation) (RevokedKey, error) {
	takeover, err := o.Keys.Revoke(ctx, in.KID, in.DryRun)
	out := RevokedKey{Takeover: takeover, DryRun: in.DryRun, Now: o.Keys.Schedule().Now, Replicas: o.replicaLag()}
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

// KeyImport brings a private key from elsewhere; see keystore.ImportRequest.
type KeyImport struct {
	PKCS8  []byte        `json:"pkcs8"`
	Alg    string        `json:"alg,omitempty"`
	In     time.Duration `json:"in,omitempty"`
	Now    bool          `json:"now,omitempty"`
	DryRun bool          `json:"dry_run,omitempty"`
}

// ImportedKey says which key the imported one takes over from.
type ImportedKey struct {
	keystore.Takeover
	DryRun bool      `json:"dry_run"`
	Now    time.Time `json:"now"`
}

func (o *Operator) importKey(ctx context.Context, in KeyImport) (ImportedKey, error) {
	req := keystore.ImportRequest{PKCS8: in.PKCS8, Alg: in.Alg, In: in.In, Now: in.Now}
	takeover, err := o.Keys.Import(ctx, req, in.DryRun)
	if err == nil && !in.DryRun {
		o.Live.Inherit(takeover.New.KID) // it may have signed elsewhere
	}
	return ImportedKey{Takeover: takeover, DryRun: in.DryRun, Now: o.Keys.Schedule().Now}, err
}

// DryRun asks what an operation would do.
type DryRun struct {
	DryRun bool `json:"dry_run,omitempty"`
}

// ResealedKeys says what a new sealing key opens.
type ResealedKeys struct {
	keystore.Resealed
	DryRun bool `json:"dry_run"`
}

func (o *Operator) resealKeys(ctx context.Context, in DryRun) (ResealedKeys, error) {
	resealed, err := o.Keys.Reseal(ctx, in.DryRun)
	return ResealedKeys{Resealed: resealed, DryRun: in.DryRun}, err
}

// ResumedKeys is every key, with the times that it has now.
type ResumedKeys struct {
	KeyList
	DryRun bool `json:"dry_run"`
}

func (o *Operator) resumeKeys(ctx context.Context, in DryRun) (ResumedKeys, error) {
	keys, err := o.Keys.Resume(ctx, in.DryRun)
	return ResumedKeys{KeyList: KeyList{Keys: keys, Now: o.now()}, DryRun: in.DryRun}, err
}

// keyHint is what to type next after an error of the keys.
func keyHint(err error) string {
	switch {
	case errors.Is(err, keystore.ErrStopped):
		return "signet keys resume  # if the clock is right; else set the clock, and the schedule goes on by itself"
	case errors.Is(err, keystore.ErrKnown), errors.Is(err, keystore.ErrNotStopped):
		return "signet keys list  # shows the keys"
	}
	return ""
}
