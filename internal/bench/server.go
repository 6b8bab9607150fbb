package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"signet/internal/child"
)

const (
	account  = "kyoko"
	password = "correct horse battery staple"
	machine  = "batch"
	audience = "orders"
)

// server is a running process that answers HTTP.
type server struct {
	*child.Process
	url string
}

// makeTemplate makes the data of an issuer with its keys, an account with a password of
// the default cost, and a client: by the program itself.
func (l *lab) makeTemplate(ctx context.Context) error {
	s, err := l.serve(ctx, l.template())
	if err != nil {
		return err
	}
	defer s.Stop()
	if _, err := l.command(ctx, password, "users", "add", account, "--password-stdin"); err != nil {
		return err
	}
	out, err := l.command(ctx, "", "clients", "add", machine, "--audience", audience, "-o", "json")
	if err != nil {
		return err
	}
	var made struct {
		Secret string `json:"client_secret"`
	}
	if err := json.Unmarshal(out, &made); err != nil || made.Secret == "" {
		return fmt.Errorf("clients add printed no secret: %v", err)
	}
	l.secret = made.Secret
	return nil
}

func (l *lab) template() string { return filepath.Join(l.dir, "template") }

// fresh is a copy of the template.
func (l *lab) fresh(name string) (string, error) {
	dir := filepath.Join(l.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	for _, name := range []string{"signet.db", "seal.key", "audit.log"} {
		text, err := os.ReadFile(filepath.Join(l.template(), name))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// issuerURL is that of every issuer here, wherever it listens: tokens that were made
// before it started are its own.
func (l *lab) issuerURL() string { return "http://" + l.address }

// serve starts the issuer with the data of dir and waits until it is ready. Nobody is
// slowed down, since all load comes from one address.
func (l *lab) serve(ctx context.Context, dir string) (*server, error) {
	return l.serveAt(ctx, dir, l.address)
}

func (l *lab) serveAt(ctx context.Context, dir, address string, settings ...string) (*server, error) {
	s, err := l.launch(dir, address, settings...)
	if err != nil {
		return nil, err
	}
	return s.ready(ctx, 30*time.Second, "/readyz")
}

func (l *lab) launch(dir, address string, settings ...string) (*server, error) {
	cmd := exec.Command(l.binary(), "serve")
	cmd.Env = append(l.environment(dir, address), settings...)
	p, err := child.Launch(cmd)
	if err != nil {
		return nil, err
	}
	return &server{p, "http://" + address}, nil
}

func (l *lab) environment(dir, address string) []string {
	return child.Environment("SIGNET_DATA="+dir, "SIGNET_LISTEN="+address, "SIGNET_ISSUER="+l.issuerURL(), "SIGNET_OPS_LISTEN=",
		"SIGNET_THROTTLE_PAIR=0", "SIGNET_THROTTLE_ADDRESS=0", "SIGNET_THROTTLE_ACCOUNT=0")
}

// ready waits for a 200; a server that does not come is stopped.
func (s *server) ready(ctx context.Context, limit time.Duration, path string) (*server, error) {
	err := s.Until(ctx, limit, func() error {
		_, err := get(ctx, s.url+path)
		return err
	})
	if err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// bare starts the limit.
func (l *lab) bare(ctx context.Context, answer *http.Response) (*server, error) {
	s, err := l.launchBare(answer)
	if err != nil {
		return nil, err
	}
	return s.ready(ctx, 10*time.Second, "/")
}

func (l *lab) launchBare(answer *http.Response) (*server, error) {
	var text bytes.Buffer
	if err := answer.Write(&text); err != nil {
		return nil, err
	}
	file, err := l.file("answer", text.Bytes())
	if err != nil {
		return nil, err
	}
	address, err := child.FreeAddress()
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, err := child.Launch(exec.Command(self, bareCommand, address, file))
	if err != nil {
		return nil, err
	}
	return &server{p, "http://" + address}, nil
}

// command runs signet as an operator does, on the template.
func (l *lab) command(ctx context.Context, stdin string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, l.binary(), args...)
	cmd.Env, cmd.Stdin = l.environment(l.template(), l.address), strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("signet %s: %w: %s", strings.Join(args, " "), err, &stderr)
	}
	return out, nil
}

// client keeps no connection: what it asks is who is there now.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}

// get wants 200.
func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	_, body, err := fetch(client, req)
	return body, err
}

// fetch returns a 200.
func fetch(by *http.Client, req *http.Request) (http.Header, []byte, error) {
	resp, err := by.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %.200s", req.URL, resp.Status, body)
	}
	return resp.Header, body, err
}
