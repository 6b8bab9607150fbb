package keystore

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"
)

var errAway = errors.New("the token is away")

// memVault is a token in memory.
type memVault struct {
	keys map[string]crypto.Signer
	made int
	away bool
	// stuck: keys can be used, and not destroyed.
	stuck bool
	// before runs just before the next signature.
	before func()
}

func newVault() *memVault { return &memVault{keys: map[string]crypto.Signer{}} }

// hidden is a key whose private half nobody sees.
type hidden struct{ crypto.Signer }

func (v *memVault) Make(alg string, rsaBits int, kid func(crypto.PublicKey) (string, error)) (string, crypto.PublicKey, error) {
	if v.away {
		return "", nil, errAway
	}
	private, err := generate(alg, rsaBits)
	if err != nil {
		return "", nil, err
	}
	if _, err := kid(private.Public()); err != nil {
		return "", nil, err
	}
	v.made++
	ref := fmt.Sprintf("pkcs11:token=test;id=%%%02X;type=private", v.made)
	v.keys[ref] = hidden{private}
	return ref, private.Public(), nil
}

func (v *memVault) Open(ref string) (crypto.Signer, error) {
	k := v.keys[ref]
	if v.away || k == nil {
		return nil, errAway
	}
	return inMem{v, ref, k}, nil
}

// inMem signs as long as the key is there.
type inMem struct {
	vault *memVault
	ref   string
	crypto.Signer
}

func (k inMem) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if before := k.vault.before; before != nil {
		k.vault.before = nil
		before()
	}
	if k.vault.away || k.vault.keys[k.ref] == nil {
		return nil, errAway
	}
	return k.Signer.Sign(random, digest, opts)
}

func (v *memVault) Destroy(ref string) error {
	if v.away || v.stuck {
		return errAway
	}
	delete(v.keys, ref)
	return nil
}

func (v *memVault) Refs() (refs []string, err error) {
	for ref := range v.keys {
		refs = append(refs, ref)
	}
	return refs, nil
}

// inVaultFixture has every algorithm, each with a key in a vault.
func inVaultFixture(t *testing.T) (*fixture, *memVault) {
	policy := testPolicy(Algorithms...)
	f := &fixture{t: t, clock: newClock(), store: &memStore{}}
	vault := newVault()
	f.opts = Options{Store: f.store, Sealing: newSealingKey(t), Policy: &policy, Now: f.clock.Now, Log: silent, Vault: vault}
	f.store.sealing = f.opts.Sealing
	f.reopen()
	return f, vault
}

// expectInVault holds the vault to the ring: what is referred to is there, nothing else.
func (f *fixture) expectInVault(v *memVault) {
	f.t.Helper()
	want := map[string]bool{}
	for _, k := range f.store.ring().Keys {
		if k.Sealed != "" {
			want[k.Sealed] = true
		}
	}
	for ref := range want {
		if v.keys[ref] == nil {
			f.t.Errorf("%s is in the ring and not in the vault", ref)
		}
	}
	if len(v.keys) != len(want) {
		f.t.Errorf("the vault has %d keys, the ring %d", len(v.keys), len(want))
	}
}

func TestVaultSignsWithEachAlgorithm(t *testing.T) {
	f, vault := inVaultFixture(t)
	for range 2 {
		for _, alg := range Algorithms {
			token, kid, err := f.Sign(alg, "JWT", []byte("{}"))
			if err != nil {
				t.Fatal(err)
			}
			f.expectVerifies(token)
			if got := f.info(kid).Vault; !strings.HasPrefix(got, "pkcs11:token=test;") {
				t.Errorf("key %s lives at %q", kid, got)
			}
		}
		f.reopen()
	}
	f.expectInVault(vault)
	if strings.Contains(f.store.bytes(), "eyJhbGciOiJkaXIi") {
		t.Error("a private key is sealed in the ring")
	}
}

func TestVaultFollowsTheRing(t *testing.T) {
	f, vault := inVaultFixture(t)
	made := vault.made
	if _, err := f.Rotate(t.Context(), RotateRequest{Now: true}, true); err != nil {
		t.Fatal(err)
	}
	if vault.made != made {
		t.Error("a plan made keys in the vault")
	}
	f.rotate(RotateRequest{Now: true})
	f.expectInVault(vault)
	f.revoke(f.signer("ES256"))
	f.expectInVault(vault)
	f.rotate(RotateRequest{})
	f.clock.advance(48 * time.Hour)
	f.maintain()
	f.expectInVault(vault)
	if doomed := f.store.ring().Doomed; len(doomed) == 0 {
		t.Error("what was destroyed was not noted before")
	}
	f.maintain()
	if doomed := f.store.ring().Doomed; len(doomed) != 0 {
		t.Errorf("still to be destroyed: %q", doomed)
	}
	f.setPolicy(func(p *Policy) { p.Algorithms = []string{"ES256"} })
	f.maintain()
	f.expectInVault(vault)
}

// A destruction that fails is made up for: by the next change, or the next start.
func TestVaultThatDestroysLater(t *testing.T) {
	f, vault := inVaultFixture(t)
	vault.stuck = true
	f.rotate(RotateRequest{Now: true, Alg: "ES256"})
	if n := len(f.store.ring().Doomed); n != 1 || len(vault.keys) != len(Algorithms)+1 {
		t.Fatalf("%d to be destroyed, %d in the vault", n, len(vault.keys))
	}
	f.maintain()
	vault.stuck = false
	f.reopen()
	f.expectInVault(vault)
	if doomed := f.store.ring().Doomed; len(doomed) != 0 {
		t.Errorf("still to be destroyed: %q", doomed)
	}
}

// A key that was made for a write that failed is destroyed; one whose write happened all
// the same stays; where nobody knows, it stays too.
func TestVaultAfterFailedWrites(t *testing.T) {
	for name, tt := range map[string]struct {
		fault  fault
		noRead bool
		extra  int // keys that no ring has
	}{"lost": {lost, false, 0}, "applied": {applied, false, 0}, "unknown": {lost, true, 1}} {
		t.Run(name, func(t *testing.T) {
			f, vault := inVaultFixture(t)
			f.store.faults = []fault{tt.fault}
			if tt.noRead {
				f.store.before = func() { f.store.noRead = true }
			}
			if _, err := f.Rotate(t.Context(), RotateRequest{Alg: "ES256"}, false); !errors.Is(err, errDisk) {
				t.Fatalf("got %v", err)
			}
			f.store.noRead = false
			var log bytes.Buffer
			f.opts.Log = slog.New(slog.NewTextHandler(&log, nil))
			f.reopen()
			if tt.extra == 0 {
				f.expectInVault(vault)
			} else if got := len(vault.keys) - len(Algorithms); got != tt.extra {
				t.Errorf("%d keys that no ring has, want %d", got, tt.extra)
			}
			if named := strings.Contains(log.String(), "this database does not know"); named != (tt.extra > 0) {
				t.Errorf("the log: %s", log.String())
			}
		})
	}
}

func TestVaultIsAway(t *testing.T) {
	f, vault := inVaultFixture(t)
	before := f.store.bytes()
	vault.away = true
	_, _, sign := f.Sign("ES256", "JWT", []byte("{}"))
	_, rotate := f.Rotate(t.Context(), RotateRequest{Now: true}, false)
	_, open := Open(t.Context(), f.opts)
	for what, err := range map[string]error{"sign": sign, "rotate": rotate, "open": open} {
		if !errors.Is(err, ErrVault) || !errors.Is(err, errAway) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if f.store.bytes() != before {
		t.Error("the ring was changed")
	}
	vault.away = false
	f.signer("ES256")
}

// A key that is destroyed while a token is made is followed by its successor.
func TestVaultDestroysDuringASignature(t *testing.T) {
	f, vault := inVaultFixture(t)
	old := f.signer("ES256")
	vault.before = func() { f.rotate(RotateRequest{Now: true, Alg: "ES256"}) }
	if got := f.signer("ES256"); got == old {
		t.Errorf("a destroyed key signed: %s", got)
	}
	f.expectInVault(vault)
}

func TestRingOfAVaultWithoutIt(t *testing.T) {
	f, vault := inVaultFixture(t)
	opts := f.opts
	opts.Vault = nil
	_, err := Open(t.Context(), opts)
	if !errors.Is(err, ErrVault) || !strings.Contains(err.Error(), "set keys.pkcs11_module, keys.pkcs11_token and keys.pkcs11_pin_file") {
		t.Errorf("without a vault: %v", err)
	}
	refs, _ := vault.Refs()
	vault.keys[refs[0]], vault.keys[refs[1]] = vault.keys[refs[1]], vault.keys[refs[0]]
	if _, err := Open(t.Context(), f.opts); !errors.Is(err, ErrVault) || !strings.Contains(err.Error(), "is not the key") {
		t.Errorf("keys that changed places: %v", err)
	}
}

// Keys that were sealed before there was a vault sign until their turn is over.
func TestVaultTakesOverByRotation(t *testing.T) {
	f := newFixture(t, testPolicy())
	sealed := f.signer("ES256")
	vault := newVault()
	f.opts.Vault = vault
	f.reopen()
	if got := f.signer("ES256"); got != sealed || len(vault.keys) != 0 {
		t.Errorf("key %s signs, want %s", got, sealed)
	}
	f.rotate(RotateRequest{Now: true})
	if got := f.info(f.signer("ES256")); got.Vault == "" || f.info(sealed).PrivateHalf {
		t.Errorf("after the rotation %+v signs", got)
	}
	f.expectInVault(vault)
}

func TestVaultTakesNoImport(t *testing.T) {
	f, vault := inVaultFixture(t)
	made := vault.made
	_, err := f.Import(t.Context(), ImportRequest{PKCS8: []byte("x")}, false)
	if !errors.Is(err, ErrKeyFile) || !strings.Contains(err.Error(), "none is taken from a file") {
		t.Errorf("got %v", err)
	}
	if vault.made != made {
		t.Error("a key was made")
	}
}
