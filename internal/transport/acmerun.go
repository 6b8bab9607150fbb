package transport

import (
	"context"
	"time"
)

// CAs count failed attempts; Let's Encrypt allows five an hour for a name.
const (
	firstRetry = time.Minute
	lastRetry  = time.Hour
)

// watchEvery is how often the log may hear of a renewal.
const watchEvery = time.Minute

// Run has a certificate for each host, and tells of their renewal, until ctx ends. It
// does not wait for a CA that does not answer.
func (a *ACME) Run(ctx context.Context) {
	done := make(chan struct{})
	go func() { defer close(done); a.keep(ctx) }()
	select {
	case <-ctx.Done():
	case <-done:
	}
}

// Reload asks the CA again, now, for certificates that it has not issued.
func (a *ACME) Reload() {
	select {
	case a.hurry <- struct{}{}:
	default:
	}
}

func (a *ACME) keep(ctx context.Context) {
	wait, told := firstRetry, time.Time{}
	pending := a.obtainAll(ctx, a.hosts, wait)
	retry, look := time.NewTimer(wait), time.NewTicker(watchEvery)
	defer retry.Stop()
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-look.C:
			told = a.report(now, told)
			continue
		case <-a.hurry:
			wait = firstRetry
			if len(pending) == 0 {
				a.opts.Log.Info("reload: every certificate of tls.acme_hosts is there; the CA was not asked", "expires", stamp(a.NotAfter()))
			}
		case <-retry.C:
			wait = min(2*wait, lastRetry)
		}
		pending = a.obtainAll(ctx, pending, wait)
		retry.Reset(wait)
	}
}

// obtainAll asks for one certificate after the other, since the first makes the account.
// It returns the hosts that have none afterwards.
func (a *ACME) obtainAll(ctx context.Context, hosts []*acmeHost, retry time.Duration) (failed []*acmeHost) {
	for _, h := range hosts {
		if ctx.Err() != nil {
			return hosts
		}
		if err := a.obtain(h); err != nil {
			a.opts.Log.Error("the CA issued no certificate, and connections for this host are refused until it does",
				"host", h.name, "directory", a.opts.Directory, "error", err, "next_try_in", retry.String(),
				"do", "see that the name and its port 443 lead to this listener; SIGHUP tries again at once")
			failed = append(failed, h)
			continue
		}
		a.opts.Log.Info("the certificate is in force", "host", h.name, "expires", stamp(h.leaf.NotAfter))
	}
	return failed
}

// report tells what became of renewals, which autocert keeps to itself. It returns when a
// failed one was last told.
func (a *ACME) report(now, told time.Time) time.Time {
	for _, h := range a.hosts {
		leaf := h.served()
		if leaf == nil {
			continue
		}
		if !leaf.Equal(h.leaf) {
			h.leaf = leaf
			a.journal.take() // what went wrong before it went well
			a.opts.Log.Info("the certificate was renewed", "host", h.name, "expires", stamp(leaf.NotAfter))
		}
		h.expires.remind(a.opts.Log.With("host", h.name), leaf, now, "directory", a.opts.Directory)
	}
	if now.Sub(told) < lastRetry {
		return told
	}
	if err := a.journal.take(); err != nil {
		a.opts.Log.Warn("a certificate was not renewed; it is tried again within the hour",
			"directory", a.opts.Directory, "error", err, "first_expires", stamp(a.NotAfter()))
		return now
	}
	return told
}
