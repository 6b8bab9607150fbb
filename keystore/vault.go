package keystore

import (
	"crypto"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Vault keeps private halves outside of the process, which they never enter. The ring
// holds a reference to each: a URI of the scheme pkcs11 (RFC 7512), without any secret.
type Vault interface {
	// Make makes a key for alg; kid names it by its public half.
	Make(alg string, rsaBits int, kid func(crypto.PublicKey) (string, error)) (ref string, public crypto.PublicKey, err error)
	// Open returns what signs with the key.
	Open(ref string) (crypto.Signer, error)
	// Destroy destroys the key. That it is gone already is no error.
	Destroy(ref string) error
	// Refs are all keys that Make made, also those of other rings.
	Refs() ([]string, error)
}

// A key is in the vault before it is in a ring, and out of the ring before it is out of
// the vault: its reference is in Ring.Doomed from the write that takes it out of
// Ring.Keys until a write after its destruction. A crash leaves at most a key that no
// ring has ever had.

// vaultScheme begins every reference, and no compact JWE.
const vaultScheme = "pkcs11:"

func inVault(sealed string) bool { return strings.HasPrefix(sealed, vaultScheme) }

var errImportIntoVault = fmt.Errorf("%w: private keys live in a PKCS #11 token, and are made there: none is taken from a file", ErrKeyFile)

// vaultWork is what a change has done in the vault, or has still to do.
type vaultWork struct {
	made []string        // by the change under way
	gone map[string]bool // destroyed, and still in Ring.Doomed
}

// privateHalves opens private halves, wherever they are.
type privateHalves struct {
	sealing *SealingKey
	vault   Vault
}

func (p privateHalves) private(k *Key, public any) (crypto.Signer, error) {
	if inVault(k.Sealed) {
		return p.fromVault(k, public)
	}
	private, err := p.sealing.unseal(k.KID, k.Sealed)
	if err != nil {
		return nil, err
	}
	var raw any
	if err := private.Raw(&raw); err != nil {
		return nil, fmt.Errorf("key %s: the private half cannot be read: %w", k.KID, err)
	}
	if key, ok := raw.(*rsa.PrivateKey); ok {
		key.Precompute() // a JWK brings numbers alone: each signature would begin with this
	}
	signer, ok := raw.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("key %s: the private half does not sign (%T)", k.KID, raw)
	}
	return signer, nil
}

func (p privateHalves) fromVault(k *Key, public any) (crypto.Signer, error) {
	if p.vault == nil {
		return nil, fmt.Errorf("%w: key %s lives at %s, and no token is configured: set keys.pkcs11_module, keys.pkcs11_token and keys.pkcs11_pin_file", ErrVault, k.KID, k.Sealed)
	}
	signer, err := p.vault.Open(k.Sealed)
	if err != nil {
		return nil, fmt.Errorf("%w: key %s: %w", ErrVault, k.KID, err)
	}
	if is, ok := signer.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !is.Equal(public) {
		return nil, fmt.Errorf("%w: what lives at %s is not the key %s", ErrVault, k.Sealed, k.KID)
	}
	return signer, nil
}

func signingFailed(k *Key, err error) error {
	err = fmt.Errorf("sign with key %s: %w", k.KID, err)
	if inVault(k.Sealed) {
		return fmt.Errorf("%w: %w", ErrVault, err)
	}
	return err
}

// keyMaker makes keys where private halves live from now on.
func (m *Manager) keyMaker() keyMaker {
	if m.vault != nil {
		return m.makeInVault
	}
	return m.makeKey
}

func (m *Manager) makeInVault(alg string, rsaBits int) (Key, error) {
	if err := checkRSABits(rsaBits); err != nil && (alg == "RS256" || alg == "PS256") {
		return Key{}, err
	}
	ref, public, err := m.vault.Make(alg, rsaBits, func(public crypto.PublicKey) (string, error) {
		key, err := newJWK(alg, public)
		if err != nil {
			return "", err
		}
		return key.KeyID(), nil
	})
	if err != nil {
		return Key{}, fmt.Errorf("%w: %w", ErrVault, err)
	}
	m.inVault.made = append(m.inVault.made, ref)
	key, err := newJWK(alg, public)
	if err != nil {
		return Key{}, err
	}
	text, err := publicJWK(key)
	return Key{KID: key.KeyID(), Alg: alg, Public: text, Sealed: ref}, err
}

// refers says whether a key of the ring lives at ref.
func (r *Ring) refers(ref string) bool {
	return slices.ContainsFunc(r.Keys, func(k Key) bool { return k.Sealed == ref })
}

// doom notes the private halves of before that the ring holds no more.
func (c *change) doom(before Ring) {
	for i := range before.Keys {
		if ref := before.Keys[i].Sealed; inVault(ref) && !c.refers(ref) && !slices.Contains(c.Doomed, ref) {
			c.Doomed = append(c.Doomed, ref)
		}
	}
}

// forgetDestroyed takes out of the ring what was destroyed since it was stored.
func (m *Manager) forgetDestroyed(c *change) {
	c.Doomed = slices.DeleteFunc(c.Doomed, func(ref string) bool { return m.inVault.gone[ref] })
}

// keepMade keeps what a change made if nobody knows whether it was stored.
func (m *Manager) keepMade(unknown error) error {
	if unknown != nil {
		m.inVault.made = nil
	}
	return unknown
}

// emptyVault destroys what the last change made and did not store, and what it doomed.
func (m *Manager) emptyVault() {
	ring := m.state.Load().ring
	unused := slices.DeleteFunc(m.inVault.made, ring.refers)
	m.inVault.made = nil
	for _, ref := range unused {
		m.destroyInVault(ref)
	}
	m.destroyDoomed(ring)
}

func (m *Manager) destroyDoomed(ring Ring) {
	gone := map[string]bool{}
	for _, ref := range ring.Doomed {
		gone[ref] = m.inVault.gone[ref] || m.destroyInVault(ref)
	}
	m.inVault.gone = gone
}

func (m *Manager) destroyInVault(ref string) bool {
	err := errors.New("no token is configured")
	if m.vault != nil {
		err = m.vault.Destroy(ref)
	}
	if err != nil {
		m.log.Error("a private key that signs no more was not destroyed; the next change of the keys and the next start try again", "key", ref, "error", err)
	}
	return err == nil
}

// tidyVault destroys what an earlier process could not, and names what no ring of this
// database has. It may be another issuer's, and so is left alone.
func (m *Manager) tidyVault(ring Ring) {
	m.destroyDoomed(ring)
	if m.vault == nil {
		return
	}
	refs, err := m.vault.Refs()
	if err != nil {
		m.log.Warn("the keys in the token were not looked at", "error", err)
	}
	strange := slices.DeleteFunc(refs, func(ref string) bool { return ring.refers(ref) || slices.Contains(ring.Doomed, ref) })
	if len(strange) > 0 {
		m.log.Warn("the token holds private keys of a signet that this database does not know: of another issuer, or left by a crash; none was destroyed", "keys", strange)
	}
}
