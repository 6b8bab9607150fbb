package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// clientKind is how a common verifier keeps the key set, by its defaults. Signet cannot
// shorten these times.
type clientKind struct {
	name string
	// cache is how long it keeps the set; after that it fetches.
	cache time.Duration
	// looks: a token with an unknown kid makes it fetch the set; but not for this
	// long after a fetch (blind).
	looks bool
	blind time.Duration
	// keeps is how long it trusts a key that it has used, whatever it fetches.
	keeps time.Duration
	// file: it never fetches; keys are put there.
	file bool
}

// Times that are not numbers.
const (
	setMaxAge = time.Duration(-1)        // jwks_max_age
	forever   = time.Duration(1<<63 - 1) // until something else makes it
)

// clientKinds, from runs against a test key server, their source or their documentation.
var clientKinds = []clientKind{
	{name: "signet/verify", cache: setMaxAge, looks: true},
	{name: "get-jwks", cache: time.Minute, looks: true},
	{name: "PyJWT", cache: 5 * time.Minute, looks: true, blind: 30 * time.Second},
	{name: "simplejwt with JWK_URL", cache: 5 * time.Minute, looks: true, blind: 30 * time.Second},
	{name: "oauth4webapi", cache: 5 * time.Minute, looks: true, blind: time.Minute},
	{name: "Spring", cache: 5 * time.Minute, looks: true},
	{name: "Nimbus", cache: 5 * time.Minute, looks: true, blind: 30 * time.Second},
	{name: "jose", cache: 10 * time.Minute, looks: true, blind: 30 * time.Second},
	{name: "express-oauth2-jwt-bearer", cache: 10 * time.Minute, looks: true, blind: 30 * time.Second},
	{name: "Quarkus", cache: 10 * time.Minute, looks: true, blind: 10 * time.Minute},
	{name: "mod_auth_openidc", cache: time.Hour, looks: true},
	{name: "keyfunc", cache: time.Hour, looks: true},
	{name: "SmallRye", cache: time.Hour, looks: true, blind: 30 * time.Minute},
	{name: "mod_oauth2", cache: 24 * time.Hour, looks: true},
	{name: "Microsoft.IdentityModel", cache: 24 * time.Hour, looks: true, blind: 5 * time.Minute},
	{name: "go-oidc", cache: forever, looks: true},
	{name: "HashiCorp cap and Vault", cache: forever, looks: true},
	{name: "zitadel/oidc", cache: forever, looks: true},
	{name: "aws-jwt-verify", cache: forever, looks: true},

	{name: "Kubernetes API server", cache: setMaxAge},
	{name: "Envoy", cache: 10 * time.Minute},
	{name: "jwx", cache: 20 * time.Minute},
	{name: "Istio", cache: 20 * time.Minute},

	{name: "jwks-rsa", cache: 10 * time.Minute, looks: true, keeps: 10 * time.Minute},
	{name: "AWS API Gateway", cache: time.Hour, keeps: time.Hour},
	{name: "HAProxy", cache: forever, keeps: forever, file: true},
	{name: "fastify-jwt-jwks", cache: 7 * 24 * time.Hour, looks: true, keeps: forever},
	{name: "PyJWT with cache_keys", cache: 5 * time.Minute, looks: true, blind: 30 * time.Second, keeps: forever},
}

// afterRotation is how long a kind refuses a new key at most that was published so long
// before it signed.
func (k clientKind) afterRotation(ahead, jwksMaxAge time.Duration) time.Duration {
	switch {
	case k.file:
		return forever
	case k.looks:
		return max(0, k.blind-ahead)
	case k.cache == setMaxAge:
		return max(0, jwksMaxAge-ahead)
	}
	return max(0, k.cache-ahead)
}

// kindsFor are the clients of one time.
type kindsFor struct {
	Clients []string
	For     time.Duration
}

// MarshalJSON writes the time in seconds, none if it has no end by itself.
func (k kindsFor) MarshalJSON() ([]byte, error) {
	form := struct {
		Clients []string `json:"clients"`
		Seconds float64  `json:"seconds,omitempty"`
	}{Clients: k.Clients}
	if k.For != forever {
		form.Seconds = k.For.Seconds()
	}
	return json.Marshal(form)
}

// byTime groups the kinds for which of gives a time, the shortest first.
func byTime(of func(clientKind) (time.Duration, bool)) []kindsFor {
	var groups []kindsFor
	for _, k := range clientKinds {
		d, ok := of(k)
		if !ok {
			continue
		}
		i, found := slices.BinarySearchFunc(groups, d, func(g kindsFor, d time.Duration) int { return cmp.Compare(g.For, d) })
		if !found {
			groups = slices.Insert(groups, i, kindsFor{For: d})
		}
		groups[i].Clients = append(groups[i].Clients, k.name)
	}
	return groups
}

// writeKinds writes one line for each time, with what it is called where it has no end.
// until, which may be nil, adds the clock time.
func writeKinds(w io.Writer, groups []kindsFor, endless string, until func(time.Duration) string) {
	for _, g := range groups {
		fmt.Fprintf(w, "  %-16s %s", longSpan(g.For, endless), strings.Join(g.Clients, ", "))
		if until != nil {
			fmt.Fprint(w, until(g.For))
		}
		fmt.Fprintln(w)
	}
}

// longSpan writes how long caches keep something.
func longSpan(d time.Duration, endless string) string {
	switch d {
	case setMaxAge:
		return "jwks_max_age"
	case forever:
		return endless
	case time.Minute:
		return "a minute"
	case time.Hour:
		return "an hour"
	}
	switch {
	case d < time.Minute:
		return plural(int(d/time.Second), "second", "seconds")
	case d < time.Hour && d%time.Minute == 0:
		return plural(int(d/time.Minute), "minute", "minutes")
	case d%time.Hour == 0:
		return plural(int(d/time.Hour), "hour", "hours")
	}
	return span(d)
}
