package transport

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// journal remembers what the CA last objected to. autocert says at which step it gave
// up, and nothing at all when a renewal fails.
type journal struct {
	next http.RoundTripper

	mu   sync.Mutex
	last error
}

// take returns the last objection and forgets it; nil if there is none.
func (j *journal) take() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	last := j.last
	j.last = nil
	return last
}

func (j *journal) note(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.last = err
}

// maxAnswer bounds what is read of a CA's answer: a chain of certificates is shorter.
const maxAnswer = 1 << 20

// RoundTrip passes a request on and reads the answer along.
func (j *journal) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := j.next.RoundTrip(r)
	if err != nil {
		j.note(err)
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	resp.Body.Close()
	if err != nil {
		j.note(err)
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if err := objection(resp.StatusCode, body); err != nil {
		j.note(err)
	}
	return resp, nil
}

// problem is an error of RFC 8555 §6.7.
type problem struct {
	Type   string `json:"type"`
	Detail string `json:"detail"`
}

// objection reads a problem document, or an authorization (§7.1.4) or order (§7.1.3)
// that has become invalid.
func objection(status int, body []byte) error {
	var answer struct {
		problem
		Status     any      `json:"status"` // a number in a problem document
		Error      *problem `json:"error"`
		Challenges []struct {
			Error *problem `json:"error"`
		} `json:"challenges"`
	}
	if json.Unmarshal(body, &answer) != nil {
		if status >= 400 {
			return fmt.Errorf("the CA answered with status %d", status)
		}
		return nil
	}
	switch {
	case strings.HasSuffix(answer.Type, ":badNonce"): // part of the protocol (§6.5)
		return nil
	case status >= 400:
		return answer.problem.err()
	case answer.Status != "invalid":
		return nil
	}
	for _, c := range answer.Challenges {
		if c.Error != nil {
			return c.Error.err()
		}
	}
	if answer.Error != nil {
		return answer.Error.err()
	}
	return nil
}

// err keeps a line of what the CA wrote.
func (p problem) err() error {
	text := strings.TrimPrefix(p.Type, "urn:ietf:params:acme:error:") + ": " + p.Detail
	return errors.New(text[:min(len(text), 300)])
}
