// Package web is every byte that leaves Signet over TCP.
//
// Start at [NewHandler]: it puts what all responses need around one router, on
// which the dialects mount their routes. Each dialect is a package below this one;
// package problem renders what goes wrong in any of them.
//
// The package refuses to learn from a request who the issuer is (Host, Forwarded,
// X-Forwarded-*), to take a request id from a stranger, to redirect, and to read
// a body without a limit.
package web

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"signet/internal/consumers"
	"signet/internal/web/clientaddr"
	"signet/internal/web/drfjwt"
	"signet/internal/web/oidc"
	"signet/internal/web/problem"
	"signet/internal/web/simplejwt"
	"signet/jwks"
)

// Options are what NewHandler serves.
type Options struct {
	// URL is the issuer: the iss claim, and where links lead.
	URL string
	// Issuer answers the /api/token/ dialect, which is served if SimpleJWT is set.
	Issuer    simplejwt.Issuer
	SimpleJWT bool
	// DRFJWT answers the /api-token-… dialect; nil leaves it off.
	DRFJWT drfjwt.Issuer
	// Origins are those whose pages may call the logins from a browser.
	Origins []string
	// RefreshCookie puts the refresh tokens of /api/token/ into a cookie.
	RefreshCookie bool
	// Proxies are those whose word about a client's address is taken.
	Proxies clientaddr.Proxies
	// OAuth answers the /oauth2/ routes for the Clients; nil leaves them off.
	OAuth   oidc.Server
	Clients oidc.Clients
	// Consumers hears who fetched which version of the key set; nil keeps no record.
	Consumers *consumers.Table
	// Keys has the key set, which caches may keep for MaxAge.
	Keys   jwks.Source
	MaxAge func() time.Duration
	// Ready reports why tokens could not be signed and stored now, with a sentence for
	// strangers if it is a *problem.Problem; nil means that they always can.
	Ready func(ctx context.Context) error
	// Served hears of each request that was answered; nil tells nobody.
	Served func(Served)
	// Recording reports why logins could not be recorded now; nil means that they always
	// can. Readiness does not depend on it: whoever has a session goes on.
	Recording func() error
	// Unavailable reports whether an error is a failure of the storage: 503.
	Unavailable func(error) bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Trace follows requests; nil does not.
	Trace Trace
	// Log receives failed requests, and at debug level the others; nil means
	// slog.Default().
	Log *slog.Logger
}

// NewHandler returns the handler of the public listener.
func NewHandler(opts Options) http.Handler {
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	errors := problem.Renderer{Unavailable: opts.Unavailable}
	site := &site{opts: opts, errors: errors}
	proxy := &unnamedProxy{proxies: opts.Proxies, log: opts.Log}
	set := site.keySet()
	router := mux.NewRouter().SkipClean(true) // a path is right or wrong; no redirect
	router.Use(nameRoute, proxy.watch)
	(&unmatched{router: router, errors: errors}).mount()
	site.mount(router, set)
	mountDialects(router, opts, errors)
	return &envelope{next: router, keySet: proxy.watch(set), errors: errors, log: opts.Log, proxies: opts.Proxies, served: opts.Served,
		https: strings.HasPrefix(opts.URL, "https://"), trace: opts.Trace}
}

func mountDialects(router *mux.Router, opts Options, errors problem.Renderer) {
	if opts.SimpleJWT {
		h := &simplejwt.Handler{Issuer: opts.Issuer, Errors: errors, Proxies: opts.Proxies, Cookie: opts.cookie()}
		h.Mount(forPages(router, opts.Origins, opts.RefreshCookie))
	}
	if opts.DRFJWT != nil {
		h := &drfjwt.Handler{Issuer: opts.DRFJWT, Errors: errors, Proxies: opts.Proxies}
		h.Mount(forPages(router, opts.Origins, false))
	}
	if opts.OAuth != nil {
		(&oidc.Handler{URL: opts.URL, Server: opts.OAuth, Clients: opts.Clients, Errors: errors}).Mount(router)
	}
}

// nameRoute tells the log which route matched.
func nameRoute(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if route := mux.CurrentRoute(r); route != nil {
			problem.RecordOf(r.Context()).Route, _ = route.GetPathTemplate()
		}
		next.ServeHTTP(w, r)
	})
}
