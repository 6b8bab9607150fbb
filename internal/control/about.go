package control

import (
	"context"
	"time"

	"signet/keystore"
)

// ShowServer says what answers behind the door.
var ShowServer = look("server", (*Operator).about)

// About is who answers, and what is in force there.
type About struct {
	// Running is false where a command has opened the database itself.
	Running bool `json:"running"`
	// Since is when the server started.
	Since time.Time `json:"since,omitzero"`
	Build string    `json:"build"`
	// Issuer is the URL in force; without a server, that of the command's configuration.
	Issuer string          `json:"issuer"`
	Policy keystore.Policy `json:"policy"`
	// SealingKey is why the next start could not open the keys; empty if it could.
	SealingKey string `json:"sealing_key,omitempty"`
}

func (o *Operator) about(context.Context, struct{}) (About, error) {
	a := About{Build: o.Build, Issuer: o.Issuer.URL(), Policy: o.Keys.Policy()}
	if o.Live != nil {
		a.Running, a.Since = true, o.Live.since
	}
	if err := o.Keys.CheckSealingKey(); err != nil {
		a.SealingKey = err.Error()
	}
	return a, nil
}
