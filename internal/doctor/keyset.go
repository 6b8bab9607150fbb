package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"signet/jwks"
	"signet/keystore"
)

// keySet looks at the JWK Set, and whether it is that of this issuer.
func (v *visit) keySet(ctx context.Context) []Check {
	r := &report{name: "key set"}
	keys := readSet(r, v.set)
	if keys == nil {
		return r.checks
	}
	if v.Deployment == nil {
		return r.orOK("%s, well formed, no private member", plural(len(keys), "key", "keys"))
	}
	if err := v.compare(ctx, r, keys); err != nil {
		r.fail("make the command work that fails: signet jwks", "it cannot be compared with the keys of this issuer: %v", err)
	}
	return r.orOK("%s of this issuer, well formed, no private member", plural(len(keys), "key", "keys"))
}

// readSet returns the keys of an answer, nil if it has none.
func readSet(r *report, a *answer) map[string]*jwks.Key {
	if a.refuse(r, http.StatusOK, "let the proxy pass "+pathJWKS+" on to signet") {
		return nil
	}
	keys, leftOut, err := jwks.Parse(a.body)
	if err != nil {
		r.fail("let the proxy pass "+pathJWKS+" on to signet unchanged", "%s is no key set: %v", a.url, err)
		return nil
	}
	if kids := privateMembers(a.body); len(kids) > 0 {
		r.fail("take these keys out of use now: signet keys revoke KID; then see docs/leaked-key.md",
			"PRIVATE members are published, of kid %q", kids)
	}
	for _, err := range leftOut {
		r.warn("signet publishes no such entry: see what writes it", "%v", err)
	}
	if len(keys) == 0 {
		r.fail("make keys: signet keys rotate", "it has no key that verifies")
		return nil
	}
	checkType(r, a)
	return keys
}

// privateNames are the members of JWKs that no one may see (RFC 7518 §6.2.2, §6.3.2, §6.4.1).
var privateNames = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// privateMembers are the kids of the entries that have one.
func privateMembers(set []byte) (kids []string) {
	var members map[string]json.RawMessage
	var entries []map[string]json.RawMessage
	if json.Unmarshal(set, &members) != nil || json.Unmarshal(members["keys"], &entries) != nil {
		return nil
	}
	for _, e := range entries {
		if slices.ContainsFunc(privateNames, func(name string) bool { return e[name] != nil }) {
			kids = append(kids, fmt.Sprintf("%.50s", member(e, "kid")))
		}
	}
	return kids
}

// member is a string of an object, empty if it is none.
func member(object map[string]json.RawMessage, name string) (text string) {
	if json.Unmarshal(object[name], &text) != nil {
		return ""
	}
	return text
}

func checkType(r *report, a *answer) {
	given := a.header.Get("Content-Type")
	kind, _, err := mime.ParseMediaType(given)
	if err != nil || kind != jwks.ContentType && kind != "application/json" {
		r.warn("let the proxy keep Content-Type: "+jwks.ContentType, "its Content-Type is %.80q", given)
	}
}

// compare holds what is served against what this issuer has. The keys may change in
// between, so a difference is looked at twice.
func (v *visit) compare(ctx context.Context, r *report, served map[string]*jwks.Key) error {
	for again := true; ; again = false {
		text, err := v.Deployment.KeySet(ctx)
		if err != nil {
			return err
		}
		own, _, err := jwks.Parse(text)
		if err != nil {
			return err
		}
		d := differ(own, served)
		if len(d.missing)+len(d.foreign) == 0 {
			return nil
		}
		if !again {
			v.different(r, d)
			return nil
		}
		a, err := v.get(ctx, v.set.url, nil)
		if err != nil {
			return cause(err)
		}
		if keys, _, err := jwks.Parse(a.body); err == nil && a.status == http.StatusOK {
			served = keys
		}
	}
}

// difference is that of two key sets, by kid.
type difference struct {
	missing, foreign []string
	common           int
}

// differ takes one kid with two keys for both: missing and foreign.
func differ(own, served map[string]*jwks.Key) (d difference) {
	for kid, key := range own {
		if other := served[kid]; other != nil && reflect.DeepEqual(key, other) {
			d.common++
			continue
		}
		d.missing = append(d.missing, kid)
	}
	for kid, key := range served {
		if other := own[kid]; other == nil || !reflect.DeepEqual(key, other) {
			d.foreign = append(d.foreign, fmt.Sprintf("%.50s", kid))
		}
	}
	slices.Sort(d.missing)
	slices.Sort(d.foreign)
	return d
}

func (v *visit) different(r *report, d difference) {
	const stale = "empty the cache of the proxy or CDN for " + pathJWKS + ", and let it obey Cache-Control"
	another, which := v.others()
	if d.common == 0 {
		r.fail("correct issuer, --data or the proxy: the URL leads to another signet",
			"its keys are those of another deployment: none of %s is from here", plural(len(d.foreign), "key", "keys"))
		return
	}
	signing, revoked := v.inState(d.missing, keystore.Active), v.inState(d.foreign, keystore.Revoked)
	switch {
	case len(revoked) > 0:
		r.fail(stale+" now"+which, "a stale copy is served (%s): it still has the revoked %s%s", v.ageOf(), strings.Join(revoked, ", "), another)
	case len(signing) > 0:
		r.fail(stale+which, "a stale copy is served (%s): it lacks %s, which signs: services refuse its tokens%s", v.ageOf(), strings.Join(signing, ", "), another)
	default:
		r.warn(stale+"; wait if that is younger than keys.jwks_max_age"+which, "a stale copy is served (%s): it lacks %d and still has %d%s",
			v.ageOf(), len(d.missing), len(d.foreign), another)
	}
}

func (v *visit) inState(kids []string, state keystore.State) (found []string) {
	for _, k := range v.Deployment.Keys {
		if k.State == state && slices.Contains(kids, k.KID) {
			found = append(found, k.KID)
		}
	}
	return found
}

func (v *visit) ageOf() string {
	if age, ok := seconds(v.set.header.Get("Age")); ok {
		return fmt.Sprintf("a cache says it is %s old", span(age))
	}
	return "it says no Age"
}
