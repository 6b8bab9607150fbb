package oidc_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"signet/internal/web/webtest"
	"signet/issuer"
)

// refresh is the grant as a first-party client sends it: with its id alone.
func (s *server) refresh(t testing.TB, token string) answer {
	t.Helper()
	return s.post(t, tokenPath, form("grant_type", "refresh_token", "client_id", issuer.FirstParty, "refresh_token", token))
}

func (s *server) revoke(t testing.TB, token string, more ...string) answer {
	t.Helper()
	return s.post(t, revokePath, form(append([]string{"client_id", issuer.FirstParty, "token", token}, more...)...))
}

func (s *server) wantSessions(t testing.TB, what string, want int) {
	t.Helper()
	list, err := s.Issuer.Sessions(t.Context(), "", "", 1000)
	if err != nil || len(list) != want {
		t.Errorf("%s: %d sessions are there, %v, want %d", what, len(list), err, want)
	}
}

const notHonoured = `{"error":"invalid_grant","error_description":"the refresh token is not honoured"}`

// RFC 9700 §2.2.2 and §4.14.
func TestRefreshRotatesAndReuseEndsTheSession(t *testing.T) {
	s := start(t)
	access, refresh := s.login(t)
	first := s.refresh(t, refresh).gives(t, "the first refresh")
	if first.Refresh == "" || first.Refresh == refresh || first.Access == access || first.Scope != "" || first.ExpiresIn != 300 || first.Type != "Bearer" {
		t.Errorf("%+v", first)
	}
	claims := webtest.Claims(t, first.Access)
	if before := webtest.Claims(t, access); claims["sub"] != before["sub"] || claims["sid"] != before["sid"] || claims["client_id"] != issuer.FirstParty {
		t.Errorf("the access token is another user's or session's: %v", claims)
	}
	again := s.refresh(t, refresh).gives(t, "a retry at once")
	if webtest.Claims(t, again.Refresh)["jti"] != webtest.Claims(t, first.Refresh)["jti"] {
		t.Error("a retry began a second chain")
	}
	second := s.refresh(t, first.Refresh).gives(t, "the second refresh")
	if !s.active(t, s.ledger, second.Access) {
		t.Error("the access token is not active")
	}
	s.Clock.Step(11 * time.Second)
	s.refresh(t, first.Refresh).says(t, "reuse", 400, notHonoured)
	s.refresh(t, second.Refresh).says(t, "the newest token after a reuse", 400, notHonoured)
	for _, token := range []string{access, first.Access, second.Access} {
		if s.active(t, s.ledger, token) {
			t.Error("an access token is active after a reuse")
		}
	}
	s.wantSessions(t, "after a reuse", 0)
}

// CVE-2026-55672: a refresh token is its client's, whoever else has it.
func TestRefreshTokenOfAnotherClient(t *testing.T) {
	s := start(t)
	tokens, err := s.Issuer.Login(t.Context(), issuer.Attempt{Client: "other-app", Name: webtest.Alice, Password: webtest.Password})
	if err != nil {
		t.Fatal(err)
	}
	s.hideToken(tokens.Refresh)
	s.refresh(t, tokens.Refresh).says(t, "at the first party", 400, notHonoured)
	s.as(t, s.batch, tokenPath, "grant_type", "refresh_token", "refresh_token", tokens.Refresh).refuses(t, "at a machine", 400, "unauthorized_client")
	s.post(t, tokenPath, form("grant_type", "refresh_token", "client_id", "other-app", "refresh_token", tokens.Refresh)).
		refuses(t, "of a client that is not registered", 401, "invalid_client")
	s.revoke(t, tokens.Refresh).says(t, "revoked by another", 400, refusal("invalid_grant", "the token belongs to another client"))
	if s.active(t, s.batch, tokens.Refresh) {
		t.Error("another client is told of a refresh token")
	}
	s.wantSessions(t, "after refusals", 1)
	if _, err := s.Issuer.RefreshFor(t.Context(), "other-app", tokens.Refresh); err != nil {
		t.Errorf("refusals harmed the session: %v", err)
	}
}

// The other dialect refuses it as well, and does not call it its own fault.
func TestRefreshTokenOfAnotherClientAtTheLogin(t *testing.T) {
	s := start(t)
	tokens, err := s.Issuer.Login(t.Context(), issuer.Attempt{Client: "other-app", Name: webtest.Alice, Password: webtest.Password})
	if err != nil {
		t.Fatal(err)
	}
	got := s.api(t, "refresh/", map[string]string{"refresh": tokens.Refresh})
	if got.StatusCode != http.StatusUnauthorized || !strings.Contains(got.body, `"code":"token_not_valid"`) {
		t.Errorf("at /api/token/refresh/: %d %s, want 401 token_not_valid: problem.known lacks issuer.ErrOtherClient", got.StatusCode, got.body)
	}
	s.wantSessions(t, "after the refusal", 1)
}

// CVE-2026-43983, CVE-2023-22492: a disabled user gets nothing more.
func TestDisabledUser(t *testing.T) {
	s := start(t)
	access, refresh := s.login(t)
	if _, err := s.Users.Disable(t.Context(), webtest.Alice); err != nil {
		t.Fatal(err)
	}
	s.refresh(t, refresh).says(t, "refresh", 400, notHonoured)
	s.as(t, s.ledger, introspectPath, "token", access).says(t, "introspection", 200, `{"active":false}`)
	s.revoke(t, refresh).says(t, "revocation", 200, "{}")
	if _, err := s.Users.Enable(t.Context(), webtest.Alice); err != nil {
		t.Fatal(err)
	}
	s.refresh(t, refresh).says(t, "refresh when enabled again", 400, notHonoured)
}

// RFC 7009 §2: whatever the hint says, and everywhere.
func TestRevocationEndsTheSessionEverywhere(t *testing.T) {
	for _, hint := range []string{"", "refresh_token", "access_token", "nonsense"} {
		s := start(t)
		access, refresh := s.login(t)
		s.revoke(t, refresh, "token_type_hint", hint).says(t, "revocation", 200, "{}")
		s.refresh(t, refresh).says(t, "refresh", 400, notHonoured)
		s.api(t, "refresh/", map[string]string{"refresh": refresh}).
			says(t, "/api/token/refresh/", 401, `{"detail":"Token is blacklisted","code":"token_not_valid"}`)
		if got := s.api(t, "verify/", map[string]string{"token": access}); got.StatusCode != http.StatusBadRequest {
			t.Errorf("/api/token/verify/: %d %s", got.StatusCode, got.body)
		}
		s.as(t, s.ledger, introspectPath, "token", access, "token_type_hint", hint).says(t, "introspection", 200, `{"active":false}`)
		s.revoke(t, refresh).says(t, "again", 200, "{}")
		s.wantSessions(t, "after the revocation", 0)
	}
}

// The two dialects are doors of one session.
func TestBothDialectsShareTheSession(t *testing.T) {
	s := start(t)
	_, refresh := s.login(t)
	next := s.refresh(t, refresh).gives(t, "refresh").Refresh
	got := s.api(t, "refresh/", map[string]string{"refresh": next})
	var pair struct{ Refresh string }
	if err := json.Unmarshal([]byte(got.body), &pair); err != nil || got.StatusCode != http.StatusOK {
		t.Fatalf("/api/token/refresh/: %d %s", got.StatusCode, got.body)
	}
	s.hideToken(pair.Refresh)
	if got := s.api(t, "blacklist/", map[string]string{"refresh": pair.Refresh}); got.StatusCode != http.StatusOK {
		t.Fatalf("/api/token/blacklist/: %d %s", got.StatusCode, got.body)
	}
	s.refresh(t, pair.Refresh).says(t, "after the blacklist", 400, notHonoured)
}

// RFC 9700 §4.15: a machine's token is taken for a user's nowhere.
func TestMachineTokenAtTheDoorsOfUsers(t *testing.T) {
	s := start(t)
	machine := s.machine(t)
	s.refresh(t, machine).says(t, "refresh_token", 400, notHonoured)
	wrongType := `{"detail":"Token has wrong type","code":"token_not_valid"}`
	s.api(t, "refresh/", map[string]string{"refresh": machine}).says(t, "/api/token/refresh/", 401, wrongType)
	s.api(t, "blacklist/", map[string]string{"refresh": machine}).says(t, "/api/token/blacklist/", 401, wrongType)
	if !s.active(t, s.ledger, machine) {
		t.Error("the token is not active")
	}
	claims := webtest.Claims(t, machine)
	for _, name := range []string{"user_id", "sid", "session_exp"} {
		if value, ok := claims[name]; ok {
			t.Errorf("a machine's token has %s %v", name, value)
		}
	}
}

// RFC 7662 §2.2, to the letter, and CVE-2026-37979.
func TestIntrospection(t *testing.T) {
	s := start(t)
	machine := s.machine(t)
	access, refresh := s.login(t)
	want := func(token, client, scope string) string {
		c := webtest.Claims(t, token)
		return fmt.Sprintf(`{"active":true,%s"client_id":%q,"token_type":"Bearer","exp":%v,"iat":%v,"nbf":%v,"sub":%q,"aud":"ledger","iss":%q,"jti":%q}`,
			scope, client, c["exp"], c["iat"], c["nbf"], c["sub"], webtest.URL, c["jti"])
	}
	const inactive = `{"active":false}`
	ofMachine, ofAlice := want(machine, "batch", `"scope":"invoices:read invoices:write",`), want(access, issuer.FirstParty, "")
	for _, tt := range []struct {
		name        string
		by          credentials
		token, want string
	}{
		{"a machine's, by its service", s.ledger, machine, ofMachine},
		{"a machine's, by itself", s.batch, machine, ofMachine},
		{"a machine's, by a stranger", s.stranger, machine, inactive},
		{"a user's, by its service", s.ledger, access, ofAlice},
		{"a user's, by a stranger", s.stranger, access, inactive},
		{"a user's, by another client", s.batch, access, inactive},
		{"a refresh token, by a service", s.ledger, refresh, inactive},
		{"a refresh token, by a stranger", s.stranger, refresh, inactive},
		{"garbage", s.ledger, "garbage", inactive},
	} {
		s.as(t, tt.by, introspectPath, "token", tt.token).says(t, tt.name, 200, tt.want)
	}
	if err := s.Clients.Remove(t.Context(), "batch"); err != nil {
		t.Fatal(err)
	}
	s.as(t, s.ledger, introspectPath, "token", machine).says(t, "of a removed client", 200, inactive)
	s.as(t, s.batch, introspectPath, "token", machine).refuses(t, "by a removed client", 401, "invalid_client")
	s.Clock.Step(6 * time.Minute)
	s.as(t, s.ledger, introspectPath, "token", access).says(t, "expired", 200, inactive)
}

// Thirty at once: one chain of the session, and nothing else mixed up.
func TestManyAtTheSameMoment(t *testing.T) {
	s := start(t)
	_, shared := s.login(t)
	own := make([]string, 30)
	for i := range own {
		_, own[i] = s.login(t)
	}
	var mu sync.Mutex
	chains, machines := map[any]bool{}, map[any]bool{}
	var wg sync.WaitGroup
	for i := range own {
		wg.Go(func() {
			// Not gives: it may end only the test's own goroutine.
			var machine, mine, all tokens
			decode := func(what string, got answer, into *tokens) {
				if err := json.Unmarshal([]byte(got.body), into); err != nil || got.StatusCode != http.StatusOK {
					t.Errorf("%s: %d %s", what, got.StatusCode, got.body)
				}
			}
			decode("machine", s.as(t, s.batch, tokenPath, "grant_type", "client_credentials", "audience", "ledger"), &machine)
			decode("shared", s.refresh(t, shared), &all)
			decode("own", s.refresh(t, own[i]), &mine)
			told := s.as(t, s.ledger, introspectPath, "token", machine.Access)
			if told.StatusCode != 200 || told.body == `{"active":false}` {
				t.Errorf("introspection: %d %s", told.StatusCode, told.body)
			}
			s.revoke(t, mine.Refresh).says(t, "revocation", 200, "{}")
			s.refresh(t, mine.Refresh).says(t, "refresh after the revocation", 400, notHonoured)
			s.as(t, credentials{"batch", "wrong"}, tokenPath).refuses(t, "a wrong secret", 401, "invalid_client")
			if all.Refresh == "" || machine.Access == "" {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			chains[webtest.Claims(t, all.Refresh)["jti"]] = true
			machines[webtest.Claims(t, machine.Access)["jti"]] = true
		})
	}
	wg.Wait()
	if len(chains) != 1 || len(machines) != len(own) {
		t.Errorf("%d chains, want 1; %d tokens of machines, want %d", len(chains), len(machines), len(own))
	}
	s.wantSessions(t, "after it", 1)
}
