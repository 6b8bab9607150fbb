package keystore

import (
	"slices"
	"time"
)

// SealingKeyFor finds the sealing key that opens a stored ring: the one at path or, where
// a change of it was interrupted, the one beside it, which the next start puts in its
// place. It changes nothing. The errors are those of ReadSealingKey and CheckRing.
func SealingKeyFor(path string, ring Ring) (*SealingKey, error) {
	if next, err := ReadSealingKey(nextSealingKey(resolved(path))); err == nil && ring.SealedBy == next.ID() {
		return next, next.CheckRing(ring)
	}
	key, err := ReadSealingKey(path)
	if err != nil {
		return nil, err
	}
	return key, key.CheckRing(ring)
}

// CheckRing reports whether a start with s takes the stored ring: that it is as signet
// stored it (ErrRing, ErrNewer), and that s opens every private half that it holds
// (ErrSealingKey). What lives in a Vault is not looked for.
func (s *SealingKey) CheckRing(ring Ring) error {
	if err := s.admit(ring); err != nil {
		return err
	}
	for i := range ring.Keys {
		k := &ring.Keys[i]
		if k.Sealed == "" || inVault(k.Sealed) {
			continue
		}
		if _, err := s.unseal(k.KID, k.Sealed); err != nil {
			return err
		}
	}
	return nil
}

// InVault reports whether private halves of the ring live in a Vault.
func (r Ring) InVault() bool {
	return slices.ContainsFunc(r.Keys, func(k Key) bool { return inVault(k.Sealed) })
}

// StopsAt reports whether the schedule of the stored ring is stopped by a start at now;
// see clock.go.
func (r Ring) StopsAt(now time.Time) bool {
	return !r.Stopped.IsZero() || !r.Seen.IsZero() && now.Sub(r.Seen).Abs() > r.Policy.step()
}
