package web

import (
	"net/http"

	"github.com/gorilla/mux"
	"github.com/rs/cors"

	"signet/internal/web/simplejwt"
)

// requestHeaders are what pages may send: those that django-cors-headers lets through.
// None but Accept and Content-Type means anything here.
var requestHeaders = []string{"accept", "authorization", "content-type", "user-agent", "x-csrftoken", "x-requested-with"}

// forPages returns a router for the routes that pages of the origins may call
// (https://fetch.spec.whatwg.org/#http-cors-protocol), with cookies if so.
func forPages(router *mux.Router, origins []string, cookies bool) *mux.Router {
	if len(origins) == 0 { // which package cors takes for every origin
		return router
	}
	routes := router.NewRoute().Subrouter()
	routes.Use(cors.New(cors.Options{
		AllowedOrigins:   origins,
		AllowedMethods:   []string{http.MethodPost},
		AllowedHeaders:   requestHeaders,
		ExposedHeaders:   []string{"Retry-After"},
		AllowCredentials: cookies,
		MaxAge:           7200, // Chromium keeps it no longer
	}).Handler)
	return routes
}

// cookie is where the refresh tokens of /api/token/ are kept; nil is the bodies.
func (o *Options) cookie() *simplejwt.Cookie {
	if !o.RefreshCookie {
		return nil
	}
	return simplejwt.NewCookie(o.URL, o.Origins, o.Now)
}
