package drfjwt

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"signet/internal/web/webtest"
	"signet/issuer"
	"signet/issuer/issuertest"
)

// takesToken are the routes that do.
var takesToken = []string{"/api-token-refresh/", "/api-token-verify/"}

// outcome is how an attack is answered.
func outcome(a issuertest.Attack, body string) (status int, want string) {
	var missing *issuer.MissingClaimError
	switch {
	case len(body) > 64<<10:
		return http.StatusRequestEntityTooLarge, `{"detail":"The body is too large; at most 64 KiB are taken."}`
	case a.Token == "":
		return http.StatusBadRequest, `{"token":["This field may not be blank."]}`
	case strings.ContainsRune(a.Token, 0):
		return http.StatusBadRequest, `{"token":["Null characters are not allowed."]}`
	case errors.As(a.Want, &missing):
		return http.StatusBadRequest, nonField("Invalid payload.")
	case errors.Is(a.Want, issuer.ErrExpired):
		return http.StatusBadRequest, nonField("Signature has expired.")
	case errors.Is(a.Want, issuer.ErrInactive):
		return http.StatusBadRequest, nonField("User doesn't exist.")
	case errors.Is(a.Want, issuer.ErrNoSession):
		return http.StatusBadRequest, nonField("Token is blacklisted.")
	default:
		return http.StatusBadRequest, nonField("Error decoding signature.")
	}
}

// Attacks × the routes that take a token: none is renewed or vouched for, none ends
// the session, and none is the server's fault.
func TestNoForgeryIsTaken(t *testing.T) {
	elsewhere, stranger := issuertest.Attacker(t), issuertest.NewKeys(t)
	for _, algorithms := range [][]string{{"ES256", "RS256"}, {"RS256", "ES256"}} {
		t.Run(algorithms[0], func(t *testing.T) {
			e := serve(webtest.NewWith(t, algorithms, nil, func(p *issuer.Policy) { p.RenewLifetime = time.Hour }))
			token := e.obtain(t, webtest.Alice, webtest.Password).token(t)
			g := issuertest.New(t, issuertest.Source{Text: token, Kind: issuertest.Own, URL: webtest.URL,
				Keys: issuertest.PrivateKeys(t, e.Store, e.SealFile), Stranger: stranger, Elsewhere: elsewhere})
			attacks := slices.Concat(g.Attacks(), g.Cuts(7), g.Access())
			attacks = slices.DeleteFunc(attacks, func(a issuertest.Attack) bool {
				return strings.TrimSpace(a.Token) == token // which the dialect cuts off: it is the token
			})
			if len(attacks) < 300 {
				t.Errorf("only %d attacks", len(attacks))
			}
			for _, a := range attacks {
				e.attack(t, a)
			}
			e.refresh(t, token).token(t)
			e.verify(t, token).token(t)
			sessions, err := e.Issuer.Sessions(t.Context(), "", "", 10)
			if err != nil || len(sessions) != 1 || sessions[0].Generation != 0 {
				t.Errorf("the session changed: %+v, %v", sessions, err)
			}
		})
	}
}

func (e *env) attack(t *testing.T, a issuertest.Attack) {
	t.Helper()
	body, err := json.Marshal(map[string]string{"token": a.Token})
	must(t, err)
	status, want := outcome(a, string(body))
	for _, path := range takesToken {
		got := route(e.router, path, jsonType, string(body))
		if got.Code != status || got.Body.String() != want {
			t.Errorf("%s at %s: got %d %.100s, want %d %s", a.Name, path, got.Code, got.Body, status, want)
		}
	}
}

// route posts without a network between.
func route(router *mux.Router, path, contentType, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	router.ServeHTTP(w, r)
	return w
}
