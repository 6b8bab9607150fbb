package verify

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// How a Remote fetches where nothing else is said.
const (
	DefaultTimeout      = 5 * time.Second
	DefaultHardAge      = 24 * time.Hour
	DefaultMissInterval = 3 * time.Second
)

// Bounds of what callers may cause.
const (
	// missBurst fetches for unknown kids are made without waiting, then one in
	// each MissInterval.
	missBurst = 4
	// maxWaiting callers wait for the next such fetch, maxFollowing for one that
	// is under way; more are told to come again.
	maxWaiting   = 64
	maxFollowing = 1024
	// patience is how long callers wait for a fetch, from its beginning, before
	// they go on with keys that are past max-age and still believed.
	patience = time.Second
	// maxBackoff is the longest pause after failed fetches.
	maxBackoff = 30 * time.Second
)

// Remote is a KeySource that fetches the issuer's JWK Set over HTTPS, finds it by
// discovery, and keeps it as fresh as its Cache-Control asks. Its fields must not
// be changed after the first use.
//
// Before max-age ends, a request finds the set due and has it fetched in the
// background. After max-age callers wait for the fetch, so that a removed key is
// refused from then on; if it fails, or takes longer than a second, the keys at
// hand are believed until HardAge. An unknown kid has the set fetched at once, a
// few times; when forged kids have used that up, callers with an unknown kid wait
// for the next fetch, which is for all of them. So no forged kid keeps a new key
// out for longer than MissInterval.
type Remote struct {
	// Issuer is where discovery begins (OpenID Connect Discovery §4, RFC 8414 §3).
	Issuer string
	// JWKSURL is where the set is; it makes discovery unnecessary.
	JWKSURL string
	// Transport makes the requests; nil means one of its own, which goes through
	// the proxy of the environment.
	Transport http.RoundTripper
	// Timeout bounds each request; 0 means DefaultTimeout.
	Timeout time.Duration
	// HardAge is how long keys are believed after they were last fetched with
	// success; 0 means DefaultHardAge.
	HardAge time.Duration
	// MissInterval is the shortest time, on average, between fetches for unknown
	// kids; 0 means DefaultMissInterval.
	MissInterval time.Duration
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	once    sync.Once
	base    context.Context // of all fetches
	stop    context.CancelFunc
	client  *http.Client
	found   location // read and written by a fetch, of which there is one at a time
	current atomic.Pointer[keySet]

	mu        sync.Mutex // never held during a fetch
	flight    *flight
	begun     uint64 // fetches so far
	failures  int    // since the last success
	lastErr   error
	retryAt   time.Time // no fetch before
	misses    bucket
	waiting   int
	following int
	unknown   negative
}

// keySet is a fetched JWK Set. It is never changed; the keys of the next one are
// the same pointers if the set is the same.
type keySet struct {
	keys    map[string]*Key
	url     string
	etag    string
	sum     identity // of the body
	due     time.Time
	expires time.Time
	dead    time.Time
}

// flight is one fetch, with everybody who waits for it.
type flight struct {
	number  uint64
	started time.Time
	done    chan struct{}
	err     error // once done
}

// Key returns the key with this kid. While the set is fresh, this is one look into
// a map.
func (r *Remote) Key(ctx context.Context, kid string) (*Key, error) {
	set := r.current.Load()
	if set == nil || !r.now().Before(set.due) {
		var err error
		if set, err = r.believed(ctx); err != nil {
			return nil, err
		}
	}
	if key := set.keys[kid]; key != nil {
		return key, nil
	}
	return r.miss(ctx, kid)
}

// Close ends a fetch that is under way, and all that would follow.
func (r *Remote) Close() error {
	r.setup()
	r.stop()
	r.mu.Lock()
	f := r.flight
	r.mu.Unlock()
	if f != nil {
		<-f.done
	}
	if r.Transport == nil { // another's connections may be in use elsewhere
		r.client.CloseIdleConnections()
	}
	return nil
}

func (r *Remote) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

func (r *Remote) setup() {
	r.once.Do(func() {
		r.base, r.stop = context.WithCancel(context.Background())
		r.client = newClient(r.Transport)
	})
}

// believed returns the set to go by, which is due to be fetched.
func (r *Remote) believed(ctx context.Context) (*keySet, error) {
	now := r.now()
	set := r.current.Load()
	f := r.refresh(now)
	switch {
	case set == nil || !now.Before(set.dead):
		return r.must(ctx, f, now)
	case f == nil || now.Before(set.expires):
		return set, nil
	}
	if err := wait(ctx, f.done, f.started.Add(patience).Sub(now)); err != nil {
		return nil, err
	}
	return r.current.Load(), nil
}

// must waits for a set, there being none that is believed.
func (r *Remote) must(ctx context.Context, f *flight, now time.Time) (*keySet, error) {
	if f == nil {
		return nil, r.unavailable(now)
	}
	if err := wait(ctx, f.done, forever); err != nil {
		return nil, err
	}
	if f.err != nil {
		return nil, r.unavailable(r.now())
	}
	return r.current.Load(), nil
}

// refresh returns the fetch under way, or begins one; nil in the pause after one
// that failed.
func (r *Remote) refresh(now time.Time) *flight {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flight == nil && now.Before(r.retryAt) {
		return nil
	}
	if set := r.current.Load(); set != nil && now.Before(set.due) {
		return &flight{done: closed} // it ended a moment ago
	}
	return r.begin(now)
}

// begin returns the fetch under way, or a new one. The caller holds mu.
func (r *Remote) begin(now time.Time) *flight {
	if r.flight != nil {
		return r.flight
	}
	r.setup()
	r.begun++
	f := &flight{number: r.begun, started: now, done: make(chan struct{})}
	r.flight = f
	go r.run(f)
	return f
}

// run fetches. The good keys stay if that fails (GHSA-fhv5-28vv-h8m8).
func (r *Remote) run(f *flight) {
	set, err := r.fetch(r.base, r.current.Load(), f.started)
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.failures++
		r.retryAt = now.Add(backoff(r.failures))
		f.err, r.lastErr = err, err
	} else {
		r.failures, r.retryAt, r.lastErr = 0, time.Time{}, nil
		r.current.Store(set)
	}
	r.flight = nil
	close(f.done)
}

func backoff(failures int) time.Duration {
	return jitter(min(time.Second<<min(failures-1, 10), maxBackoff), 0.8, 1)
}

func (r *Remote) unavailable(now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &UnavailableError{RetryAfter: max(r.retryAt.Sub(now), time.Second), Cause: r.lastErr}
}

// forever is longer than any fetch takes.
const forever = time.Duration(1<<63 - 1)

var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// wait returns when done is closed or the time is over. Its error is that of ctx.
func wait(ctx context.Context, done <-chan struct{}, atMost time.Duration) error {
	if atMost <= 0 {
		return nil
	}
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return &UnavailableError{RetryAfter: time.Second, Cause: context.Cause(ctx)}
	}
}

// errNoLocation: the zero Remote knows of no keys.
var errNoLocation = errors.New("neither an issuer nor a URL of keys")
