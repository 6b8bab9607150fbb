package control

import (
	"time"

	"signet/keystore"
)

// ReplicaLag is how long other replicas go on with a key that was revoked at one.
type ReplicaLag struct {
	// Drop is within which time they read of it, and drop it.
	Drop time.Duration `json:"drop_within"`
	// Sign is how long one signs with it that cannot read the database.
	Sign time.Duration `json:"sign_at_most"`
}

// replicaLag is nil for a server that has its store alone.
func (o *Operator) replicaLag() *ReplicaLag {
	if !o.Keys.Policy().Shared {
		return nil
	}
	return &ReplicaLag{Drop: keystore.PollInterval, Sign: keystore.StaleAfter}
}
