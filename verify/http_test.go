package verify_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"signet/verify"
)

// ask sends a request with these Authorization headers.
func ask(h http.Handler, headers ...string) *http.Response {
	r := httptest.NewRequest(http.MethodPost, "/orders?access_token=x", strings.NewReader("access_token=x"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header["Authorization"] = headers
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

var greet = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	c, ok := verify.FromContext(r.Context())
	fmt.Fprint(w, c.Subject, ok)
})

func TestMiddleware(t *testing.T) {
	key := newKey(t, "ES256", "k")
	v := static(t, key)
	now := time.Now()
	good := key.token(now, nil, nil)
	const bare = `Bearer realm="orders"`
	invalid := func(why string) string { return bare + `, error="invalid_token", error_description="` + why + `"` }
	request := bare + `, error="invalid_request", error_description="malformed authorization header"`
	tests := []struct {
		name      string
		headers   []string
		status    int
		challenge string
	}{
		{"good", []string{"Bearer " + good}, 200, ""},
		{"scheme in small letters", []string{"bearer " + good}, 200, ""},
		{"scheme in capitals", []string{"BEARER  " + good}, 200, ""},
		{"none", nil, 401, bare},
		{"empty", []string{""}, 401, bare},
		{"another scheme", []string{"Basic dTpw"}, 401, bare},
		{"DPoP", []string{"DPoP " + good}, 401, bare},
		{"only the scheme", []string{"Bearer"}, 400, request},
		{"scheme and space", []string{"Bearer "}, 400, request},
		{"two headers", []string{"Bearer " + good, "Bearer " + good}, 400, request},
		{"two tokens", []string{"Bearer " + good + " " + good}, 400, request},
		{"two in a list", []string{"Bearer " + good + ", Bearer " + good}, 400, request},
		{"quoted", []string{`Bearer "` + good + `"`}, 400, request},
		{"tab", []string{"Bearer\t" + good}, 401, bare},
		{"not a token", []string{"Bearer abc"}, 401, invalid("not a compact JWS")},
		{"expired", []string{"Bearer " + key.token(now, nil, object{"exp": 5})}, 401, invalid("token has expired")},
		{"another audience", []string{"Bearer " + key.token(now, nil, object{"aud": "b"})}, 401, invalid("wrong audience")},
		{"unknown key", []string{"Bearer " + forged(key, 1)}, 401, invalid("unknown key")},
		{"key of another algorithm", []string{"Bearer " + key.token(now, object{"alg": "RS256"}, nil)}, 401, invalid("algorithm is not the keys")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := ask(v.Middleware(greet), tt.headers...)
			if res.StatusCode != tt.status || res.Header.Get("WWW-Authenticate") != tt.challenge {
				t.Errorf("%d, %q; want %d, %q", res.StatusCode, res.Header.Get("WWW-Authenticate"), tt.status, tt.challenge)
			}
			if tt.status != 200 && res.Header.Get("Cache-Control") != "no-store" {
				t.Error("the refusal may be cached")
			}
		})
	}
}

func TestRequireScope(t *testing.T) {
	key := newKey(t, "ES256", "k")
	v := static(t, key)
	good := "Bearer " + key.token(time.Now(), nil, nil)
	if res := ask(v.RequireScope("orders:read", "orders:list")(greet), good); res.StatusCode != 200 {
		t.Errorf("%s", res.Status)
	}
	res := ask(v.Middleware(v.RequireScope("orders:read", "orders:write")(greet)), good)
	want := `Bearer realm="orders", error="insufficient_scope", error_description="insufficient scope", scope="orders:read orders:write"`
	if got := res.Header.Get("WWW-Authenticate"); res.StatusCode != 403 || got != want {
		t.Errorf("%s, %s", res.Status, got)
	}
	if res := ask(v.RequireScope("orders:read")(greet)); res.StatusCode != 401 {
		t.Errorf("without a token: %s", res.Status)
	}
	none := "Bearer " + key.token(time.Now(), nil, object{"scope": nil})
	if res := ask(v.RequireScope("orders:read")(greet), none); res.StatusCode != 403 {
		t.Errorf("without scopes: %s", res.Status)
	}
	// What another Verifier has let in is not in for this one.
	billing := static(t, key)
	billing.Audience = "billing"
	if res := ask(v.Middleware(billing.RequireScope("orders:read")(greet)), good); res.StatusCode != 401 {
		t.Errorf("of another audience: %s", res.Status)
	}
}

func TestKeysUnavailableIs503(t *testing.T) {
	bubble(t, func(t *testing.T) {
		key := newKey(t, "ES256", "k")
		s := newKeyServer(key)
		s.override = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }
		v := newVerifier(t, s)
		for range 3 {
			res := ask(v.Middleware(greet), "Bearer "+fresh(key))
			if res.StatusCode != 503 || res.Header.Get("Retry-After") != "1" || res.Header.Get("WWW-Authenticate") != "" {
				t.Errorf("%s, %v", res.Status, res.Header)
			}
		}
	})
}

func TestRefusalsOfOnesOwn(t *testing.T) {
	var zero verify.Verifier
	if res := ask(zero.Middleware(greet), "Bearer abc"); res.StatusCode != 500 {
		t.Errorf("zero Verifier: %s", res.Status)
	}
	key := newKey(t, "ES256", "k")
	v := static(t, key)
	v.Realm = "a\"b\\c\r\nX: y\u00e9"
	var told error
	v.Error = func(w http.ResponseWriter, _ *http.Request, err error) {
		told = err
		w.WriteHeader(verify.Status(err))
	}
	res := ask(v.Middleware(greet), "Bearer "+key.token(time.Now(), nil, object{"exp": 5}))
	if res.StatusCode != 401 || !errors.Is(told, verify.ErrExpired) {
		t.Errorf("%s, %v", res.Status, told)
	}
	if got := res.Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, `Bearer realm="abcX: y", error=`) {
		t.Errorf("%q", got)
	}
	if c, ok := verify.FromContext(t.Context()); ok || c != nil {
		t.Errorf("claims from nowhere: %v", c)
	}
}
