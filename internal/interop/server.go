package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"signet/internal/child"
)

// server is one example that runs.
type server struct {
	client
	dir     string // its own copy
	url     string
	env     []string
	process *child.Process
	cells   map[string]string
}

// setUpLimit holds what an example fetches and builds, startLimit how long it takes
// to answer then.
const (
	setUpLimit = 10 * time.Minute
	startLimit = 2 * time.Minute
)

// start does what the README of the example says.
func (s *server) start(ctx context.Context, i *issuer) error {
	source := filepath.Join("examples", s.name)
	if err := os.CopyFS(s.dir, os.DirFS(source)); err != nil {
		return err
	}
	addr, err := child.FreeAddress()
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return err
	}
	s.url, s.cells = "http://"+addr, map[string]string{}
	s.env = append(slices.Clip(i.env), "ISSUER="+i.url, "AUDIENCE="+audience, "PORT="+port, "TMPDIR="+s.dir)
	lines, err := readmeCommands(source)
	if err != nil {
		return err
	}
	last := len(lines) - 1
	if err := s.setUp(ctx, strings.Join(lines[:last], "\n")); err != nil {
		return err
	}
	if s.process, err = child.Launch(s.shell(context.Background(), lines[last])); err != nil {
		return err
	}
	return s.process.Until(ctx, startLimit, func() error {
		status, _, err := s.ask(ctx, "")
		if err == nil && status != http.StatusUnauthorized {
			err = fmt.Errorf("without a token it answers %d", status)
		}
		return err
	})
}

// readmeCommands are the indented lines: what sets up, and at last what serves.
func readmeCommands(dir string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		return nil, err
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if command, ok := strings.CutPrefix(line, "    "); ok {
			lines = append(lines, strings.TrimSpace(command))
		}
	}
	if len(lines) == 0 {
		return nil, errors.New("its README has no command")
	}
	return lines, nil
}

func (s *server) setUp(ctx context.Context, commands string) error {
	ctx, cancel := context.WithTimeout(ctx, setUpLimit)
	defer cancel()
	if out, err := s.shell(ctx, "set -e\n"+commands).CombinedOutput(); err != nil {
		return fmt.Errorf("set up: %w\n%s", err, out)
	}
	return nil
}

// shell runs in the copy, or in the checkout where the example is part of the module.
func (s *server) shell(ctx context.Context, commands string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh", "-c", commands)
	cmd.Dir, cmd.Env = s.dir, s.env
	if s.inModule {
		cmd.Dir = filepath.Join("examples", s.name)
	}
	return cmd
}

// keysChanged does what an operator does after keys have changed, where the example
// has something for that.
func (s *server) keysChanged(ctx context.Context) error {
	if s.reload == "" {
		return nil
	}
	if out, err := s.shell(ctx, s.reload).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %s: %w\n%s", s.name, s.reload, err, out)
	}
	return nil
}

// ask presents a token; 200 must name its subject.
func (s *server) ask(ctx context.Context, t token) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/orders", nil)
	if err != nil {
		return 0, "", err
	}
	if t != "" {
		req.Header.Set("Authorization", "Bearer "+string(t))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
	if err != nil || resp.StatusCode != http.StatusOK {
		return resp.StatusCode, string(text), err
	}
	var answer struct{ Sub string }
	if err := json.Unmarshal(text, &answer); err != nil || answer.Sub != t.claim("sub") {
		return 0, "", fmt.Errorf("%s: 200, but the body does not name the token's sub: %.200s", s.name, text)
	}
	return resp.StatusCode, string(text), nil
}
