package verify

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"signet/jwks"
)

// Bounds of what a fetch believes.
const (
	maxBody       = 256 << 10
	minMaxAge     = 10 * time.Second
	maxMaxAge     = time.Hour
	defaultMaxAge = 5 * time.Minute
	// locationAge is how long the result of a discovery is used.
	locationAge = time.Hour
)

// location is what a discovery found.
type location struct {
	url   string
	until time.Time
}

// fetch gets the set, or finds that old is still the one.
func (r *Remote) fetch(ctx context.Context, old *keySet, now time.Time) (*keySet, error) {
	where, err := r.locate(ctx, now)
	if err != nil {
		return nil, err
	}
	etag := ""
	if old != nil && old.url == where {
		etag = old.etag
	}
	a, err := r.get(ctx, where, etag)
	if err == nil && a.status != http.StatusOK && (etag == "" || a.status != http.StatusNotModified) {
		err = &statusError{url: where, code: a.status}
	}
	if err != nil {
		r.found.until = time.Time{} // it may have moved
		return nil, err
	}
	set := &keySet{url: where, etag: a.header.Get("ETag"), sum: sha256.Sum256(a.body)}
	switch {
	case a.status == http.StatusNotModified:
		set.keys, set.sum, set.etag = old.keys, old.sum, old.etag
	case old != nil && old.sum == set.sum:
		set.keys = old.keys
	default:
		var leftOut []error
		if set.keys, leftOut, err = jwks.Parse(a.body); err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		if len(set.keys) == 0 && len(leftOut) > 0 { // a mistake, and no revocation of all keys
			return nil, fmt.Errorf("%s has no key that can be used: %w", where, errors.Join(leftOut...))
		}
	}
	r.date(set, a.header, now)
	return set, nil
}

// date counts from before the request: what was published since may be missing.
func (r *Remote) date(set *keySet, header http.Header, now time.Time) {
	hard := r.HardAge
	if hard <= 0 {
		hard = DefaultHardAge
	}
	age := min(maxAge(header), hard)
	set.due = now.Add(jitter(age, 0.75, 0.9))
	set.expires = now.Add(age)
	set.dead = now.Add(hard)
}

// maxAge is how long an answer stays fresh (RFC 9111 §4.2), within our bounds.
func maxAge(header http.Header) time.Duration {
	age := defaultMaxAge
	for directive := range strings.SplitSeq(strings.Join(header.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return minMaxAge
		case "max-age":
			if n, err := strconv.Atoi(strings.Trim(value, `"`)); err == nil {
				age = min(time.Duration(min(max(n, 0), 1<<31))*time.Second, maxMaxAge)
			} else {
				age = 0 // RFC 9111 §4.2.1: what cannot be read is stale
			}
		}
	}
	if n, err := strconv.Atoi(header.Get("Age")); err == nil && n > 0 {
		age -= min(time.Duration(min(n, 1<<31))*time.Second, age)
	}
	return min(max(age, minMaxAge), maxMaxAge)
}

// jitter picks a part of d, so that many servers do not ask at the same moment.
func jitter(d time.Duration, from, to float64) time.Duration {
	return time.Duration(float64(d) * (from + rand.Float64()*(to-from)))
}

// locate says where the set is. A place once found is used on if it cannot be
// found again.
func (r *Remote) locate(ctx context.Context, now time.Time) (string, error) {
	if r.JWKSURL != "" {
		return r.JWKSURL, checkURL(r.JWKSURL, true)
	}
	if now.Before(r.found.until) {
		return r.found.url, nil
	}
	found, err := r.discover(ctx)
	if err != nil && r.found.url != "" && !errors.Is(err, errForeign) {
		return r.found.url, nil
	}
	if err != nil {
		return "", err
	}
	r.found = location{url: found, until: now.Add(locationAge)}
	return found, nil
}

// errForeign is not ErrIssuer, which is about tokens.
var errForeign = errors.New("metadata of another issuer")

// discover asks at both well-known places: OpenID Connect Discovery §4 appends to
// the issuer's path, RFC 8414 §3 inserts before it.
func (r *Remote) discover(ctx context.Context) (string, error) {
	if r.Issuer == "" {
		return "", errNoLocation
	}
	if err := checkURL(r.Issuer, true); err != nil {
		return "", err
	}
	u, _ := url.Parse(r.Issuer) // checkURL did
	if u.RawQuery != "" || u.ForceQuery {
		return "", fmt.Errorf("issuer %.200q has a query (RFC 8414 §2)", r.Issuer)
	}
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	root := u.Scheme + "://" + u.Host
	found, err := r.metadata(ctx, root+path+"/.well-known/openid-configuration")
	var status *statusError
	if errors.As(err, &status) && status.code/100 == 4 {
		found, err = r.metadata(ctx, root+"/.well-known/oauth-authorization-server"+path)
	}
	if err != nil {
		return "", err
	}
	return found, checkURL(found, u.Scheme == "http")
}

// metadata reads one document. Its issuer must be ours, code point by code point
// (RFC 8414 §3.3).
func (r *Remote) metadata(ctx context.Context, where string) (string, error) {
	a, err := r.get(ctx, where, "")
	if err != nil {
		return "", err
	}
	if a.status != http.StatusOK {
		return "", &statusError{url: where, code: a.status}
	}
	members, err := object(a.body)
	if err != nil {
		return "", fmt.Errorf("%s: %w", where, err)
	}
	var issuer, found string
	value, _ := members.Get("issuer")
	if json.Unmarshal(value, &issuer) != nil || issuer != r.Issuer {
		return "", fmt.Errorf("%w: %s is of %.200q", errForeign, where, issuer)
	}
	value, _ = members.Get("jwks_uri")
	if json.Unmarshal(value, &found) != nil || found == "" {
		return "", fmt.Errorf("%s has no jwks_uri", where)
	}
	return found, nil
}

// checkURL demands https. Plain http is for this machine alone, and only where
// the caller says that it may be.
func checkURL(raw string, plain bool) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return fmt.Errorf("%.200q is not a URL to get keys from", raw)
	case u.User != nil || strings.Contains(raw, "#"):
		return fmt.Errorf("%.200q has a part that a URL of keys has not", raw)
	case u.Scheme == "https" || u.Scheme == "http" && plain && loopback(u.Hostname()):
		return nil
	}
	return fmt.Errorf("%.200q: keys are fetched over https", raw)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// answer is a response that was read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// statusError is an answer that is none.
type statusError struct {
	url  string
	code int
}

func (e *statusError) Error() string {
	if e.code/100 == 3 {
		return fmt.Sprintf("%s answered %d: redirects are not followed", e.url, e.code)
	}
	return fmt.Sprintf("%s answered %d", e.url, e.code)
}

func newClient(transport http.RoundTripper) *http.Client {
	if transport == nil {
		transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 1,
			IdleConnTimeout: 30 * time.Second, MaxResponseHeaderBytes: 64 << 10,
		}
	}
	return &http.Client{
		Transport: transport,
		// A redirect could lead off https, or to an address of the inner network.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (r *Remote) get(ctx context.Context, where, etag string) (*answer, error) {
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", jwks.ContentType+", application/json")
	req.Header.Set("Cache-Control", "no-cache") // a cache on the way does not know of an unknown kid
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	res, err := r.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxBody+1))
	if err != nil {
		return nil, err
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("%s answered more than %d bytes", where, maxBody)
	}
	return &answer{res.StatusCode, res.Header, body}, nil
}
