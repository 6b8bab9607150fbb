package verify

import (
	"context"
	"time"
)

// maxKIDBytes bounds a kid that is looked for elsewhere: Signet's have 43.
const maxKIDBytes = 256

// miss looks for a key that is not in the set: it may have been published after
// the last fetch. A set that was asked for after the caller came decides.
func (r *Remote) miss(ctx context.Context, kid string) (*Key, error) {
	if len(kid) > maxKIDBytes {
		return nil, unknownKey(kid)
	}
	r.mu.Lock()
	came := r.begun
	r.mu.Unlock()
	for {
		f, delay, err := r.lookAgain(kid, came)
		switch {
		case err != nil:
			return nil, err
		case f == nil:
			if err := r.queue(ctx, delay); err != nil {
				return nil, err
			}
		default:
			if err := r.follow(ctx, f); err != nil {
				return nil, err
			}
		}
		if key := r.current.Load().keys[kid]; key != nil {
			return key, nil
		}
	}
}

// lookAgain returns the fetch to wait for, or how long to wait for the next.
func (r *Remote) lookAgain(kid string, came uint64) (*flight, time.Duration, error) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.flight != nil && r.following >= maxFollowing:
		return nil, 0, &UnavailableError{RetryAfter: time.Second}
	case r.flight != nil:
		r.following++
		return r.flight, 0, nil
	case now.Before(r.retryAt):
		return nil, 0, &UnavailableError{RetryAfter: max(r.retryAt.Sub(now), time.Second), Cause: r.lastErr}
	case r.begun > came: // and it ended, and did not bring the key
		r.unknown.add(kid, now.Add(r.missInterval()))
		return nil, 0, unknownKey(kid)
	case r.unknown.has(kid, now):
		return nil, 0, unknownKey(kid)
	}
	if delay := r.misses.take(now, r.missInterval()); delay > 0 {
		if r.waiting >= maxWaiting {
			return nil, 0, &UnavailableError{RetryAfter: max(delay, time.Second)} // it cannot be told
		}
		r.waiting++
		return nil, delay, nil
	}
	r.following++
	return r.begin(now), 0, nil
}

// follow waits for a fetch, in a place that lookAgain took.
func (r *Remote) follow(ctx context.Context, f *flight) error {
	err := wait(ctx, f.done, forever)
	r.mu.Lock()
	r.following--
	r.mu.Unlock()
	if err == nil && f.err != nil {
		err = r.unavailable(r.now())
	}
	return err
}

// queue waits for the next fetch to be allowed, in a place that lookAgain took.
func (r *Remote) queue(ctx context.Context, delay time.Duration) error {
	err := wait(ctx, nil, delay)
	r.mu.Lock()
	r.waiting--
	r.mu.Unlock()
	return err
}

func (r *Remote) missInterval() time.Duration {
	if r.MissInterval > 0 {
		return r.MissInterval
	}
	return DefaultMissInterval
}

// bucket is a token bucket by the instant at which it is full again.
type bucket struct{ full time.Time }

// take takes a token, of which there is a new one in each interval; if there is
// none, it says how long until there is.
func (b *bucket) take(now time.Time, interval time.Duration) time.Duration {
	full := b.full
	if full.Before(now) {
		full = now
	}
	if delay := full.Sub(now) - (missBurst-1)*interval; delay > 0 {
		return delay
	}
	b.full = full.Add(interval)
	return 0
}

// maxUnknown bounds the negative cache. It saves fetches for a client that comes again
// and again with one kid. An entry lives for MissInterval, so that a key that is
// published a moment after its first token is soon accepted; and any fetch that brings
// the key ends it.
const maxUnknown = 1024

// negative holds kids that were looked for in vain, and until when that counts.
type negative map[string]time.Time

func (n negative) has(kid string, now time.Time) bool {
	until, ok := n[kid]
	return ok && now.Before(until)
}

func (n *negative) add(kid string, until time.Time) {
	if *n == nil || len(*n) >= maxUnknown {
		*n = make(negative)
	}
	(*n)[kid] = until
}
