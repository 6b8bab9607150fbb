package doctor

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

func (v *visit) answers() Check {
	took := v.set.answered.Sub(v.set.asked).Round(time.Millisecond)
	return Passed("issuer url", v.URL+" answers in "+took.String())
}

// unreachable is the report on an issuer that gives no answer at all.
func (v *visit) unreachable(err error) []Check {
	checks := []Check{Failed("issuer url", v.URL+" does not answer: "+cause(err).Error(), v.whyUnreachable(err))}
	for _, s := range v.steps() {
		checks = append(checks, Skip(s.name, "the issuer URL does not answer"))
	}
	return checks
}

// cause leaves out the method and the URL, which the line says already.
func cause(err error) error {
	var failed *url.Error
	if !errors.As(err, &failed) {
		return err
	}
	if failed.Timeout() {
		return errors.New("no answer within " + requestTimeout.String())
	}
	return failed.Err
}

func (v *visit) whyUnreachable(err error) string {
	var dns *net.DNSError
	var failed *url.Error
	switch {
	case errors.As(err, &dns):
		return "the host name does not resolve here: correct issuer, or the DNS record"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: start signet serve, and the proxy if one is in front; or correct issuer"
	case errors.As(err, &failed) && failed.Timeout():
		return "look for a firewall, a missing route, or a proxy that cannot reach signet; if only this machine cannot reach it, ask from another: signet doctor --url " + v.URL
	case strings.HasPrefix(v.URL, "https:"):
		return "look at what terminates TLS on this host and port; its log has the other side of this"
	}
	return "look at what listens on this host and port: it does not answer as a web server"
}

// ready asks whether the server can sign and store.
func (v *visit) ready(ctx context.Context) []Check {
	r := &report{name: "ready"}
	_, which := v.others()
	a, err := v.get(ctx, v.URL+"/readyz", nil)
	switch {
	case err != nil:
		r.fail("look at the log of the server and of the proxy", "%s/readyz: %v", v.URL, cause(err))
	case a.status == http.StatusNotFound, a.status == http.StatusForbidden, a.status == http.StatusUnauthorized:
		return []Check{Skip(r.name, "/readyz is not passed on to the outside: "+a.says())}
	default:
		a.refuse(r, http.StatusOK, "look at the log of the server: its error says what is missing, such as room on the disk"+which)
	}
	return r.orOK("it can sign and store")
}

// portEighty looks at what a client gets that leaves out the s of https.
func (v *visit) portEighty(ctx context.Context) []Check {
	r := &report{name: "port 80"}
	plain := v.plainURL()
	if plain == "" {
		return []Check{Skip(r.name, "the issuer is not on port 443")}
	}
	a, err := v.get(ctx, plain+pathJWKS, nil)
	switch {
	case err != nil:
		return r.orOK("nothing is served without TLS")
	case a.status == http.StatusOK:
		r.warn("close port 80, or let it redirect to https: whoever is on the way could give a client other keys",
			"%s serves the key set without TLS", a.url)
	case a.redirects() && !strings.HasPrefix(a.header.Get("Location"), "https://"):
		r.warn("let port 80 redirect to "+v.URL, "%s answers %s", a.url, a.says())
	}
	return r.orOK("without TLS there is %s", a.says())
}

// plainURL is the issuer on port 80; empty if it is not on port 443.
func (v *visit) plainURL() string {
	rest, secure := strings.CutPrefix(v.URL, "https://")
	u, err := url.Parse(v.URL)
	switch {
	case err != nil || !secure:
		return ""
	case v.plain != "":
		return v.plain
	case u.Port() != "" && u.Port() != "443":
		return ""
	}
	return "http://" + strings.Replace(rest, ":443", "", 1)
}
