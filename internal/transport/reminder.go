package transport

import (
	"crypto/x509"
	"log/slog"
	"time"
)

const day = 24 * time.Hour

// reminder tells the log, once a day, of a certificate that ends soon or has ended. It
// is not safe for concurrent use.
type reminder struct{ last time.Time }

func (r *reminder) remind(log *slog.Logger, leaf *x509.Certificate, now time.Time, args ...any) {
	if !endsSoon(leaf, now) {
		r.last = time.Time{}
		return
	}
	if !r.last.IsZero() && now.Sub(r.last) < day {
		return
	}
	r.last = now
	args = append([]any{"expires", stamp(leaf.NotAfter)}, args...)
	if now.After(leaf.NotAfter) {
		log.Error("the certificate in force has expired, and clients refuse it", args...)
		return
	}
	log.Warn("the certificate in force ends soon", append(args, "left", leaf.NotAfter.Sub(now).Round(time.Minute).String())...)
}
