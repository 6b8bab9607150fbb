package web_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"signet/internal/web"
	"signet/internal/web/problem"
)

// What the check of readiness has to say to strangers is said, and its cause is not.
func TestReadySaysWhatItIsTold(t *testing.T) {
	s := start(t, settings{options: func(o *web.Options) {
		o.Ready = func(context.Context) error {
			return &problem.Problem{Status: 503, Detail: "Not ready: no clock.", Cause: errors.New("ahead by a day")}
		}
	}})
	got := s.get(t, "/readyz")
	id := got.Header.Get("X-Request-Id")
	got.says(t, 503, `{"detail":"Not ready: no clock.","request_id":"`+id+`"}`)
	if line := s.line(id); !strings.Contains(line, "ahead by a day") {
		t.Errorf("the log does not say why: %s", line)
	}
}
