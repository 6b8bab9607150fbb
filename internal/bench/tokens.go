package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"signet/issuer"
	"signet/keystore"
	"signet/verify"
)

// tokenTurns is how many slices are taken of each side, tokenSlice how short each is:
// so that both sides meet the same clock of the same core.
const (
	tokenTurns = 60
	tokenSlice = 10 * time.Millisecond
)

// mint is an issuer over keys in memory, and what its keys and tokens are compared with.
type mint struct {
	*issuer.Issuer
	keys   *keystore.Manager
	ec     *ecdsa.PrivateKey
	rsa    *rsa.PrivateKey
	digest [32]byte
}

func newMint(ctx context.Context, l *lab) (*mint, error) {
	keys, err := openKeys(ctx, new(ringInMemory), filepath.Join(l.dir, "memory-seal.key"), &keystore.Policy{
		Algorithms: []string{"ES256", "RS256"}, RSABits: 2048, PublishAhead: 24 * time.Hour, JWKSMaxAge: 5 * time.Minute,
		AccessLifetime: 5 * time.Minute, RefreshLifetime: 24 * time.Hour,
	})
	if err != nil {
		return nil, err
	}
	m := &mint{keys: keys, digest: sha256.Sum256([]byte("x"))}
	if m.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	if m.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		return nil, err
	}
	m.Issuer = issuer.New(issuer.Options{Users: proven{}, Signer: keys, Keys: keys, Policy: tokenPolicy(l.issuerURL()), Log: slog.New(slog.DiscardHandler)})
	return m, nil
}

// access makes an access token, as a grant does.
func (m *mint) access(ctx context.Context, alg string) (string, error) {
	token, _, err := m.Issue(ctx, issuer.Authorization{Client: machine, Subject: machine, Audience: []string{audience}, Grant: "client_credentials", Alg: alg})
	return token, err
}

func (m *mint) signEC() error {
	_, _, err := ecdsa.Sign(rand.Reader, m.ec, m.digest[:])
	return err
}

func (m *mint) signRSA() error {
	_, err := rsa.SignPKCS1v15(nil, m.rsa, crypto.SHA256, m.digest[:])
	return err
}

func measureTokens(ctx context.Context, l *lab) error {
	m, err := newMint(ctx, l)
	if err != nil {
		return err
	}
	es := func() error { _, err := m.access(ctx, "ES256"); return err }
	rs := func() error { _, err := m.access(ctx, "RS256"); return err }
	got, err := inTurns(ctx, tokenTurns, rate(es, tokenSlice), rate(m.signEC, tokenSlice), rate(rs, tokenSlice), rate(m.signRSA, tokenSlice))
	if err != nil {
		return err
	}
	l.found(workMint, got[0], got[1])
	l.found(workMintRSA, got[2], got[3])
	l.found(workMintAllocs, allocations(es), allocations(m.signEC))
	return m.measureVerify(ctx, l)
}

func (m *mint) measureVerify(ctx context.Context, l *lab) error {
	token, err := m.access(ctx, "ES256")
	if err != nil {
		return err
	}
	r, s, err := ecdsa.Sign(rand.Reader, m.ec, m.digest[:])
	if err != nil {
		return err
	}
	raw := func() error {
		if !ecdsa.Verify(&m.ec.PublicKey, m.digest[:], r, s) {
			return errors.New("a good signature was refused")
		}
		return nil
	}
	keys, err := m.published()
	if err != nil {
		return err
	}
	cold := &verify.Verifier{Issuer: l.issuerURL(), Audience: audience, Keys: keys, CacheSize: -1}
	cached := &verify.Verifier{Issuer: l.issuerURL(), Audience: audience, Keys: keys}
	first := func() error { _, err := cold.Verify(ctx, token); return err }
	again := func() error { _, err := cached.Verify(ctx, token); return err }
	text := []byte(token)
	hash := func() error { sink.Store(int32(sha256.Sum256(text)[0])); return nil }
	got, err := inTurns(ctx, tokenTurns, rate(first, tokenSlice), rate(raw, tokenSlice), rate(again, tokenSlice), rate(hash, tokenSlice))
	if err != nil {
		return err
	}
	l.found(workCold, got[0], got[1])
	l.found(workCached, 1e6/got[2], 1e6/got[3])
	l.found(workCachedMem, allocations(again), allocations(hash))
	return nil
}

// published are the keys as a service gets them.
func (m *mint) published() (verify.Static, error) {
	doc, err := m.keys.Document(time.Now())
	if err != nil {
		return nil, err
	}
	return verify.ParseStatic(doc.Body())
}

// allocations of one op.
func allocations(op func() error) float64 {
	return testing.AllocsPerRun(200, func() {
		if err := op(); err != nil {
			panic(err) // it has worked before
		}
	})
}

// ringInMemory is a keystore.Store of one process.
type ringInMemory struct {
	mu   sync.Mutex
	ring keystore.Ring
}

// LoadRing implements keystore.Store.
func (s *ringInMemory) LoadRing(context.Context) (keystore.Ring, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ring, nil
}

// ReplaceRing implements keystore.Store.
func (s *ringInMemory) ReplaceRing(_ context.Context, r keystore.Ring) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ring.Version != r.Version {
		return keystore.ErrConflict
	}
	r.Version++
	s.ring = r
	return nil
}

func base64Text(b []byte) string { return base64.RawStdEncoding.EncodeToString(b) }

// sink keeps the compiler from leaving work out.
var sink atomic.Int32
