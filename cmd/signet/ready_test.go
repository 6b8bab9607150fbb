package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signet/internal/store/boltstore"
	"signet/keystore"
)

// fragileVault keeps one key, and signs until it is broken.
type fragileVault struct {
	key    *ecdsa.PrivateKey
	broken error
}

func (v *fragileVault) Make(_ string, _ int, kid func(crypto.PublicKey) (string, error)) (string, crypto.PublicKey, error) {
	_, err := kid(v.key.Public())
	return "pkcs11:object=key", v.key.Public(), err
}
func (v *fragileVault) Open(string) (crypto.Signer, error) { return v, nil }
func (v *fragileVault) Destroy(string) error               { return nil }
func (v *fragileVault) Refs() ([]string, error)            { return nil, nil }
func (v *fragileVault) Public() crypto.PublicKey           { return v.key.Public() }
func (v *fragileVault) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if v.broken != nil {
		return nil, v.broken
	}
	return v.key.Sign(r, digest, o)
}

// TestReadySignsAndStores: /readyz is told of a key that does not sign, and of a database
// that takes no writes.
func TestReadySignsAndStores(t *testing.T) {
	dir := t.TempDir()
	store, err := boltstore.Open(filepath.Join(dir, "signet.db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sealing, err := keystore.OpenSealingKey(filepath.Join(dir, "seal.key"), true)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	vault := &fragileVault{key: key}
	keys, err := keystore.Open(t.Context(), keystore.Options{Store: store, Sealing: sealing, Vault: vault,
		Policy: &keystore.Policy{Algorithms: []string{"ES256"}, PublishAhead: time.Hour, JWKSMaxAge: time.Minute, AccessLifetime: time.Minute, RefreshLifetime: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	d := &domains{store: store, keys: keys}
	if err := d.ready(t.Context()); err != nil {
		t.Errorf("healthy: %v", err)
	}
	vault.broken = errors.New("the token is gone")
	if err := d.ready(t.Context()); !errors.Is(err, vault.broken) || !strings.HasPrefix(err.Error(), "cannot sign: ") {
		t.Errorf("a key that does not sign: %v", err)
	}
	vault.broken = nil
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := d.ready(t.Context()); !errors.Is(err, boltstore.ErrClosed) || !strings.HasPrefix(err.Error(), "cannot store: ") {
		t.Errorf("a database that takes no writes: %v", err)
	}
}
