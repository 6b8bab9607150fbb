package configs

import (
	"fmt"
	"time"
)

// ReplicaPoll is within which time every replica publishes a new key: keystore.PollInterval.
const ReplicaPoll = 5 * time.Second

// checkPublishedEverywhere: a cache may have asked the replica that publishes a new key last.
func (c *Config) checkPublishedEverywhere(r *report) {
	k := &c.Keys
	if !c.Postgres() || k.PublishAhead < k.JWKSMaxAge || k.PublishAhead >= k.JWKSMaxAge+ReplicaPoll {
		return
	}
	r.bothf("keys.publish_ahead", "keys.jwks_max_age",
		"%s is shorter than keys.jwks_max_age, %s, and the %s within which all replicas publish a key: it would sign before every cache has it; make it at least %s",
		formatDuration(k.PublishAhead), formatDuration(k.JWKSMaxAge), formatDuration(ReplicaPoll), formatDuration(k.JWKSMaxAge+ReplicaPoll))
}

// leastLeeway bears what clocksApart allows, and some network.
const leastLeeway = 5 * time.Second

// checkLeewayOfReplicas: a token is checked by another clock than the one that wrote its nbf.
func (c *Config) checkLeewayOfReplicas(r *report) {
	if !c.Postgres() || c.Tokens.Leeway < 0 || c.Tokens.Leeway >= leastLeeway {
		return
	}
	r.bothf("tokens.leeway", "store", "%s is too short for replicas, whose clocks may be %s apart: one would refuse what another has just issued; make it at least %s",
		formatDuration(c.Tokens.Leeway), formatDuration(clocksApart), formatDuration(leastLeeway))
}

// RefreshLimit is how long a refresh over PostgreSQL may take: issuer.RefreshLimit.
const RefreshLimit = 5 * time.Second

// clocksApart is how far the clock of a replica may be from that of another, and retryIn
// how soon a client tries again.
const (
	clocksApart = 2 * time.Second
	retryIn     = 3 * time.Second
)

// warnReuseWindow: the retry of a refresh that the database was slow to make would be taken
// for the second use of a stolen token.
func (c *Config) warnReuseWindow() []string {
	const least = RefreshLimit + clocksApart + retryIn
	if !c.Postgres() || !c.Refresh.Rotate || c.Refresh.ReuseWindow >= least {
		return nil
	}
	return []string{fmt.Sprintf("refresh.reuse_window: with %s, a refresh that PostgreSQL is slow to make, up to %s, and that is tried again ends the session; %s or more does not",
		formatDuration(c.Refresh.ReuseWindow), formatDuration(RefreshLimit), formatDuration(least))}
}
