package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

const day = 24 * time.Hour

// warnDays and failDays are how long before its end a certificate should have been
// replaced; one that lives for a short time has a third and a ninth of it.
const (
	warnDays = 21 * day
	failDays = 7 * day
)

// certificate verifies the chain that the issuer URL presents (RFC 5280 §6, RFC 9525 §6).
func (v *visit) certificate(context.Context) []Check {
	r := &report{name: "certificate"}
	if v.set.tls == nil || len(v.set.tls.PeerCertificates) == 0 {
		if ip := net.ParseIP(v.host()); v.host() != "localhost" && (ip == nil || !ip.IsLoopback()) {
			r.fail("terminate TLS in front of the issuer, and set issuer to the https URL (RFC 8414 §2)", "the issuer is http: passwords and tokens go over the network in clear")
		}
		return r.orSkip("the issuer is http, for this machine alone")
	}
	leaf := v.set.tls.PeerCertificates[0]
	now := v.time()
	left := v.validity(r, leaf, now)
	v.chain(r, v.set.tls.PeerCertificates, now)
	if err := leaf.VerifyHostname(v.host()); err != nil {
		r.fail("get a certificate for the host of issuer, or correct issuer", "it is for another host: %v", err)
	}
	protocol := v.set.tls.NegotiatedProtocol
	if protocol == "" {
		protocol = "http/1.1"
	}
	return r.orOK("verifies, %s left, %s, %s", plural(int(left/day), "day", "days"), tls.VersionName(v.set.tls.Version), protocol)
}

func (v *visit) validity(r *report, leaf *x509.Certificate, now time.Time) time.Duration {
	const renew = "renew it, and see why that does not happen by itself"
	left, life := leaf.NotAfter.Sub(now), leaf.NotAfter.Sub(leaf.NotBefore)
	until := leaf.NotAfter.UTC().Format(time.DateTime)
	switch {
	case now.Before(leaf.NotBefore):
		r.fail("set the clock of this machine, or wait", "it is valid only from %s UTC on", leaf.NotBefore.UTC().Format(time.DateTime))
	case left <= 0:
		r.fail(renew, "it has expired at %s UTC: no client talks to the issuer", until)
	case left < min(failDays, life/9):
		r.fail(renew, "it expires at %s UTC, in %s", until, span(left))
	case left < min(warnDays, life/3):
		r.warn(renew, "it expires at %s UTC, in %s", until, span(left))
	}
	return left
}

// chain looks for an authority. An expired leaf is another finding, and hides none here.
func (v *visit) chain(r *report, presented []*x509.Certificate, now time.Time) {
	leaf := presented[0]
	opts := x509.VerifyOptions{Roots: v.Roots, Intermediates: x509.NewCertPool(), CurrentTime: now}
	for _, c := range presented[1:] {
		opts.Intermediates.AddCert(c)
	}
	if now.After(leaf.NotAfter) {
		opts.CurrentTime = leaf.NotAfter
	} else if now.Before(leaf.NotBefore) {
		opts.CurrentTime = leaf.NotBefore
	}
	_, err := leaf.Verify(opts)
	var unknown x509.UnknownAuthorityError
	switch {
	case err == nil:
	case errors.As(err, &unknown) && leaf.CheckSignature(leaf.SignatureAlgorithm, leaf.RawTBSCertificate, leaf.Signature) == nil:
		r.fail("get one from an authority that clients trust; if they were given this one, pass it with --ca FILE", "it is signed by itself")
	case errors.As(err, &unknown):
		r.fail("let the server send the certificates between its own and the root; for an authority of your own, pass its certificate with --ca FILE",
			"no authority that is trusted here has signed it (%s sent)", plural(len(presented), "certificate was", "certificates were"))
	default:
		r.fail("get a certificate that clients accept", "it does not verify: %v", err)
	}
}

// span writes a duration in its largest unit.
func span(d time.Duration) string {
	switch {
	case d >= 2*day:
		return fmt.Sprintf("%d days", d/day)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	}
	return d.Round(time.Second).String()
}
