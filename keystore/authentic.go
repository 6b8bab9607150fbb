package keystore

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
)

// ringFormat is the format that this version writes. Format 1 had no number and no
// MAC; a store that has it is taken once and rewritten.
const ringFormat = 2

// sharedFormat is that of a ring which several processes went by: those who know only
// ringFormat would not leave its keys the time that they need.
const sharedFormat = 3

// format is the one in which r is to be written. It never goes down.
func (r *Ring) format() int {
	if r.Policy.Shared || r.Format == sharedFormat {
		return sharedFormat
	}
	return ringFormat
}

// ID identifies the sealing key and tells nothing of it.
func (s *SealingKey) ID() string {
	return base64.RawURLEncoding.EncodeToString(s.Derive("sealing key id")[:16])
}

// mac authenticates r as it is stored: whoever can write the database and lacks the
// sealing key adds, removes and alters no key, no time, no policy. An old ring that was
// authentic is so for ever.
func (s *SealingKey) mac(r Ring) (string, error) {
	r.MAC = ""
	text, err := json.Marshal(r) // one text for one ring: it compacts the JWKs
	if err != nil {
		return "", fmt.Errorf("authenticate the keys: %w", err)
	}
	h := hmac.New(sha256.New, s.Derive("ring"))
	h.Write(text)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)), nil
}

// authenticate makes r what is to be stored in the place of the ring with r.Version.
func (s *SealingKey) authenticate(r Ring) (Ring, error) {
	r.Format, r.SealedBy = r.format(), s.ID()
	stored := r
	stored.Version++
	var err error
	r.MAC, err = s.mac(stored)
	return r, err
}

// admit refuses a stored ring that is not as signet stored it.
func (s *SealingKey) admit(r Ring) error {
	switch {
	case r.Version == 0 && r.Format == 0 && len(r.Keys) == 0:
		return nil // none was ever stored
	case r.Format > sharedFormat:
		return fmt.Errorf("%w: their format is %d and this one knows %d: run the newer signet, or restore the backup from before it",
			ErrNewer, r.Format, sharedFormat)
	case r.Format < ringFormat && s.authenticates:
		return fmt.Errorf("%w: their authentication code is missing: restore the database from a backup", ErrRing)
	case r.Format < ringFormat:
		return nil
	case r.SealedBy != s.ID():
		return s.foreign(r)
	}
	if want, err := s.mac(r); err != nil || !hmac.Equal([]byte(want), []byte(r.MAC)) {
		return fmt.Errorf("%w: their authentication code does not fit: restore the database from a backup", ErrRing)
	}
	return nil
}

// foreign names a key that s does not open.
func (s *SealingKey) foreign(r Ring) error {
	for i := range r.Keys {
		if k := &r.Keys[i]; k.Sealed != "" {
			return s.refuse(k.KID, "it was sealed with another key")
		}
	}
	return s.refuse("", "they were stored with another sealing key")
}

// admitNext refuses what an authentic ring cannot become while a process runs.
func (r *Ring) admitNext(next *Ring) error {
	if next.Version < r.Version || next.Format < r.Format {
		return fmt.Errorf("%w: what is stored is older than what this process has stored or read: restart it with the newest database", ErrRing)
	}
	return nil
}

// finish says how the ring is to be stored, and when it was, if there is anything new.
func (c *change) finish(before Ring, sealing *SealingKey) {
	c.Format, c.SealedBy = c.format(), sealing.ID()
	c.doom(before)
	if !c.equal(before) {
		c.Seen = c.now
		c.utc()
	}
}

// utc gives times the one text that the MAC is of.
func (c *change) utc() {
	for _, t := range []*time.Time{&c.HeldUntil, &c.Seen, &c.Stopped} {
		*t = t.UTC()
	}
	for i := range c.Keys {
		k := &c.Keys[i]
		for _, t := range []*time.Time{&k.Created, &k.SignsFrom, &k.SignsUntil, &k.Revoked} {
			*t = t.UTC()
		}
	}
}
