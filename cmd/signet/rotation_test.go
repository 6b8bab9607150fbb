package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jwt"
	"golang.org/x/sync/errgroup"

	"signet/configs"
	"signet/internal/control"
	"signet/keystore"
)

// fastClock runs faster than the wall clock, so that hours pass in a test.
type fastClock struct {
	start time.Time
	speed time.Duration
}

func (c fastClock) now() time.Time { return c.start.Add(time.Since(c.start) * c.speed) }

func nowUTC() time.Time { return time.Now().UTC() }

// startServer runs a server of this process on a port of its own.
func startServer(t *testing.T, cfg *configs.Config, now func() time.Time, log io.Writer) *server {
	t.Helper()
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen, cfg.Issuer, cfg.OpsListen = addr, "http://"+addr, ""
	s, err := newServer(t.Context(), serverOptions{Config: cfg, Log: slog.New(slog.NewTextHandler(log, nil)), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx, nil) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	return s
}

func testConfig(t *testing.T) *configs.Config {
	cfg := configs.Default()
	cfg.Data = filepath.Join(t.TempDir(), "data")
	cfg.Passwords.Memory, cfg.Passwords.Time = 64<<10, 1
	return cfg
}

// service is a resource server that caches the key set as its max-age allows.
type service struct {
	now   func() time.Time
	url   string
	http  *http.Client
	set   jwk.Set
	until time.Time
}

var maxAge = regexp.MustCompile(`max-age=(\d+)`)

func (s *service) keys(ctx context.Context) (jwk.Set, error) {
	asked := s.now()
	if s.set != nil && asked.Before(s.until) {
		return s.set, nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	age := maxAge.FindStringSubmatch(resp.Header.Get("Cache-Control"))
	if age == nil {
		return nil, fmt.Errorf("no max-age in %q", resp.Header)
	}
	seconds, err := strconv.Atoi(age[1])
	if err != nil {
		return nil, err
	}
	if s.set, err = jwk.ParseReader(resp.Body); err != nil {
		return nil, err
	}
	s.until = asked.Add(time.Duration(seconds) * time.Second)
	return s.set, nil
}

// verify never fetches on an unknown kid: it is as strict about its cache as the
// strictest of clients.
func (s *service) verify(ctx context.Context, token string) error {
	set, err := s.keys(ctx)
	if err != nil {
		return err
	}
	_, err = jwt.Parse([]byte(token), jwt.WithKeySet(set), jwt.WithClock(jwt.ClockFunc(s.now)),
		jwt.WithAcceptableSkew(time.Minute))
	return err
}

// TestRotationUnderLoad rotates 20 times while 8 clients log in, refresh and
// verify: no verification fails and nobody is logged out.
func TestRotationUnderLoad(t *testing.T) {
	const rotations, clients = 20, 8
	clock := fastClock{start: time.Now(), speed: 30}
	cfg := testConfig(t)
	// A rotation counts from before it is stored, and a slow disk takes a part of
	// publish_ahead: at this speed 5 s are a sixth of one.
	cfg.Keys.JWKSMaxAge, cfg.Keys.PublishAhead = 5*time.Second, 15*time.Second
	cfg.Tokens.Access = 20 * time.Second
	cfg.Throttle.Pair = 0 // eight clients of one account log in at once
	s := startServer(t, cfg, clock.now, io.Discard)
	door := control.Local(s.domains.operator())
	if _, err := control.AddUser.Do(t.Context(), door, control.Credentials{Name: "kyoko", Password: "correct horse battery"}); err != nil {
		t.Fatal(err)
	}

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var verified, refreshed atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	for range clients {
		group.Go(func() error { return liveClient(ctx, s, clock.now, &verified, &refreshed) })
	}
	group.Go(func() error {
		defer stop()
		return rotateTimes(ctx, door, rotations)
	})
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if verified.Load() < rotations*clients || refreshed.Load() < rotations {
		t.Fatalf("too little was tried: %d verified, %d refreshed", verified.Load(), refreshed.Load())
	}
	t.Logf("%d rotations, %d tokens verified, %d refreshes", rotations, verified.Load(), refreshed.Load())
}

// rotateTimes rotates as soon as the rotation before it is over.
func rotateTimes(ctx context.Context, door control.Door, times int) error {
	for range times {
		err := waitFor(time.Minute, func() error {
			_, err := control.RotateKeys.Do(ctx, door, control.Rotation{})
			if ctx.Err() != nil { // another has failed
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return waitFor(time.Minute, func() error { // the last new keys sign too
		list, err := control.ListKeys.Do(ctx, door, struct{}{})
		for _, k := range list.Keys {
			if k.State == keystore.Pending {
				err = errors.Join(err, fmt.Errorf("%s is pending", k.KID))
			}
		}
		return err
	})
}

// liveClient logs in once and then lives on refreshes; a service checks each of
// its access tokens when it is new, and some again and again until they are about
// to expire.
func liveClient(ctx context.Context, s *server, now func() time.Time, verified, refreshed *atomic.Int64) error {
	web := &http.Client{Transport: &http.Transport{}}
	defer web.CloseIdleConnections()
	rs := &service{now: now, url: s.baseURL() + "/.well-known/jwks.json", http: web}
	if _, err := rs.keys(ctx); err != nil {
		return err
	}
	tokens, err := login(ctx, web, s.baseURL(), "kyoko", "correct horse battery")
	older, since := "", now()
	for ctx.Err() == nil {
		if err != nil {
			return fmt.Errorf("a client was logged out: %w", err)
		}
		for _, token := range []string{tokens["access"], older} {
			if token == "" {
				continue
			}
			if err := rs.verify(ctx, token); err != nil && ctx.Err() == nil {
				return fmt.Errorf("a good token was refused: %w", err)
			}
			verified.Add(1)
		}
		if older == "" || now().Sub(since) > s.cfg.Tokens.Access*3/4 {
			older, since = tokens["access"], now()
		}
		tokens, err = refresh(ctx, web, s.baseURL(), tokens["refresh"])
		refreshed.Add(1)
	}
	return nil
}
