package doctor

import (
	"crypto/rsa"
	"fmt"
	"strings"
	"time"

	"signet/jwks"
	"signet/keystore"
)

const (
	// oldKey is the age at which a key that nothing rotates should be replaced.
	oldKey = 365 * day
	// longHeld is how long a rotation that waits for its consumers may take.
	longHeld = 7 * day
	// overdue is how late a rotation may be before something keeps it from happening.
	overdue = time.Hour
)

// Keys are the signing keys of the issuer at an instant.
type Keys struct {
	List []keystore.Info
	// Set is the JWK Set of the instant.
	Set    []byte
	Policy keystore.Policy
	Now    time.Time
	// Schedule is nil if it runs.
	Schedule *keystore.Schedule
}

// Checks looks for keys that should have been replaced, or cannot be.
func (k Keys) Checks() []Check {
	r := &report{name: "keys"}
	k.schedule(r)
	var summary []string
	for _, alg := range k.Policy.Algorithms {
		if text := k.algorithm(r, alg); text != "" {
			summary = append(summary, text)
		}
	}
	for _, key := range k.List {
		if key.State == keystore.Pending {
			k.pending(r, key)
		}
	}
	return r.orOK("%s", strings.Join(summary, "; "))
}

func (k Keys) schedule(r *report) {
	if s := k.Schedule; s != nil {
		r.fail("set the clock right, and it goes on by itself; if the clock is right: signet keys resume",
			"the schedule is stopped since %s UTC: the clock is %s what it should be, and no key is made or destroyed",
			s.Stopped.UTC().Format(time.DateTime), ahead(s.Leap))
	}
}

// algorithm looks at the key that signs for alg, and returns a summary of it.
func (k Keys) algorithm(r *report, alg string) string {
	key := k.find(alg, keystore.Active)
	if key == nil || !key.PrivateHalf {
		if next := k.find(alg, keystore.Pending); next != nil && !next.Held {
			return fmt.Sprintf("%s signs from %s UTC on", alg, next.SignsFrom.UTC().Format(time.DateTime))
		}
		r.fail("signet keys rotate --alg "+alg+" --now", "%s has no key that signs", alg)
		return ""
	}
	k.age(r, key)
	k.size(r, key)
	text := fmt.Sprintf("%s has signed for %s", alg, span(k.Now.Sub(key.SignsFrom)))
	until := key.SignsUntil
	if until.IsZero() && k.Policy.RotateEvery > 0 {
		until = key.SignsFrom.Add(k.Policy.RotateEvery)
	}
	if until.IsZero() {
		return text
	}
	return text + ", the next one signs in " + span(until.Sub(k.Now))
}

func (k Keys) find(alg string, state keystore.State) *keystore.Info {
	for i := range k.List {
		if key := &k.List[i]; key.Alg == alg && key.State == state {
			return key
		}
	}
	return nil
}

// age speaks of keys without a successor: others are replaced already.
func (k Keys) age(r *report, key *keystore.Info) {
	age, every := k.Now.Sub(key.SignsFrom), k.Policy.RotateEvery
	switch {
	case k.find(key.Alg, keystore.Pending) != nil || k.Schedule != nil:
	case every == 0 && age > oldKey:
		r.warn("signet keys rotate, or set keys.rotate_every", "%s key %s has signed for %s, and keys.rotate_every is 0", key.Alg, key.KID, span(age))
	case every > 0 && age > every-k.Policy.PublishAhead+overdue:
		r.warn("let signet serve run, which rotates; if it does, its log says what keeps it from that",
			"%s key %s has signed for %s and has no successor; keys.rotate_every is %s", key.Alg, key.KID, span(age), span(every))
	}
}

// size: a larger keys.rsa_bits is for new keys alone.
func (k Keys) size(r *report, key *keystore.Info) {
	keys, _, err := jwks.Parse(k.Set)
	if err != nil || keys[key.KID] == nil {
		return
	}
	if public, ok := keys[key.KID].Public.(*rsa.PublicKey); ok && public.N.BitLen() < k.Policy.RSABits {
		r.warn("signet keys rotate --alg "+key.Alg, "%s key %s has %d bits, and keys.rsa_bits is %d", key.Alg, key.KID, public.N.BitLen(), k.Policy.RSABits)
	}
}

func (k Keys) pending(r *report, key keystore.Info) {
	switch lead := key.SignsFrom.Sub(key.Created); {
	case key.Held && k.Now.Sub(key.Created) > longHeld:
		r.warn("signet keys rotate --wait lists who has not fetched it, --now lets it sign",
			"%s key %s is held for %s already", key.Alg, key.KID, span(k.Now.Sub(key.Created)))
	case !key.Held && lead < k.Policy.JWKSMaxAge:
		r.warn("lower keys.jwks_max_age until then, or see with signet keys consumers who has the key",
			"%s key %s signs %s after it was published, and caches may keep the set before for %s", key.Alg, key.KID, span(lead), span(k.Policy.JWKSMaxAge))
	}
}
