package metrics

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"signet/keystore"
)

var (
	tokensIssued = described("signet_tokens_issued_total", "Tokens that a key has signed since the start, by kind; also those of a refresh that was then refused.", "alg", "kid", "kind")
	keyInfo      = described("signet_key_info", "1 for each signing key that is still known, with its state.", "alg", "kid", "state")
	keyAge       = described("signet_key_age_seconds", "Seconds since the key was made.", "alg", "kid")
	keysNext     = described("signet_keys_next_change_seconds", "Seconds until a key is planned to come, to take its turn, to end it or to go; absent if nothing is planned.")
	keysOverdue  = described("signet_keys_overdue_seconds", "Seconds by which the schedule of the keys is late: a successor was not published, or a private half not destroyed; 0 if nothing is late.")
	keysStopped  = described("signet_keys_schedule_stopped", "1 while the schedule of the keys is stopped because the clock has leapt (signet keys resume), otherwise 0.")
	keysEvery    = described("signet_keys_rotate_every_seconds", "Seconds for which a key signs until the schedule replaces it (keys.rotate_every); 0 is never.")
	keysRead     = described("signet_keys_read_age_seconds", "Seconds since this server last read the signing keys from the database that it shares with others; absent with bbolt.")
	keysAhead    = described("signet_keys_publish_ahead_seconds", "Seconds for which a new key is published before it signs (keys.publish_ahead).")
)

// signing tells of the signing keys. It reads memory only.
type signing struct {
	keys   Keys
	tokens Tokens
}

// Describe implements prometheus.Collector.
func (signing) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{tokensIssued, keyInfo, keyAge, keysNext, keysOverdue, keysStopped, keysEvery, keysAhead, keysRead} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (s signing) Collect(ch chan<- prometheus.Metric) {
	schedule, policy, keys := s.keys.Schedule(), s.keys.Policy(), s.keys.Keys()
	for _, k := range keys {
		ch <- reading(keyInfo, 1, k.Alg, k.KID, string(k.State))
		ch <- reading(keyAge, max(0, schedule.Now.Sub(k.Created).Seconds()), k.Alg, k.KID) // a clock that was set back
		use := s.tokens.KeyUse(k.KID)
		ch <- total(tokensIssued, use.AccessTokens, k.Alg, k.KID, "access")
		ch <- total(tokensIssued, use.RefreshTokens, k.Alg, k.KID, "refresh")
	}
	stopped := 0.
	if !schedule.Stopped.IsZero() {
		stopped = 1
	}
	ch <- reading(keysStopped, stopped)
	ch <- reading(keysEvery, policy.RotateEvery.Seconds())
	ch <- reading(keysAhead, policy.PublishAhead.Seconds())
	if f, shared := s.keys.Freshness(); shared {
		ch <- reading(keysRead, f.Age.Seconds())
	}
	ch <- reading(keysOverdue, overdue(keys, policy, schedule.Now).Seconds())
	if next := nextChange(keys, policy, schedule.Now); !next.IsZero() {
		ch <- reading(keysNext, next.Sub(schedule.Now).Seconds())
	}
}

// nextChange is the next planned instant of the keys, zero if there is none.
func nextChange(keys []keystore.Info, p keystore.Policy, now time.Time) time.Time {
	var next time.Time
	consider := func(t time.Time) {
		if t.After(now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, k := range keys {
		if k.State == keystore.Revoked {
			continue
		}
		consider(k.SignsFrom)
		consider(k.SignsUntil)
		consider(k.PublishedUntil)
		consider(successorDue(k, keys, p))
	}
	return next
}

// overdue is how long ago the schedule should have done what is not done.
func overdue(keys []keystore.Info, p keystore.Policy, now time.Time) time.Duration {
	late := time.Duration(0)
	for _, k := range keys {
		if due := successorDue(k, keys, p); !due.IsZero() {
			late = max(late, now.Sub(due))
		}
		if k.PrivateHalf && !k.SignsUntil.IsZero() {
			late = max(late, now.Sub(k.SignsUntil))
		}
	}
	return late
}

// successorDue is when the schedule publishes the successor of a key that is active; zero
// if there is one, or none is planned.
func successorDue(k keystore.Info, keys []keystore.Info, p keystore.Policy) time.Time {
	succeeds := func(other keystore.Info) bool { return other.Alg == k.Alg && other.State == keystore.Pending }
	if k.State != keystore.Active || p.RotateEvery <= 0 || !slices.Contains(p.Algorithms, k.Alg) || slices.ContainsFunc(keys, succeeds) {
		return time.Time{}
	}
	return k.SignsFrom.Add(p.RotateEvery - p.PublishAhead)
}
