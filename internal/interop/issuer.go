package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"signet/internal/child"
)

const (
	audience = "orders"
	password = "correct horse battery staple"
	machine  = "batch"
)

// A key is published so long before it signs: longer than the 30 s for which some
// clients do not look for an unknown kid again.
const publishAhead = 40 * time.Second

const jwksMaxAge = 30 * time.Second

// issuer is the real binary, serving from a configuration file.
type issuer struct {
	url     string
	dir     string // of its files
	env     []string
	process *child.Process
	secret  string // of the client that machine is
}

// settings are what the scenario changes while the issuer runs.
type settings struct {
	audience, typ string
	access        time.Duration
}

var normal = settings{audience: audience + ", stock", access: 5 * time.Minute}

func startIssuer(ctx context.Context, dir string) (*issuer, error) {
	bin := filepath.Join(dir, "bin")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", bin+"/", "./cmd/signet").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build: %w\n%s", err, out)
	}
	addr, err := child.FreeAddress()
	if err != nil {
		return nil, err
	}
	i := &issuer{url: "http://" + addr, dir: dir}
	i.env = child.Environment("PATH="+bin+":"+os.Getenv("PATH"), "SIGNET_DATA="+filepath.Join(dir, "data"),
		"SIGNET_PASSWORDS_MEMORY=8MiB", "SIGNET_PASSWORDS_TIME=1", "SIGNET_OPS_LISTEN=")
	if err := i.configure(normal); err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(bin, "signet"), "serve", "--config", i.config())
	cmd.Env = i.env
	if i.process, err = child.Launch(cmd); err != nil {
		return nil, err
	}
	if err := i.prepare(ctx); err != nil {
		i.stop()
		return nil, fmt.Errorf("signet: %w", err)
	}
	return i, nil
}

// prepare waits until it answers, and makes a user and a client.
func (i *issuer) prepare(ctx context.Context) error {
	err := i.process.Until(ctx, 20*time.Second, func() error {
		_, err := fetch(ctx, http.MethodGet, i.url+"/readyz", nil, nil)
		return err
	})
	if err != nil {
		return err
	}
	if _, err := i.command(ctx, password, "users", "add", "kyoko", "--password-stdin"); err != nil {
		return err
	}
	out, err := i.command(ctx, "", "clients", "add", machine, "--audience", audience, "--scope", "orders:read", "-o", "json")
	if err != nil {
		return err
	}
	var made struct {
		Secret string `json:"client_secret"`
	}
	if err := json.Unmarshal(out, &made); err != nil || made.Secret == "" {
		return fmt.Errorf("clients add printed no secret: %v", err)
	}
	i.secret = made.Secret
	return nil
}

func (i *issuer) stop() { i.process.Stop() }

func (i *issuer) config() string { return filepath.Join(i.dir, "signet.yaml") }

func (i *issuer) configure(s settings) error {
	text := fmt.Sprintf("issuer: %s\nlisten: %s\ntokens: {audience: [%s], access: %v, typ: {%s}}\nkeys: {publish_ahead: %v, jwks_max_age: %v}\n",
		i.url, strings.TrimPrefix(i.url, "http://"), s.audience, s.access, s.typ, publishAhead, jwksMaxAge)
	return os.WriteFile(i.config(), []byte(text), 0o600)
}

// with puts settings in force until do has returned. took says whether a token shows
// them: a reload has no answer.
func (i *issuer) with(ctx context.Context, s settings, took func(token) bool, do func() error) error {
	if err := i.reload(ctx, s, took); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return i.reload(ctx, normal, func(t token) bool { return !took(t) })
}

func (i *issuer) reload(ctx context.Context, s settings, took func(token) bool) error {
	if err := i.configure(s); err != nil {
		return err
	}
	if err := i.process.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
		return err
	}
	return i.process.Until(ctx, 10*time.Second, func() error {
		for _, get := range []func(context.Context) (tokens, error){i.login, i.machineToken} {
			got, err := get(ctx)
			if err != nil || took(got.access) {
				return err
			}
		}
		return fmt.Errorf("the configuration is not in force: %+v", s)
	})
}

// command runs signet as an operator does.
func (i *issuer) command(ctx context.Context, stdin string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(i.dir, "bin", "signet"), args...)
	cmd.Env, cmd.Stdin = i.env, strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("signet %s: %w: %s", strings.Join(args, " "), err, &stderr)
	}
	return out, nil
}

type tokens struct{ access, refresh token }

func (i *issuer) login(ctx context.Context) (tokens, error) {
	return i.post(ctx, "/api/token/", url.Values{"username": {"kyoko"}, "password": {password}}, nil)
}

// machineToken is a token by client credentials (RFC 6749 §4.4).
func (i *issuer) machineToken(ctx context.Context) (tokens, error) {
	return i.post(ctx, "/oauth2/token", url.Values{"grant_type": {"client_credentials"}}, func(r *http.Request) { r.SetBasicAuth(machine, i.secret) })
}

func (i *issuer) post(ctx context.Context, path string, form url.Values, alter func(*http.Request)) (tokens, error) {
	body, err := fetch(ctx, http.MethodPost, i.url+path, form, alter)
	if err != nil {
		return tokens{}, err
	}
	var answer struct {
		Access, Refresh string
		AccessToken     string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return tokens{}, err
	}
	return tokens{access: token(answer.Access + answer.AccessToken), refresh: token(answer.Refresh)}, nil
}

// fetch wants 200.
func fetch(ctx context.Context, method, to string, form url.Values, alter func(*http.Request)) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, to, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if alter != nil {
		alter(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.200s", to, resp.Status, body)
	}
	return body, err
}
