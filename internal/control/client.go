package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// ErrNoServer: no server listens on the socket.
var ErrNoServer = errors.New("no server is running on this data directory")

// answerLimit bounds an answer on the socket, in bytes.
const answerLimit = 64 << 20

// callTimeout bounds an operation, from the request to the end of the answer.
const callTimeout = time.Minute

// Dial returns the door to the server that listens on the socket at path, or
// ErrNoServer.
func Dial(ctx context.Context, path string) (*Remote, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return dialUnix(ctx, path) }
	conn, err := dial(ctx, "", "")
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, ErrNoServer
	case errors.Is(err, fs.ErrPermission):
		return nil, &Error{
			Message: path + " belongs to another user",
			Hint:    "run the command as the user that the server runs as",
		}
	case err != nil:
		return nil, fmt.Errorf("connect to %s: %w", path, err)
	}
	conn.Close()
	return &Remote{path: path, stall: stall, client: http.Client{
		Transport: &http.Transport{DialContext: dial},
		Timeout:   callTimeout,
	}}, nil
}

// Remote is the door to a running server.
type Remote struct {
	path   string
	client http.Client
	stall  time.Duration
}

// Close lets go of the connection.
func (r *Remote) Close() error {
	r.client.CloseIdleConnections()
	return nil
}

func (r *Remote) request(ctx context.Context, name string, in any) (*http.Request, error) {
	request, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	url := "http://signet" + pathPrefix + strings.ReplaceAll(name, " ", "/")
	return http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(request))
}

func (r *Remote) call(ctx context.Context, name string, in any) ([]byte, error) {
	req, err := r.request(ctx, name, in)
	if err != nil {
		return nil, err
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return nil, &Error{
			Message: fmt.Sprintf("the server on %s did not answer; whether it did what was asked is not known: %v", r.path, errors.Unwrap(err)),
			Hint:    "look at the state before you try again",
		}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return nil, fmt.Errorf("read the server's answer: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refusal(resp.Status, answer)
	}
	return answer, nil
}
