package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"signet/internal/child"
)

// peer is another issuer. scripts/peers/NAME/start sets it up and runs it.
type peer struct {
	name, is string
	ready    string // the path that answers 200
	token    string // the path of client_credentials; empty if it has none
	refresh  func(url, secret string, tokens *pool) load
	jwks     string // the path of its key set; empty if it has none
	// logsIn says that refresh tokens come from logins at token, and not from start.
	logsIn bool
	// machineTarget is how many times its rate is wanted; 0 means 1.
	machineTarget float64
}

const keycloakRealm = "/realms/bench/protocol/openid-connect/"

var peers = []peer{
	{name: "oidc-provider", is: "node oidc-provider, in memory", ready: "/jwks", token: "/token", jwks: "/jwks",
		refresh: oauthRefresh("/token"), machineTarget: 4.5},
	{name: "simplejwt", is: "Django with simplejwt, gunicorn, SQLite", ready: "/", refresh: drfRefresh},
	{name: "keycloak", is: "Keycloak, its file database", ready: keycloakRealm + "certs", token: keycloakRealm + "token",
		jwks: keycloakRealm + "certs", refresh: oauthRefresh(keycloakRealm + "token"), logsIn: true},
}

// peerPart is how many sessions a slice begins with: tokens go around.
const peerPart = 2 * connections

// peerWarmUp lets a runtime compile what it runs often, and load what it runs first.
const peerWarmUp = 8 * time.Second

// setUpLimit holds what a peer fetches and builds.
const setUpLimit = 8 * time.Minute

func drfRefresh(url, _ string, tokens *pool) load { return refreshLoad(url, tokens) }

func oauthRefresh(path string) func(url, secret string, tokens *pool) load {
	return func(url, secret string, tokens *pool) load {
		return load{url: url + path, method: http.MethodPost, headers: basic(secret), pool: tokens,
			template: "grant_type=refresh_token&refresh_token=%s", find: `"refresh_token":"([^"]+)"`}
	}
}

func (p peer) machineWork() string { return "machine tokens, beside " + p.name }
func (p peer) refreshWork() string { return "refresh, beside " + p.name }
func (p peer) jwksWork() string    { return "key set, beside " + p.name }

// peerSections is one for each peer; the figure is Signet's and the limit the peer's.
func peerSections() []section {
	var all []section
	for _, p := range peers {
		s := section{name: p.name, measure: p.measure}
		add := func(name string, target float64) {
			s.works = append(s.works, work{name, "requests/s", p.is, ratioAtLeast, max(1, target)})
		}
		if p.token != "" {
			add(p.machineWork(), p.machineTarget)
		}
		add(p.refreshWork(), 0)
		if p.jwks != "" {
			add(p.jwksWork(), 0)
		}
		all = append(all, s)
	}
	return all
}

func (p peer) measure(ctx context.Context, l *lab) error {
	secret := rand.Text()
	other, tokens, err := l.startPeer(ctx, p, secret)
	if err != nil {
		return err
	}
	defer other.Stop()
	dir, own, err := l.withSessions(ctx, p.name+"-signet", l.scale.turns+1)
	if err != nil {
		return err
	}
	issuer, err := l.serve(ctx, dir)
	if err != nil {
		return err
	}
	defer issuer.Stop()
	if p.token != "" {
		theirs := l.machineLoad(other.url)
		theirs.url, theirs.headers = other.url+p.token, basic(secret)
		if err := l.besidePeer(ctx, p.machineWork(), l.machineLoad(issuer.url), theirs); err != nil {
			return err
		}
	}
	if p.jwks != "" {
		if err := l.besidePeer(ctx, p.jwksWork(), keySetLoad(issuer.url), load{url: other.url + p.jwks, method: http.MethodGet}); err != nil {
			return err
		}
	}
	return l.besidePeer(ctx, p.refreshWork(), refreshLoad(issuer.url, own), p.refresh(other.url, secret, tokens))
}

func (l *lab) besidePeer(ctx context.Context, work string, ours, theirs load) error {
	got, load, _, err := l.beside(ctx, peerWarmUp, ours, theirs)
	if err != nil {
		return err
	}
	l.foundUnder(work, got[0], got[1], median(load.cpu), "")
	return nil
}

// startPeer sets a peer up in a directory of its own and waits until it answers.
func (l *lab) startPeer(ctx context.Context, p peer, secret string) (*server, *pool, error) {
	dir := filepath.Join(l.dir, p.name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, nil, err
	}
	address, err := child.FreeAddress()
	if err != nil {
		return nil, nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, nil, err
	}
	count, file := peerPart*(l.scale.turns+1), filepath.Join(dir, "tokens")
	cmd := exec.Command(filepath.Join(root(), "scripts", "peers", p.name, "start"))
	cmd.Env = child.Environment("DIR="+dir, "PORT="+port, "SECRET="+secret, "TOKENS="+file, fmt.Sprint("COUNT=", count))
	process, err := child.Launch(cmd)
	if err != nil {
		return nil, nil, err
	}
	s, err := (&server{process, "http://" + address}).ready(ctx, setUpLimit, p.ready)
	if err != nil {
		return nil, nil, fmt.Errorf("%s does not start: %w", p.is, err)
	}
	tokens, err := p.tokens(ctx, s.url, secret, file, count)
	if err != nil {
		s.Stop()
		return nil, nil, err
	}
	return s, &pool{tokens: tokens, part: peerPart}, nil
}

func (p peer) tokens(ctx context.Context, base, secret, file string, count int) ([]string, error) {
	if !p.logsIn {
		text, err := os.ReadFile(file)
		return strings.Fields(string(text)), err
	}
	tokens := make([]string, count)
	for i := range tokens {
		var err error
		if tokens[i], err = passwordGrant(ctx, base+p.token, secret); err != nil {
			return nil, err
		}
	}
	return tokens, nil
}

// passwordGrant is a login by RFC 6749 §4.3, where a peer has no simpler one.
func passwordGrant(ctx context.Context, to, secret string) (string, error) {
	body := url.Values{"grant_type": {"password"}, "username": {account}, "password": {password}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader([]byte(body)))
	if err != nil {
		return "", err
	}
	for name, value := range basic(secret) {
		req.Header.Set(name, value)
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", err
	}
	var answer struct {
		Refresh string `json:"refresh_token"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Refresh == "" {
		return "", errors.Join(err, fmt.Errorf("%s: %s: no refresh token", to, resp.Status))
	}
	return answer.Refresh, nil
}

// basic are the headers of a form from the client.
func basic(secret string) map[string]string {
	h := form()
	h["Authorization"] = "Basic " + base64.StdEncoding.EncodeToString([]byte(machine+":"+secret))
	return h
}
