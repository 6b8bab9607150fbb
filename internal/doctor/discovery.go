package doctor

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// discovery reads both metadata documents (OpenID Connect Discovery §4, RFC 8414 §3), and
// asks the endpoints that they name.
func (v *visit) discovery(ctx context.Context) []Check {
	r := &report{name: "discovery"}
	endpoints := map[string]bool{}
	for _, where := range v.metadataURLs() {
		members := v.readMetadata(ctx, r, where)
		if members == nil {
			continue
		}
		if found := member(members, "issuer"); found != v.URL {
			r.fail("set issuer to the URL that clients use, letter by letter (RFC 8414 §3.3)", "%s is of %.200q, not of %s", where, found, v.URL)
			continue
		}
		if found := member(members, "jwks_uri"); found != v.URL+pathJWKS {
			r.fail("let the proxy pass the document on unchanged", "%s has the jwks_uri %.200q", where, found)
		}
		for _, name := range []string{"token_endpoint", "revocation_endpoint", "introspection_endpoint"} {
			v.noteEndpoint(r, where, name, member(members, name), endpoints)
		}
	}
	for _, where := range sortedKeys(endpoints) {
		v.askEndpoint(ctx, r, where)
	}
	return r.orOK("both documents name the issuer; %s", plural(len(endpoints), "endpoint answers", "endpoints answer"))
}

// metadataURLs: the one is appended to the issuer's path, the other inserted before it.
func (v *visit) metadataURLs() []string {
	urls := []string{v.URL + "/.well-known/openid-configuration"}
	if u, err := url.Parse(v.URL); err == nil {
		urls = append(urls, u.Scheme+"://"+u.Host+"/.well-known/oauth-authorization-server"+u.EscapedPath())
	}
	return urls
}

func (v *visit) readMetadata(ctx context.Context, r *report, where string) map[string]json.RawMessage {
	const pass = "let the proxy pass /.well-known/ on to signet"
	a, err := v.get(ctx, where, nil)
	if err != nil {
		r.fail(pass, "%s: %v", where, cause(err))
		return nil
	}
	if a.status == http.StatusNotFound && !strings.HasPrefix(where, v.URL+"/") { // of an issuer with a path
		r.warn("route it to signet: clients that follow RFC 8414 §3.1 ask there", "%s answers %s", where, a.says())
		return nil
	}
	if a.refuse(r, http.StatusOK, pass) {
		return nil
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(a.body, &members) != nil || members == nil {
		r.fail(pass, "%s is not a JSON object", where)
		return nil
	}
	return members
}

// noteEndpoint takes no place that is not the issuer's: it is not ours to ask.
func (v *visit) noteEndpoint(r *report, where, name, found string, endpoints map[string]bool) {
	if !strings.HasPrefix(found, v.URL+"/") {
		r.fail("let the proxy pass the document on unchanged", "%s has the %s %.200q, which is not below the issuer", where, name, found)
		return
	}
	endpoints[found] = true
}

// askEndpoint sends a form with nothing in it, which every endpoint refuses as RFC 6749
// §5.2 says.
func (v *visit) askEndpoint(ctx context.Context, r *report, where string) {
	const pass = "let the proxy pass POST /oauth2/ on to signet, and its answers back unchanged"
	a, err := v.post(ctx, where, "application/x-www-form-urlencoded", "")
	if err != nil {
		r.fail(pass, "%s: %v", where, cause(err))
		return
	}
	var members map[string]json.RawMessage
	switch {
	case a.status != http.StatusBadRequest && a.status != http.StatusUnauthorized:
		r.fail(pass, "an empty POST to %.200q is answered with %s instead of 400 or 401", where, a.says())
	case json.Unmarshal(a.body, &members) != nil || member(members, "error") == "":
		r.fail(pass, "the %d of %.200q is not signet's: it has no error code", a.status, where)
	}
}
