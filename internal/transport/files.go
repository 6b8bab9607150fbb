package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// lookEvery is how often the files are looked at for a change.
const lookEvery = 2 * time.Second

// FilesOptions are where a certificate is.
type FilesOptions struct {
	// Cert is the file of the certificate and those that lead to its root, Key that of
	// the private key; both PEM.
	Cert, Key string
	// Host is what clients reach the server by; a certificate that is not for it is
	// served, with a warning.
	Host string
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Log hears of what an operator has to do.
	Log *slog.Logger
}

// Files is a certificate and its private key in two files. What they hold later takes
// the place of what they held before, if it can be served.
type Files struct {
	opts    FilesOptions
	log     *slog.Logger
	current atomic.Pointer[tls.Certificate]

	mu      sync.Mutex // one reader of the files at a time
	seen    fileStamps // of what was read last
	fault   error      // why that is not served; nil if it is
	told    string     // the fault that the log has
	toldAt  time.Time
	expires reminder
}

// OpenFiles reads the files. A pair that cannot be served is an error.
func OpenFiles(opts FilesOptions) (*Files, error) {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	f := &Files{opts: opts, log: opts.Log.With("cert", opts.Cert, "key", opts.Key)}
	f.seen = f.stamps()
	pair, err := readPair(opts.Cert, opts.Key, opts.Now())
	if err != nil {
		return nil, err
	}
	f.adopt(pair)
	return f, nil
}

// TLSConfig serves the certificate in force at each handshake.
func (f *Files) TLSConfig() *tls.Config {
	return config(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.current.Load(), nil })
}

// Leaf is the certificate in force.
func (f *Files) Leaf() *x509.Certificate { return f.current.Load().Leaf }

// NotAfter is when the certificate in force expires.
func (f *Files) NotAfter() time.Time { return f.current.Load().Leaf.NotAfter }

// Run looks at the files until ctx ends.
func (f *Files) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.look()
		}
	}
}

// look reads the files if they have changed, or if what they hold could not be served:
// a certificate of tomorrow becomes valid without a change.
func (f *Files) look() {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.remind()
	now := f.stamps() // before reading: what changes meanwhile is seen by the next look
	changed := !now.same(f.seen)
	if !changed && f.fault == nil {
		return
	}
	f.seen = now
	pair, err := readPair(f.opts.Cert, f.opts.Key, f.opts.Now())
	if err == nil {
		f.adopt(pair)
		return
	}
	f.fault = err
	// Two files are not replaced in one step. A fault is told once the files rest.
	if !changed && (err.Error() != f.told || f.opts.Now().Sub(f.toldAt) >= day) {
		f.tell(err)
	}
}

// Reload reads the files now, and says in any case what came of it.
func (f *Files) Reload() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seen = f.stamps()
	pair, err := readPair(f.opts.Cert, f.opts.Key, f.opts.Now())
	if err != nil {
		f.fault = err
		f.tell(err)
		return
	}
	if f.fault == nil && f.serves(pair) {
		f.log.Info("reload: the certificate files hold what is in force already", "expires", stamp(f.NotAfter()))
	}
	f.adopt(pair)
}

func (f *Files) serves(pair *tls.Certificate) bool {
	before := f.current.Load()
	return before != nil && before.Leaf.Equal(pair.Leaf)
}

// adopt puts a pair in force.
func (f *Files) adopt(pair *tls.Certificate) {
	first, news := f.current.Load() == nil, !f.serves(pair) || f.fault != nil
	f.current.Store(pair) // also if the leaf is the same: its chain may not be
	f.fault, f.told = nil, ""
	if !news {
		return
	}
	if !first {
		f.log.Info("the certificate in the files is in force for new connections",
			"serial", pair.Leaf.SerialNumber.Text(16), "expires", stamp(pair.Leaf.NotAfter))
	}
	f.warnOfPair(pair)
}

// warnOfPair is for what can be served and is seldom meant.
func (f *Files) warnOfPair(pair *tls.Certificate) {
	if err := pair.Leaf.VerifyHostname(f.opts.Host); f.opts.Host != "" && err != nil {
		f.log.Warn("the certificate is not for the host of the issuer, and clients refuse it", "host", f.opts.Host, "error", err)
	}
	if mode := f.seen.key.mode(); mode&0o037 != 0 { // the group may read: a mounted secret
		f.log.Warn("others may read or change the private key of the certificate; run chmod 600 on it", "mode", mode.String())
	}
}

func (f *Files) tell(err error) {
	f.told, f.toldAt = err.Error(), f.opts.Now()
	f.log.Error("the certificate files cannot be served; the certificate from before stays in force",
		"error", err, "in_force_until", stamp(f.NotAfter()),
		"do", "write a matching pair that is valid now to the files; they are looked at every "+lookEvery.String())
}

func (f *Files) remind() {
	f.expires.remind(f.log, f.current.Load().Leaf, f.opts.Now(),
		"do", "write a new pair to the files; no restart is needed")
}
