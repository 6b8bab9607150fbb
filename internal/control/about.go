package control

import (
	"context"
	"errors"
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
	// Listen is the address of its public listener, and TLS whether that speaks TLS.
	Listen string `json:"listen,omitempty"`
	TLS    bool   `json:"tls,omitempty"`
	// Issuer is the URL in force; without a server, that of the command's configuration.
	Issuer string          `json:"issuer"`
	Policy keystore.Policy `json:"policy"`
	// SealingKey is why the next start could not open the keys; empty if it could.
	SealingKey string `json:"sealing_key,omitempty"`
	// SealingKeyOpen says that the reason is the mode of its file.
	SealingKeyOpen bool `json:"sealing_key_open,omitempty"`
	// Audit is how the audit log stands.
	Audit AuditState `json:"audit,omitzero"`
}

// AuditState is how the audit log stands.
type AuditState struct {
	Path    string `json:"path"`
	Records uint64 `json:"records"`
	// Failing is why it cannot be written; empty if it can.
	Failing string `json:"failing,omitempty"`
	// Suspicion is what the server found of a file that somebody else has cut or changed.
	Suspicion string `json:"suspicion,omitempty"`
}

func (o *Operator) about(context.Context, struct{}) (About, error) {
	a := About{Build: o.Build, Issuer: o.Issuer.URL(), Policy: o.Keys.Policy()}
	if o.Live != nil {
		a.Running, a.Since, a.Listen, a.TLS = true, o.Live.since, o.Live.listen, o.Live.tls
	}
	if err := o.Keys.CheckSealingKey(); err != nil {
		a.SealingKey, a.SealingKeyOpen = err.Error(), errors.Is(err, keystore.ErrSealingKeyOpen)
	}
	if o.Audit != nil {
		a.Audit = AuditState{Path: o.Audit.Path(), Records: o.Audit.Head().Seq, Suspicion: o.Audit.Suspicion()}
		if err := o.Audit.Ready(); err != nil {
			a.Audit.Failing = err.Error()
		}
	}
	return a, nil
}
