package issuer_test

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jwt"

	"signet/internal/store/storetest"
	"signet/issuer"
	"signet/users"
)

var hex32 = regexp.MustCompile(`^[0-9a-f]{32}$`)

// maskIDs replaces the random ids by what they must look like.
func maskIDs(claims map[string]any) map[string]any {
	for _, name := range []string{"jti", "sid"} {
		if id, ok := claims[name].(string); ok && hex32.MatchString(id) {
			claims[name] = "32 hex"
		}
	}
	return claims
}

func TestTokensOfALoginHoldExactlyTheseClaims(t *testing.T) {
	f := newFixture(t)
	tokens := f.login(t)
	kid := f.keys.Keys()[0].KID
	access, refresh := map[string]any{
		"iss": issuerURL, "sub": f.kyoko.ID, "aud": issuerURL + "/api",
		"exp": seconds(start.Add(5 * time.Minute)), "iat": seconds(start), "nbf": seconds(start),
		"jti": "32 hex", "sid": "32 hex", "client_id": "first-party",
		"token_type": "access", "user_id": f.kyoko.ID,
	}, map[string]any{
		"iss": issuerURL, "sub": f.kyoko.ID, "aud": issuerURL,
		"exp": seconds(start.Add(24 * time.Hour)), "iat": seconds(start), "nbf": seconds(start),
		"jti": "32 hex", "sid": "32 hex", "client_id": "first-party",
		"token_type": "refresh", "user_id": f.kyoko.ID, "session_exp": seconds(start.Add(30 * 24 * time.Hour)),
	}
	for _, tt := range []struct {
		kind, token, typ string
		want             map[string]any
	}{
		{"access", tokens.Access, "JWT", access},
		{"refresh", tokens.Refresh, "rt+jwt", refresh},
	} {
		header, claims := decode(t, tt.token)
		wantHeader := map[string]any{"alg": "ES256", "kid": kid, "typ": tt.typ}
		if diff := cmp.Diff(wantHeader, header); diff != "" {
			t.Errorf("header of the %s token (-want +got):\n%s", tt.kind, diff)
		}
		if diff := cmp.Diff(tt.want, maskIDs(claims)); diff != "" {
			t.Errorf("claims of the %s token (-want +got):\n%s", tt.kind, diff)
		}
		if strings.Contains(tt.token, "kyoko") || claims["sub"] == "kyoko" {
			t.Errorf("the %s token holds the user name", tt.kind)
		}
	}
	if a, r := claim(t, tokens.Access, "jti"), claim(t, tokens.Refresh, "jti"); a == r {
		t.Error("both tokens have the same jti")
	}
}

func TestLoginStoresTheSessionThatItsTokensName(t *testing.T) {
	f := newFixture(t)
	tokens := f.login(t)
	sessions := f.sessions(t, f.kyoko.ID)
	if len(sessions) != 1 {
		t.Fatalf("%d sessions, want 1", len(sessions))
	}
	want := issuer.Session{
		ID: claim(t, tokens.Access, "sid").(string), Subject: f.kyoko.ID, Client: issuer.FirstParty,
		Created: start, Rotated: start,
		Expires: start.Add(24 * time.Hour).Truncate(time.Second),
		Ends:    start.Add(30 * 24 * time.Hour).Truncate(time.Second),
		Current: claim(t, tokens.Refresh, "jti").(string), KID: f.keys.Keys()[0].KID,
	}
	if diff := cmp.Diff(want, sessions[0]); diff != "" {
		t.Errorf("stored session (-want +got):\n%s", diff)
	}
	if claim(t, tokens.Refresh, "sid") != want.ID {
		t.Error("the two tokens name different sessions")
	}
	if other := f.login(t); claim(t, other.Access, "sid") == want.ID {
		t.Error("a second login got the session of the first")
	}
}

func TestFailedLoginStoresNothing(t *testing.T) {
	f := newFixture(t)
	for name, pw := range map[string]string{"kyoko": "wrong", "nobody": password} {
		tokens, err := f.Login(t.Context(), issuer.Attempt{Client: issuer.FirstParty, Name: name, Password: pw})
		wantErr(t, name, err, users.ErrCredentials)
		if tokens != (issuer.Tokens{}) {
			t.Errorf("%s: tokens beside the error", name)
		}
	}
	f.wantSessions(t, 0)
}

func TestAudienceIsAStringIfSingleAndAListIfNot(t *testing.T) {
	f := newFixture(t)
	for _, tt := range []struct {
		audience []string
		want     any
	}{
		{nil, issuerURL + "/api"},
		{[]string{"orders"}, "orders"},
		{[]string{"orders", "stock"}, []any{"orders", "stock"}},
	} {
		f.set(func(p *issuer.Policy) { p.Audience = tt.audience })
		tokens := f.login(t)
		if diff := cmp.Diff(tt.want, claim(t, tokens.Access, "aud")); diff != "" {
			t.Errorf("aud of the access token for %q (-want +got):\n%s", tt.audience, diff)
		}
		if got := claim(t, tokens.Refresh, "aud"); got != issuerURL {
			t.Errorf("aud of the refresh token for %q = %v, want the issuer alone", tt.audience, got)
		}
		f.wantVerify(t, tokens.Access, nil)
		f.wantVerify(t, tokens.Refresh, nil)
	}
}

func TestNoTokenOutlivesItsSession(t *testing.T) {
	f := newFixture(t)
	f.set(func(p *issuer.Policy) { p.SessionLifetime = 3 * time.Minute })
	end := seconds(start.Add(3 * time.Minute))
	tokens := f.login(t)
	for range 2 {
		for kind, token := range map[string]string{"access": tokens.Access, "refresh": tokens.Refresh} {
			if got := claim(t, token, "exp"); got != end {
				t.Errorf("exp of the %s token = %v, want the session's end %v", kind, got, end)
			}
		}
		f.move(time.Minute)
		tokens = f.refresh(t, tokens.Refresh)
	}
}

// A resource server of a stranger checks the tokens with the published set.
func TestClientLibraryVerifiesTokensWithThePublishedSet(t *testing.T) {
	for _, alg := range []string{"ES256", "RS256"} {
		f := newFixtureWith(t, alg)
		document, err := f.keys.Document(f.now())
		must(t, err)
		set, err := jwk.Parse(document.Body())
		must(t, err)
		check := func(token string, more ...jwt.ParseOption) (jwt.Token, error) {
			return jwt.ParseString(token, append([]jwt.ParseOption{
				jwt.WithKeySet(set), jwt.WithClock(jwt.ClockFunc(f.now)), jwt.WithIssuer(issuerURL),
				jwt.WithAudience(issuerURL + "/api"), jwt.WithRequiredClaim("exp"), jwt.WithRequiredClaim("jti"),
			}, more...)...)
		}
		tokens := f.login(t)
		token, err := check(tokens.Access)
		if err != nil {
			t.Fatalf("%s: %v", alg, err)
		}
		if token.Subject() != f.kyoko.ID || !token.Expiration().Equal(start.Add(5*time.Minute).Truncate(time.Second)) {
			t.Errorf("%s: sub %q, exp %s", alg, token.Subject(), token.Expiration())
		}
		if _, err := check(tokens.Refresh); !errors.Is(err, jwt.ErrInvalidAudience()) {
			t.Errorf("%s: refresh token at a service: error = %v, want %v", alg, err, jwt.ErrInvalidAudience())
		}
		f.move(6 * time.Minute)
		if _, err := check(tokens.Access); !errors.Is(err, jwt.ErrTokenExpired()) {
			t.Errorf("%s: expired token: error = %v, want %v", alg, err, jwt.ErrTokenExpired())
		}
	}
}

func TestTooLongTokenNamesItsClaimsAndStoresNothing(t *testing.T) {
	f := newFixture(t)
	f.set(func(p *issuer.Policy) { p.Audience = []string{strings.Repeat("a", 3000), strings.Repeat("b", 3000)} })
	_, err := f.Login(t.Context(), issuer.Attempt{Client: issuer.FirstParty, Name: "kyoko", Password: password})
	wantTooLong(t, err, "aud (6007 bytes)")
	f.wantSessions(t, 0)
}

func TestTooLongTokenDoesNotAdvanceTheSession(t *testing.T) {
	f := newFixture(t)
	tokens := f.login(t)
	before := f.sessions(t, "")
	f.set(func(p *issuer.Policy) { p.Audience = []string{strings.Repeat("a", 4000)} })
	f.move(time.Minute)
	_, err := f.Refresh(t.Context(), tokens.Refresh)
	wantTooLong(t, err, "aud (4002 bytes)")
	if diff := cmp.Diff(before, f.sessions(t, "")); diff != "" {
		t.Errorf("the session changed (-before +after):\n%s", diff)
	}
	f.set(func(*issuer.Policy) {})
	f.move(time.Minute)
	f.refresh(t, tokens.Refresh)
}

func wantTooLong(t *testing.T, err error, longest string) {
	t.Helper()
	var tooLong *issuer.TooLongError
	if !errors.As(err, &tooLong) {
		t.Fatalf("error = %v, want a *TooLongError", err)
	}
	if tooLong.Limit != 4096 || tooLong.Bytes <= tooLong.Limit {
		t.Errorf("%d bytes, limit %d", tooLong.Bytes, tooLong.Limit)
	}
	if len(tooLong.Claims) != 3 || tooLong.Claims[0] != longest || !strings.Contains(err.Error(), longest) {
		t.Errorf("claims %q, error %q, want %q first", tooLong.Claims, err, longest)
	}
}

func TestMaxBytesIsTheLengthThatIsStillMade(t *testing.T) {
	f := newFixture(t)
	tokens := f.login(t)
	longer := max(len(tokens.Access), len(tokens.Refresh))
	f.set(func(p *issuer.Policy) { p.MaxTokenBytes = longer })
	f.login(t)
	f.set(func(p *issuer.Policy) { p.MaxTokenBytes = longer - 1 })
	_, err := f.Login(t.Context(), issuer.Attempt{Client: issuer.FirstParty, Name: "kyoko", Password: password})
	var tooLong *issuer.TooLongError
	if !errors.As(err, &tooLong) || tooLong.Bytes != longer {
		t.Errorf("error = %v, want one of %d bytes", err, longer)
	}
}

// interleaved does something else at one point of a login.
type interleaved struct {
	issuer.Store
	before, after func()
}

func (s *interleaved) CreateSession(ctx context.Context, session issuer.Session) error {
	if s.before != nil {
		s.before()
	}
	err := s.Store.CreateSession(ctx, session)
	if s.after != nil {
		s.after()
	}
	return err
}

// Whoever disables an account or changes its password ends its sessions too, but
// cannot see one that is about to be stored.
func TestLoginThatRacesWithAChangeOfTheAccountIsOver(t *testing.T) {
	changes := map[string]func(*testing.T, *fixture) error{
		"disabled": func(t *testing.T, f *fixture) error {
			_, err := f.users.Disable(t.Context(), "kyoko")
			return err
		},
		"removed": func(t *testing.T, f *fixture) error {
			_, err := f.users.Remove(t.Context(), "kyoko")
			return err
		},
		"removed and made again": func(t *testing.T, f *fixture) error {
			if _, err := f.users.Remove(t.Context(), "kyoko"); err != nil {
				return err
			}
			_, err := f.users.Create(t.Context(), "kyoko", password, users.Profile{})
			return err
		},
		"another password": func(t *testing.T, f *fixture) error {
			f.move(time.Minute)
			_, err := f.users.SetPassword(t.Context(), "kyoko", "another one")
			return err
		},
		"another password within the second": func(t *testing.T, f *fixture) error {
			_, err := f.users.SetPassword(t.Context(), "kyoko", "another one")
			return err
		},
	}
	for what, change := range changes {
		for _, when := range []string{"before the session is stored", "after the session is stored"} {
			t.Run(what+" "+when, func(t *testing.T) {
				f := newFixture(t)
				interrupt := func() {
					must(t, change(t, f))
					if _, err := f.EndSubject(t.Context(), f.kyoko.ID); err != nil {
						t.Fatal(err)
					}
				}
				store := &interleaved{Store: f.store, before: interrupt}
				if strings.HasPrefix(when, "after") {
					store = &interleaved{Store: f.store, after: interrupt}
				}
				i := f.issuerWith(func(o *issuer.Options) { o.Store = store })
				tokens, err := i.Login(t.Context(), issuer.Attempt{Client: issuer.FirstParty, Name: "kyoko", Password: password})
				must(t, err)
				want := issuer.ErrNoSession
				if u, err := f.users.ByID(t.Context(), f.kyoko.ID); err != nil || u.Disabled {
					want = issuer.ErrInactive
				}
				f.wantVerify(t, tokens.Access, want)
				f.wantVerify(t, tokens.Refresh, want)
				f.wantRefresh(t, tokens.Refresh, want)
				f.users.Enable(t.Context(), "kyoko")
				if _, err := f.Refresh(t.Context(), tokens.Refresh); err == nil {
					t.Error("the session lives again once the account is enabled")
				}
			})
		}
	}
}

func TestLoginThatRacesWithAHashUpgradeSucceeds(t *testing.T) {
	f := newFixture(t)
	must(t, f.users.SetParams(users.Params{MemoryKiB: 128, Time: 1, Threads: 1, Queue: 64}))
	store := &interleaved{Store: f.store, before: func() { f.login(t) }}
	i := f.issuerWith(func(o *issuer.Options) { o.Store = store })
	if _, err := i.Login(t.Context(), issuer.Attempt{Client: issuer.FirstParty, Name: "kyoko", Password: password}); err != nil {
		t.Error(err)
	}
	f.wantSessions(t, 2)
}

func TestFailingStoreFailsTheLogin(t *testing.T) {
	for _, tt := range []struct {
		method string
		fault  storetest.Fault
		left   int // sessions that nobody holds a token of
	}{
		{"UserByName", storetest.NotApplied, 0},
		{"CreateSession", storetest.NotApplied, 0},
		{"CreateSession", storetest.AppliedButFailed, 1},
	} {
		f := newFixture(t)
		f.store.FailNext(tt.method, tt.fault)
		tokens, err := f.Login(t.Context(), issuer.Attempt{Client: issuer.FirstParty, Name: "kyoko", Password: password})
		wantErr(t, tt.method, err, storetest.ErrFault)
		if tokens != (issuer.Tokens{}) || errors.Is(err, users.ErrCredentials) {
			t.Errorf("%s: tokens %v, error %v", tt.method, tokens, err)
		}
		f.wantSessions(t, tt.left)
		f.login(t)
	}
}

func TestLogTellsWhatMattersForSecurity(t *testing.T) {
	f := newFixture(t)
	var log lockedBuffer
	f.Issuer = f.issuerWith(func(o *issuer.Options) { o.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	first, second := f.login(t), f.login(t)
	must(t, f.Logout(t.Context(), first.Refresh))
	stolen := second.Refresh
	f.refresh(t, f.refresh(t, stolen).Refresh)
	f.wantRefresh(t, stolen, issuer.ErrReused)
	for _, want := range []string{
		`level=INFO msg=login sub=` + f.kyoko.ID + ` sid=` + claim(t, first.Access, "sid").(string),
		`level=INFO msg=logout sub=` + f.kyoko.ID + ` sid=` + claim(t, first.Access, "sid").(string),
		`level=WARN msg="refresh token reused; the session has been ended" sub=` + f.kyoko.ID +
			` sid=` + claim(t, second.Access, "sid").(string) + ` jti=` + claim(t, stolen, "jti").(string) + ` generation=2`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
	if leak := secrets.FindString(log.String()); leak != "" {
		t.Errorf("the log holds a secret: %q", leak)
	}
}
