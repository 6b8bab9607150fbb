package doctor

import (
	"context"
	"net/http"
	"slices"
	"strings"
)

// headers looks for those that signet sends with every answer, and lets pages of any
// origin read the key set (https://fetch.spec.whatwg.org/#http-cors-protocol).
func (v *visit) headers(context.Context) []Check {
	r := &report{name: "headers"}
	if v.set.status != http.StatusOK {
		return r.orSkip("there is no key set")
	}
	const pass = "let the proxy pass the headers of signet on, and add none of the same name"
	h := v.set.header
	if origins := h.Values("Access-Control-Allow-Origin"); !slices.Equal(origins, []string{"*"}) {
		r.warn(pass, "Access-Control-Allow-Origin of the key set is %.80q instead of *: pages cannot read it", origins)
	}
	if !strings.EqualFold(h.Get("X-Content-Type-Options"), "nosniff") {
		r.warn(pass, "X-Content-Type-Options: nosniff is missing")
	}
	if v.set.tls != nil && !keepsHTTPS(h.Get("Strict-Transport-Security")) {
		r.warn(pass, "Strict-Transport-Security is %.80q: browsers may be led off https (RFC 6797)", h.Get("Strict-Transport-Security"))
	}
	return r.orOK("those of signet arrive")
}

// keepsHTTPS reports a max-age that is longer than nothing (RFC 6797 §6.1.1).
func keepsHTTPS(value string) bool {
	for directive := range strings.SplitSeq(value, ";") {
		name, text, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if strings.EqualFold(strings.TrimSpace(name), "max-age") {
			age, ok := seconds(strings.Trim(strings.TrimSpace(text), `"`))
			return ok && age > 0
		}
	}
	return false
}
