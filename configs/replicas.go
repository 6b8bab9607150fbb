package configs

import "time"

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
