package drfjwt

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"signet/internal/store/boltstore"
	"signet/internal/throttle"
	"signet/internal/web/problem"
	"signet/internal/web/webtest"
	"signet/issuer"
	"signet/users"
)

func TestEveryRouteWithAndWithoutSlash(t *testing.T) {
	e := newEnv(t, nil)
	token := e.obtain(t, webtest.Alice, webtest.Password).token(t)
	for path, body := range map[string]string{
		"/api-token-auth":    fmt.Sprintf(`{"username":%q,"password":%q}`, webtest.Alice, webtest.Password),
		"/api-token-refresh": fmt.Sprintf(`{"token":%q}`, token),
		"/api-token-verify":  fmt.Sprintf(`{"token":%q}`, token),
	} {
		e.post(t, path, body).token(t)
		e.post(t, path+"/", body).token(t)
	}
}

func TestFormsAreTaken(t *testing.T) {
	e := newEnv(t, nil)
	form := func(path string, fields url.Values) answered {
		return e.send(t, http.MethodPost, path, "application/x-www-form-urlencoded", fields.Encode())
	}
	token := form("/api-token-auth/", url.Values{"username": {webtest.Alice}, "password": {webtest.Password}}).token(t)
	token = form("/api-token-refresh/", url.Values{"token": {token}}).token(t)
	form("/api-token-verify/", url.Values{"token": {token}}).token(t)
}

func TestTokenSaysWhenItsLoginWas(t *testing.T) {
	e := newEnv(t, nil)
	login := fmt.Sprint(e.Clock.Now().Unix())
	token := e.obtain(t, webtest.Alice, webtest.Password).token(t)
	for range 3 {
		claims := webtest.Claims(t, token)
		if fmt.Sprint(claims["orig_iat"]) != login || fmt.Sprint(claims["iat"]) != fmt.Sprint(e.Clock.Now().Unix()) || claims["token_type"] != "access" {
			t.Errorf("claims %v, want orig_iat %s", claims, login)
		}
		e.Clock.Step(4 * time.Minute)
		token = e.refresh(t, token).token(t)
	}
	if got := e.verify(t, token).token(t); got != token {
		t.Errorf("verify answers another token: %s", got)
	}
}

func TestRefreshLimitIsOverOrTheTokenIsExpired(t *testing.T) {
	e := newEnv(t, func(p *issuer.Policy) { p.RenewLifetime = 6 * time.Minute })
	token := e.obtain(t, webtest.Alice, webtest.Password).token(t)
	e.Clock.Step(5 * time.Minute)
	token = e.refresh(t, token).token(t)
	e.Clock.Step(time.Minute)
	e.refresh(t, token).refuses(t, "at the limit", "Refresh has expired.")
	e.Clock.Step(30 * time.Second)
	e.refresh(t, token).refuses(t, "past the token's end", "Signature has expired.")
}

// What another dialect has made is not renewed here, however valid it is.
func TestTokensOfOtherDialectsAreNotRenewed(t *testing.T) {
	e := newEnv(t, nil)
	tokens := e.Login(t, webtest.Alice, webtest.Password)
	machine, _, err := e.Issuer.Issue(t.Context(), issuer.Authorization{Client: "batch", Subject: "batch", Audience: []string{webtest.URL + "/api"}})
	must(t, err)
	e.refresh(t, tokens.Access).refuses(t, "access token of /api/token/", "orig_iat field is required.")
	e.refresh(t, tokens.Refresh).refuses(t, "refresh token", "Error decoding signature.")
	e.refresh(t, machine).refuses(t, "token of a client", "orig_iat field is required.")
	forged := e.Resign(t, tokens.Access, map[string]any{"orig_iat": e.Clock.Now().Unix()})
	e.refresh(t, forged).refuses(t, "access token with orig_iat, by the issuer's own key", "Error decoding signature.")
}

func TestVerifyVouchesForUsersAlone(t *testing.T) {
	e := newEnv(t, nil)
	tokens := e.Login(t, webtest.Alice, webtest.Password)
	machine, _, err := e.Issuer.Issue(t.Context(), issuer.Authorization{Client: "batch", Subject: "batch", Audience: []string{webtest.URL + "/api"}})
	must(t, err)
	e.verify(t, tokens.Access).token(t)
	e.verify(t, tokens.Refresh).refuses(t, "refresh token", "Error decoding signature.")
	e.verify(t, machine).refuses(t, "token of a client", "Invalid payload.")
}

// No refresh token is made, and no route of another dialect takes the token for one.
func TestTokenIsNoRefreshToken(t *testing.T) {
	e := newEnv(t, nil)
	token := e.obtain(t, webtest.Alice, webtest.Password).token(t)
	if _, err := e.Issuer.Refresh(t.Context(), token); !errors.Is(err, issuer.ErrWrongType) {
		t.Errorf("refresh: %v", err)
	}
	if err := e.Issuer.Logout(t.Context(), token); !errors.Is(err, issuer.ErrWrongType) {
		t.Errorf("logout: %v", err)
	}
	e.verify(t, token).token(t)
}

func TestSessionThatIsOver(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(t *testing.T, e *env, subject string) error
		text string
	}{
		"session ended": {func(t *testing.T, e *env, subject string) error {
			_, err := e.Issuer.EndSubject(t.Context(), subject)
			return err
		}, "Token is blacklisted."},
		"new password": {func(t *testing.T, e *env, _ string) error {
			_, err := e.Users.SetPassword(t.Context(), webtest.Alice, "another password")
			return err
		}, "Token is blacklisted."},
		"disabled": {func(t *testing.T, e *env, _ string) error {
			_, err := e.Users.Disable(t.Context(), webtest.Alice)
			return err
		}, "User account is disabled."},
		"disabled, and enabled again": {func(t *testing.T, e *env, _ string) error {
			_, err := e.Users.Disable(t.Context(), webtest.Alice)
			must(t, err)
			_, err = e.Users.Enable(t.Context(), webtest.Alice)
			return err
		}, "Token is blacklisted."},
		"removed": {func(t *testing.T, e *env, _ string) error {
			_, err := e.Users.Remove(t.Context(), webtest.Alice)
			return err
		}, "User doesn't exist."},
		"key revoked": {func(t *testing.T, e *env, _ string) error {
			_, err := e.Keys.Revoke(t.Context(), e.Keys.Keys()[0].KID, false)
			return err
		}, "Error decoding signature."},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, nil)
			token := e.obtain(t, webtest.Alice, webtest.Password).token(t)
			must(t, tt.end(t, e, fmt.Sprint(webtest.Claims(t, token)["sub"])))
			e.refresh(t, token).refuses(t, "refresh", tt.text)
			e.verify(t, token).refuses(t, "verify", tt.text)
		})
	}
}

func TestPasswordIsNotTrimmed(t *testing.T) {
	e := newEnv(t, nil)
	e.obtain(t, " "+webtest.Alice+" ", webtest.Password).token(t)
	e.obtain(t, webtest.Alice, strings.TrimSpace(webtest.Password)).refuses(t, "without its spaces", "Unable to log in with provided credentials.")
	e.obtain(t, webtest.Alice, "  ").refuses(t, "spaces alone", "Unable to log in with provided credentials.")
}

func TestWrongUse(t *testing.T) {
	e := newEnv(t, nil)
	const auth, refresh = "/api-token-auth/", "/api-token-refresh/"
	for name, c := range map[string]struct {
		method, path, contentType, body string
		status                          int
		says                            string
	}{
		"token null":   {"POST", refresh, jsonType, `{"token":null}`, 400, `{"token":["This field may not be null."]}`},
		"token list":   {"POST", refresh, jsonType, `{"token":["x"]}`, 400, `{"token":["Not a valid string."]}`},
		"token number": {"POST", refresh, jsonType, `{"token":1}`, 400, nonField("Error decoding signature.")},
		"token blank":  {"POST", "/api-token-verify/", jsonType, `{"token":" "}`, 400, `{"token":["This field may not be blank."]}`},
		"token twice":  {"POST", "/api-token-verify/", jsonType, `{"token":"a","token":"b"}`, 400, `{"detail":"JSON parse error - a member is named twice"}`},
		"long name": {"POST", auth, jsonType, `{"username":"` + strings.Repeat("a", 256) + `","password":"b"}`, 400,
			`{"username":["Ensure this field has no more than 255 bytes."]}`},
		"array":      {"POST", auth, jsonType, `[]`, 400, nonField("Invalid data. Expected a dictionary, but got list.")},
		"text":       {"POST", auth, "text/plain", "x", 415, `{"detail":"Unsupported media type \"text/plain\" in request."}`},
		"GET":        {"GET", auth, "", "", 405, `{"detail":"Method \"GET\" not allowed."}`},
		"OPTIONS":    {"OPTIONS", auth, "", "", 204, ""},
		"large body": {"POST", refresh, jsonType, `{"token":"` + strings.Repeat("a", 70<<10) + `"}`, 413, `{"detail":"The body is too large; at most 64 KiB are taken."}`},
	} {
		t.Run(name, func(t *testing.T) {
			got := e.send(t, c.method, c.path, c.contentType, c.body)
			if got.StatusCode != c.status || got.body != c.says {
				t.Errorf("got %d %s, want %d %s", got.StatusCode, got.body, c.status, c.says)
			}
		})
	}
}

// Throttled logins are answered as by Django REST framework; neither here nor there
// does a wait say whether the password was right.
func TestThrottledLogin(t *testing.T) {
	e := newEnv(t, nil)
	limited := issuer.New(issuer.Options{Store: e.Store, Users: e.Users, Signer: e.Keys, Keys: e.Keys, Policy: e.Policy, Now: e.Clock.Now,
		Throttle: throttle.New(throttle.Rules{Pair: 1, MaxWait: time.Minute}, e.Clock.Now)})
	e.router = mux.NewRouter()
	(&Handler{Issuer: limited}).Mount(e.router)
	e.obtain(t, webtest.Alice, "wrong").refuses(t, "first guess", "Unable to log in with provided credentials.")
	for _, password := range []string{"wrong", webtest.Password} {
		got := e.obtain(t, webtest.Alice, password)
		if got.StatusCode != http.StatusTooManyRequests || got.Header.Get("Retry-After") != "1" ||
			got.body != `{"detail":"Request was throttled. Expected available in 1 second."}` {
			t.Errorf("got %d %s, Retry-After %q", got.StatusCode, got.body, got.Header.Get("Retry-After"))
		}
	}
	e.Clock.Step(time.Second)
	e.obtain(t, webtest.Alice, webtest.Password).token(t)
}

// busy is an issuer that has no core for a login.
type busy struct{ Issuer }

func (busy) LoginRenewable(context.Context, issuer.Attempt) (issuer.Tokens, error) {
	return issuer.Tokens{}, fmt.Errorf("login: %w", &users.BusyError{RetryAfter: 2 * time.Second})
}

func TestTooManyLoginsAtOnce(t *testing.T) {
	e := newEnv(t, nil)
	e.router = mux.NewRouter()
	(&Handler{Issuer: busy{}}).Mount(e.router)
	got := e.obtain(t, webtest.Alice, webtest.Password)
	if got.StatusCode != 503 || got.Header.Get("Retry-After") != "2" || got.body != `{"detail":"Too many logins at once; try again."}` {
		t.Errorf("got %d %s, Retry-After %q", got.StatusCode, got.body, got.Header.Get("Retry-After"))
	}
}

func TestStorageThatFails(t *testing.T) {
	e := newEnv(t, nil)
	token := e.obtain(t, webtest.Alice, webtest.Password).token(t)
	e.router = mux.NewRouter()
	(&Handler{Issuer: e.Issuer, Errors: problem.Renderer{Unavailable: func(err error) bool { return errors.Is(err, boltstore.ErrClosed) }}}).Mount(e.router)
	must(t, e.Store.Close())
	for name, got := range map[string]answered{
		"obtain": e.obtain(t, webtest.Alice, webtest.Password), "refresh": e.refresh(t, token), "verify": e.verify(t, token),
	} {
		if got.StatusCode != 503 || got.Header.Get("Retry-After") == "" || got.body != `{"detail":"The storage does not answer; try again."}` {
			t.Errorf("%s: got %d %s", name, got.StatusCode, got.body)
		}
	}
}
