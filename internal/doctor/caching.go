package doctor

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// longestMaxAge is what jwks_max_age allows, for an issuer whose setting is not known.
const longestMaxAge = day

// caching looks at what says how long clients may keep the key set (RFC 9111 §5.2), and
// whether they can ask for it anew without getting it again (RFC 9110 §13.1.2).
func (v *visit) caching(ctx context.Context) []Check {
	r := &report{name: "caching"}
	if v.set.status != http.StatusOK {
		return r.orSkip("there is no key set")
	}
	age := v.maxAge(r)
	if old, ok := seconds(v.set.header.Get("Age")); ok && old > age {
		r.fail("empty the cache in front of the issuer, and let it obey Cache-Control", "the key set comes from a cache that should have dropped it: %s old", span(old))
	}
	v.revalidate(ctx, r)
	return r.orOK("max-age %s, ETag, 304%s", span(age), v.fromCache())
}

func (v *visit) fromCache() string {
	if old, ok := seconds(v.set.header.Get("Age")); ok {
		return ", from a cache, " + span(old) + " old"
	}
	return ""
}

// maxAge is how long a cache may keep the key set.
func (v *visit) maxAge(r *report) time.Duration {
	const keep = "let the proxy pass Cache-Control on as signet sends it"
	limit := longestMaxAge
	if v.Deployment != nil {
		limit = v.Deployment.MaxAge
	}
	d := directives(v.set.header)
	age, ok := seconds(d["max-age"])
	if shared, given := seconds(d["s-maxage"]); given {
		age, ok = max(age, shared), true
	}
	_, never := d["no-store"]
	_, always := d["no-cache"]
	switch {
	case never || always:
		r.warn(keep, "Cache-Control %.80q forbids to keep the key set: services fetch it again and again", v.cacheControl())
	case !ok:
		r.warn(keep, "no max-age (Cache-Control %.80q): each client guesses how long it keeps the key set", v.cacheControl())
	case age > limit:
		r.fail(keep+": with more than keys.jwks_max_age, services miss a new key and believe a revoked one",
			"Cache-Control %.80q lets caches keep the key set for %s; signet allows %s", v.cacheControl(), span(age), span(limit))
	}
	return age
}

func (v *visit) cacheControl() string {
	return strings.Join(v.set.header.Values("Cache-Control"), ", ")
}

// directives are those of Cache-Control, in lower case. Of one that stands twice the
// first counts (RFC 9111 §4.2.1).
func directives(header http.Header) map[string]string {
	found := map[string]string{}
	for directive := range strings.SplitSeq(strings.Join(header.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		if _, twice := found[name]; !twice {
			found[name] = strings.Trim(value, `"`)
		}
	}
	return found
}

// seconds reads delta-seconds (RFC 9111 §1.2.2).
func seconds(text string) (time.Duration, bool) {
	n, err := strconv.ParseUint(text, 10, 31)
	return time.Duration(n) * time.Second, err == nil
}

func (v *visit) revalidate(ctx context.Context, r *report) {
	const keep = "let the proxy pass ETag and If-None-Match on"
	etag := v.set.header.Get("ETag")
	if etag == "" {
		r.warn(keep, "there is no ETag: services fetch the whole set each time")
		return
	}
	a, err := v.get(ctx, v.set.url, http.Header{"If-None-Match": {etag}})
	switch {
	case err != nil:
		r.warn(keep, "If-None-Match: %v", cause(err))
	case a.status == http.StatusOK && a.header.Get("ETag") != etag: // it has changed in between
	case a.status != http.StatusNotModified:
		r.warn(keep, "If-None-Match is answered with %s instead of 304", a.says())
	}
}
