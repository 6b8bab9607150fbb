package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"signet/internal/control"
	"signet/internal/linear"
)

const linearPassword = "correct horse battery staple"

// issuerProcess is one process of the issuer as a linear.Target: clients reach it over HTTP,
// operators through its socket. It dies and comes back at the same address.
type issuerProcess struct {
	*process
	addr, dir string
	start     func() *process
	rotation  control.Rotation
	http      *http.Client
}

// linearEnv is the configuration of every replica: many clients of one address log in at
// once, and keys are quick to make.
func linearEnv(window time.Duration) []string {
	return []string{"SIGNET_REFRESH_REUSE_WINDOW=" + window.String(), "SIGNET_KEYS_ALGORITHMS=ES256",
		"SIGNET_KEYS_PUBLISH_AHEAD=30s", "SIGNET_KEYS_JWKS_MAX_AGE=5s",
		"SIGNET_THROTTLE_PAIR=0", "SIGNET_THROTTLE_ADDRESS=0", "SIGNET_THROTTLE_ACCOUNT=0"}
}

// startProcess starts a replica with its own directory; extra are flags of serve.
func startProcess(t *testing.T, dir string, rotation control.Rotation, env []string, extra ...string) *issuerProcess {
	t.Helper()
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	r := &issuerProcess{addr: addr, dir: dir, rotation: rotation,
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}}
	r.start = func() *process {
		cmd := exec.Command(binary, append([]string{"serve", "--data", dir, "--listen", addr, "--issuer", "http://127.0.0.1:1"}, extra...)...)
		cmd.Env = testEnv(env...)
		return launch(t, addr, cmd)
	}
	r.process = r.start()
	t.Cleanup(r.http.CloseIdleConnections)
	return r
}

// Await returns when the replica is ready.
func (r *issuerProcess) Await(ctx context.Context) error {
	r.http.CloseIdleConnections() // those to a process that has died
	return waitFor(30*time.Second, func() error {
		if ctx.Err() != nil {
			return nil
		}
		return isReady(r.addr)
	})
}

func (r *issuerProcess) signal(s syscall.Signal) error { return syscall.Kill(-r.cmd.Process.Pid, s) }

// patience is how long a client waits for an answer: longer than any takes but that of a
// replica that stands still.
const patience = 3 * time.Second

// Do makes the request.
func (r *issuerProcess) Do(ctx context.Context, in linear.Request) linear.Reply {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	switch in.Kind {
	case linear.Login:
		return r.post(ctx, "/api/token/", url.Values{"username": {in.User}, "password": {linearPassword}})
	case linear.Refresh:
		return r.post(ctx, "/api/token/refresh/", url.Values{"refresh": {in.Token}})
	case linear.Verify:
		return r.post(ctx, "/api/token/verify/", url.Values{"token": {in.Token}})
	case linear.Logout:
		return r.post(ctx, "/api/token/blacklist/", url.Values{"refresh": {in.Token}})
	default:
		return r.operate(ctx, in)
	}
}

func (r *issuerProcess) post(ctx context.Context, path string, form url.Values) linear.Reply {
	answer, err := postJSON(ctx, r.http, "http://"+r.addr+path, form)
	refused, answered := errors.AsType[*statusError](err)
	switch {
	case err == nil:
		return linear.Reply{Answer: linear.Done, Token: answer["refresh"]}
	case errors.Is(err, syscall.ECONNREFUSED):
		return linear.Reply{Answer: linear.NotMade}
	case !answered:
		return linear.Reply{Answer: linear.Lost}
	case refused.status == http.StatusServiceUnavailable:
		return linear.Reply{Answer: linear.Lost, Detail: err.Error()}
	case strings.Contains(refused.body, "Token is blacklisted"):
		return linear.Reply{Answer: linear.Refused}
	case strings.Contains(refused.body, "No active account found"):
		return linear.Reply{Answer: linear.Inactive}
	default:
		return linear.Reply{Answer: linear.Strange, Detail: err.Error()}
	}
}

func (r *issuerProcess) operate(ctx context.Context, in linear.Request) linear.Reply {
	door, err := control.Dial(ctx, filepath.Join(r.dir, "control.sock"))
	if err != nil {
		return linear.Reply{Answer: linear.NotMade, Detail: err.Error()}
	}
	defer door.Close()
	switch in.Kind {
	case linear.EndSession:
		_, err = control.EndSessions.Do(ctx, door, control.SessionEnd{ID: in.Session})
	case linear.EndUser:
		_, err = control.EndSessions.Do(ctx, door, control.SessionEnd{User: in.User})
	case linear.Disable:
		_, err = control.DisableUser.Do(ctx, door, control.UserName{Name: in.User})
	case linear.Enable:
		_, err = control.EnableUser.Do(ctx, door, control.UserName{Name: in.User})
	case linear.Rotate:
		_, err = control.RotateKeys.Do(ctx, door, r.rotation)
	}
	switch {
	case err == nil:
		return linear.Reply{Answer: linear.Done}
	case strings.Contains(err.Error(), "no such session, or it has ended"):
		return linear.Reply{Answer: linear.Refused}
	case in.Kind == linear.Rotate && strings.Contains(err.Error(), "a rotation is under way"):
		return linear.Reply{Answer: linear.Refused}
	case strings.Contains(err.Error(), "was changed in the meantime"):
		return linear.Reply{Answer: linear.NotMade, Detail: err.Error()}
	default:
		return linear.Reply{Answer: linear.Lost, Detail: fmt.Sprintf("%.60s", err)}
	}
}
