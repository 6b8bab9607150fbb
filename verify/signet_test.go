package verify_test

import (
	"context"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"signet/internal/web/webtest"
	"signet/issuer"
	"signet/jwks"
	"signet/keystore"
	"signet/verify"
)

// A real Signet, whose key set is served over a real socket.
func TestSignetsOwnTokens(t *testing.T) {
	e := webtest.New(t, nil, func(p *issuer.Policy) { p.Audience = []string{audience, "billing"} })
	server := httptest.NewServer(&jwks.Handler{Source: e.Keys, MaxAge: func() time.Duration { return 5 * time.Minute }, Now: e.Clock.Now})
	defer server.Close()
	remote := &verify.Remote{JWKSURL: server.URL, Now: e.Clock.Now}
	v := &verify.Verifier{Issuer: webtest.URL, Audience: audience, Keys: remote, Now: e.Clock.Now}
	defer v.Close()

	tokens := e.Login(t, webtest.Alice, webtest.Password)
	c, err := v.Verify(t.Context(), tokens.Access)
	if err != nil {
		t.Fatal(err)
	}
	want := webtest.Claims(t, tokens.Access)
	if c.Subject != want["sub"] || c.ID != want["jti"] || c.SessionID != want["sid"] || c.UserID != want["user_id"] || c.ClientID != want["client_id"] {
		t.Errorf("%+v, want %v", c, want)
	}
	refuse(t, v, tokens.Refresh, verify.ErrWrongType)
	refuse(t, v, e.Resign(t, tokens.Refresh, map[string]any{"token_type": "access", "aud": audience}), verify.ErrWrongType)
	refuse(t, v, e.Resign(t, tokens.Access, map[string]any{"aud": "billing"}), verify.ErrAudience)
	refuse(t, v, e.Resign(t, tokens.Access, map[string]any{"token_type": "refresh"}), verify.ErrWrongType)
	e.Clock.Step(5*time.Minute + 30*time.Second)
	refuse(t, v, tokens.Access, verify.ErrExpired)

	// A planned rotation, and then a revoked key: its successor signs at once.
	if _, err := e.Keys.Rotate(context.Background(), keystore.RotateRequest{}, false); err != nil {
		t.Fatal(err)
	}
	fresh := e.Login(t, webtest.Alice, webtest.Password).Access
	accept(t, v, fresh)
	kid := signingKID(t, e)
	if _, err := e.Keys.Revoke(context.Background(), kid, false); err != nil {
		t.Fatal(err)
	}
	e.Clock.Step(time.Second)
	accept(t, v, e.Login(t, webtest.Alice, webtest.Password).Access)
	refuse(t, v, fresh, verify.ErrUnknownKey)
}

func signingKID(t *testing.T, e *webtest.Env) string {
	for _, k := range e.Keys.Keys() {
		if k.State == keystore.Active {
			return k.KID
		}
	}
	t.Fatal("no key signs")
	return ""
}

// Who imports verify gets no database, router, server or gRPC.
func TestLittleIsLinkedIn(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	own := slices.DeleteFunc(slices.Clone(deps), func(d string) bool { return !strings.HasPrefix(d, "signet/") })
	slices.Sort(own)
	if want := []string{"signet/internal/compactjws", "signet/jwks", "signet/verify"}; !slices.Equal(own, want) {
		t.Errorf("of Signet it holds %v, want %v", own, want)
	}
	for _, dep := range deps {
		for _, word := range []string{"bbolt", "gorilla/mux", "cobra", "google.golang.org/grpc", "database/sql", "pgx"} {
			if strings.Contains(dep, word) {
				t.Errorf("it holds %s", dep)
			}
		}
	}
}
