package metrics_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"signet/internal/metrics"
)

type counts struct {
	kinds map[string]int
	err   error
}

func (c counts) HashKinds(context.Context) (map[string]int, error) { return c.kinds, c.err }

func scrape(method, path string, c counts) (status int, body string) {
	w := httptest.NewRecorder()
	metrics.Handler(c).ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w.Code, w.Body.String()
}

func TestUsersByHash(t *testing.T) {
	status, body := scrape("GET", "/metrics", counts{kinds: map[string]int{"argon2id m=19456,t=2,p=1": 7, "pbkdf2_sha256 i=1000000": 3, "": 1}})
	for _, want := range []string{
		`signet_users{password_hash="argon2id m=19456,t=2,p=1"} 7`,
		`signet_users{password_hash="pbkdf2_sha256 i=1000000"} 3`,
		`signet_users{password_hash="none"} 1`,
		"# TYPE signet_users gauge", "go_goroutines ", "process_open_fds ",
	} {
		if status != 200 || !strings.Contains(body, want) {
			t.Errorf("%d, and no %s in\n%s", status, want, body)
		}
	}
}

// A store that fails must not look like one without users.
func TestFailingStoreFailsTheScrape(t *testing.T) {
	status, body := scrape("GET", "/metrics", counts{err: errors.New("the disk is gone")})
	if status != 500 || strings.Contains(body, "signet_users{") {
		t.Errorf("%d %s", status, body)
	}
}

func TestNothingElseIsServed(t *testing.T) {
	for _, request := range [][2]string{{"GET", "/"}, {"GET", "/debug/pprof/"}, {"GET", "/api/token/"}} {
		if status, _ := scrape(request[0], request[1], counts{}); status != 404 {
			t.Errorf("%v: %d, want 404", request, status)
		}
	}
	if status, _ := scrape("POST", "/metrics", counts{}); status != 405 {
		t.Errorf("POST: %d, want 405", status)
	}
}
