package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"signet/internal/consumers"
	"signet/keystore"
)

// Bounds of one request, and of all.
const (
	requestTimeout = 5 * time.Second
	visitTimeout   = 30 * time.Second
	maxBody        = 256 << 10
	maxHeader      = 64 << 10
)

const pathJWKS = "/.well-known/jwks.json"

// Outside asks an issuer as its clients do.
type Outside struct {
	// URL is the issuer, without a slash at the end.
	URL string
	// Roots are the authorities that certificates are checked with; nil means those of
	// the system.
	Roots *x509.CertPool
	// Leeway is the error of a clock that services still bear.
	Leeway time.Duration
	// Deployment is what the answers should be; nil if only the URL is known.
	Deployment *Deployment

	now   func() time.Time // the clock; nil means time.Now
	plain string           // in tests, what stands for port 80
}

// Deployment is what this machine knows of the issuer.
type Deployment struct {
	// KeySet returns the JWK Set that is to be served.
	KeySet func(ctx context.Context) ([]byte, error)
	// Keys are those of the issuer.
	Keys []keystore.Info
	// MaxAge is how long caches may keep the key set.
	MaxAge time.Duration
	// Shared: behind the URL other servers on the same database may answer.
	Shared bool
	// SimpleJWT and DRFJWT say which dialects are on.
	SimpleJWT, DRFJWT bool
}

// Checks asks, everything at once, and reports in a fixed order.
func (o *Outside) Checks(ctx context.Context) []Check {
	ctx, cancel := context.WithTimeout(ctx, visitTimeout)
	defer cancel()
	v := &visit{Outside: o, client: newClient()}
	defer v.client.CloseIdleConnections()
	var err error
	if v.set, err = v.get(ctx, o.URL+pathJWKS, nil); err != nil {
		return v.unreachable(err)
	}
	steps := v.steps()
	results := make([][]Check, len(steps))
	var wait sync.WaitGroup
	for i, s := range steps {
		wait.Go(func() { results[i] = s.check(ctx) })
	}
	wait.Wait()
	return append([]Check{v.answers()}, slices.Concat(results...)...)
}

// step is one check of a visit.
type step struct {
	name  string
	check func(context.Context) []Check
}

func (v *visit) steps() []step {
	return []step{
		{"ready", v.ready}, {"certificate", v.certificate}, {"port 80", v.portEighty}, {"key set", v.keySet}, {"caching", v.caching},
		{"discovery", v.discovery}, {"login", v.login}, {"headers", v.headers}, {"clock", v.clock},
	}
}

// visit is one round of questions.
type visit struct {
	*Outside
	client *http.Client
	set    *answer // to the first question, for the key set
}

func (v *visit) time() time.Time {
	if v.now != nil {
		return v.now()
	}
	return time.Now()
}

// newClient follows no redirect, and takes any certificate: whether it is a good one is a
// check of its own, and the others go on. Nothing that is sent is secret.
func newClient() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			TLSClientConfig:        &tls.Config{InsecureSkipVerify: true},
			ForceAttemptHTTP2:      true,
			MaxResponseHeaderBytes: maxHeader,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answer is a response that was read to its end.
type answer struct {
	url    string
	status int
	header http.Header
	body   []byte
	tls    *tls.ConnectionState
	// asked and answered enclose the moment at which the response was made.
	asked, answered time.Time
}

func (v *visit) get(ctx context.Context, where string, header http.Header) (*answer, error) {
	return v.ask(ctx, http.MethodGet, where, header, "")
}

func (v *visit) post(ctx context.Context, where, contentType, body string) (*answer, error) {
	return v.ask(ctx, http.MethodPost, where, http.Header{"Content-Type": {contentType}}, body)
}

func (v *visit) ask(ctx context.Context, method, where string, header http.Header, body string) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, where, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json, */*;q=0.1")
	req.Header.Set("User-Agent", consumers.Doctor)
	for name, values := range header {
		req.Header[name] = values
	}
	a := &answer{url: where, asked: v.time()}
	resp, err := v.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	a.answered, a.status, a.header, a.tls = v.time(), resp.StatusCode, resp.Header, resp.TLS
	if a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody+1)); err != nil {
		return nil, err
	}
	if len(a.body) > maxBody {
		return nil, fmt.Errorf("%s answers with more than %d bytes", where, maxBody)
	}
	return a, nil
}

// says is an answer in a few words.
func (a *answer) says() string {
	text := fmt.Sprintf("%d", a.status)
	if name := http.StatusText(a.status); name != "" {
		text += " " + name
	}
	if to := a.header.Get("Location"); a.redirects() && to != "" {
		text += fmt.Sprintf(" to %.200q", to)
	}
	return text
}

func (a *answer) redirects() bool { return a.status/100 == 3 && a.status != http.StatusNotModified }

// refuse reports an answer that has not the status wanted, and whether it has not.
func (a *answer) refuse(r *report, status int, advice string) bool {
	switch {
	case a.status == status:
		return false
	case a.redirects():
		r.fail("let the proxy pass this path on, or set issuer to the URL that answers: many clients follow no redirect",
			"%s answers %s", a.url, a.says())
	default:
		r.fail(advice, "%s answers %s", a.url, a.says())
	}
	return true
}

func (v *visit) host() string {
	u, err := url.Parse(v.URL)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
