package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// pair is two servers that get the same load in turns: the issuer and its limit.
type pair struct {
	issuer, limit *server
}

// startPair starts the issuer on dir, and the bare handler.
func (l *lab) startPair(ctx context.Context, dir string, answer *http.Response) (pair, error) {
	issuer, err := l.serve(ctx, dir)
	if err != nil {
		return pair{}, err
	}
	limit, err := l.bare(ctx, answer)
	if err != nil {
		issuer.Stop()
		return pair{}, err
	}
	return pair{issuer, limit}, nil
}

func (p pair) stop() {
	p.issuer.Stop()
	p.limit.Stop()
}

// seen is what several slices of one side have seen.
type seen struct {
	p99, cpu []float64
}

// side measures the rate of a load, and keeps the rest in s.
func (l *lab) side(what load, s *seen) side {
	return l.sideFor(what, l.scale.slice, s)
}

func (l *lab) sideFor(what load, slice time.Duration, s *seen) side {
	return func(ctx context.Context) (float64, error) {
		o, err := l.run(ctx, what, slice)
		if err != nil {
			return 0, err
		}
		s.p99, s.cpu = append(s.p99, o.p99()), append(s.cpu, o.CPU)
		return o.rate(), nil
	}
}

// beside measures two loads in turns, after so much of each that is not counted.
func (l *lab) beside(ctx context.Context, warmUp time.Duration, a, b load) (rates []float64, sa, sb *seen, err error) {
	var warm seen
	if _, err := inTurns(ctx, 1, l.sideFor(a, warmUp, &warm), l.sideFor(b, warmUp, &warm)); err != nil {
		return nil, nil, nil, err
	}
	sa, sb = new(seen), new(seen)
	rates, err = inTurns(ctx, l.scale.turns, l.side(a, sa), l.side(b, sb))
	return rates, sa, sb, err
}

func form() map[string]string {
	return map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
}

func (l *lab) machineLoad(url string) load {
	return load{url: url + "/oauth2/token", method: http.MethodPost, headers: basic(l.secret), body: "grant_type=client_credentials"}
}

func keySetLoad(url string) load {
	return load{url: url + "/.well-known/jwks.json", method: http.MethodGet}
}

// refreshLoad refreshes a session in each request, with the token that it has then.
func refreshLoad(url string, tokens *pool) load {
	return load{url: url + "/api/token/refresh/", method: http.MethodPost, headers: map[string]string{"Content-Type": "application/json"},
		pool: tokens, template: `{"refresh":"%s"}`, find: `"refresh":"([^"]+)"`}
}

// limitOf is a load for the bare handler that is as long as a refresh.
func limitOf(url string, tokens *pool) load {
	what := refreshLoad(url, tokens)
	what.body, what.pool = `{"refresh":"`+tokens.tokens[0]+`"}`, nil
	return what
}

func measureMachine(ctx context.Context, l *lab) error {
	dir, err := l.fresh("machine")
	if err != nil {
		return err
	}
	p, err := l.startPair(ctx, dir, filler())
	if err != nil {
		return err
	}
	defer p.stop()
	got, load, _, err := l.beside(ctx, time.Second, l.machineLoad(p.issuer.url), l.machineLoad(p.limit.url))
	if err != nil {
		return err
	}
	l.foundUnder(workMachine, got[0], got[1], median(load.cpu), "")
	return nil
}

func measureJWKS(ctx context.Context, l *lab) error {
	dir, err := l.fresh("jwks")
	if err != nil {
		return err
	}
	issuer, err := l.serve(ctx, dir)
	if err != nil {
		return err
	}
	defer issuer.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, keySetLoad(issuer.url).url, nil)
	if err != nil {
		return err
	}
	header, body, err := fetch(client, req)
	if err != nil {
		return err
	}
	header.Del("Connection") // the answer to a client that asks once
	limit, err := l.bare(ctx, response(header, body))
	if err != nil {
		return err
	}
	defer limit.Stop()
	got, load, _, err := l.beside(ctx, time.Second, keySetLoad(issuer.url), keySetLoad(limit.url))
	if err != nil {
		return err
	}
	l.foundUnder(workJWKS, got[0], got[1], median(load.cpu), "")
	return nil
}

// refreshConnections are for the rate of refreshes. With half of them the cores wait for
// the disk: those that wait for a commit and those of the next are all that there are.
const refreshConnections = 2 * connections

func measureRefresh(ctx context.Context, l *lab) error {
	dir, tokens, err := l.withSessions(ctx, "refresh", 2*(l.scale.turns+1))
	if err != nil {
		return err
	}
	p, err := l.startPair(ctx, dir, filler())
	if err != nil {
		return err
	}
	defer p.stop()
	if err := tokens.renew(ctx, p.issuer.url); err != nil {
		return err
	}
	refresh, limit := refreshLoad(p.issuer.url, tokens), limitOf(p.limit.url, tokens)
	few, waited, limitWaited, err := l.beside(ctx, time.Second, refresh, limit)
	if err != nil {
		return err
	}
	l.foundUnder(workRefreshP99, median(waited.p99), median(limitWaited.p99), median(waited.cpu), fmt.Sprintf("at %.0f refreshes/s, %.3f of bare", few[0], few[0]/few[1]))
	refresh.connections, limit.connections = refreshConnections, refreshConnections
	got, load, _, err := l.beside(ctx, time.Second, refresh, limit)
	if err != nil {
		return err
	}
	l.foundUnder(workRefresh, got[0], got[1], median(load.cpu), fmt.Sprintf("at %d connections, p99 %.1f ms", refreshConnections, median(load.p99)))
	return nil
}

// withSessions is data with a user and a session for each refresh token of the pool,
// which is enough for so many slices.
func (l *lab) withSessions(ctx context.Context, name string, slices int) (dir string, _ *pool, err error) {
	if dir, err = l.fresh(name); err != nil {
		return "", nil, err
	}
	s, err := openSeeder(ctx, dir, l.issuerURL(), nil)
	if err != nil {
		return "", nil, err
	}
	defer s.Close()
	n := l.scale.pool * slices
	ids, err := s.users(ctx, n)
	if err != nil {
		return "", nil, err
	}
	tokens, err := s.sessions(ctx, ids, n)
	return dir, &pool{tokens: tokens, part: l.scale.pool}, err
}

// renew trades each token for one that the server itself has made, as those are of a
// server that has run for as long as a refresh token is waited for: it need not check
// its own signatures.
func (p *pool) renew(ctx context.Context, base string) error {
	transport := &http.Transport{MaxIdleConnsPerHost: connections}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	return each(ctx, connections, len(p.tokens), func(ctx context.Context, i int) error {
		body := strings.NewReader(`{"refresh":"` + p.tokens[i] + `"}`)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/api/token/refresh/", body)
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		_, text, err := fetch(client, req)
		if err != nil {
			return err
		}
		var got struct{ Refresh string }
		if err := json.Unmarshal(text, &got); err != nil || got.Refresh == "" {
			return fmt.Errorf("a refresh gave no successor: %v", err)
		}
		p.tokens[i] = got.Refresh
		return nil
	})
}
