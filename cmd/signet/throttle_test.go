package main

import (
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tryLogin answers with status, body and Retry-After in seconds.
func tryLogin(t *testing.T, base, name, password, forwardedFor string) (status int, body string, retry int) {
	t.Helper()
	form := url.Values{"username": {name}, "password": {password}}
	req, err := http.NewRequest(http.MethodPost, base+"/api/token/", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if forwardedFor != "" {
		req.Header.Set("X-Forwarded-For", forwardedFor)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if after := resp.Header.Get("Retry-After"); after != "" {
		if retry, err = strconv.Atoi(after); err != nil {
			t.Errorf("Retry-After %q", after)
		}
	}
	return resp.StatusCode, string(text), retry
}

const (
	wrongBody = `{"detail":"No active account found with the given credentials"}`
	pw        = "correct horse battery staple"
)

func expectTry(t *testing.T, what string, status int, body string, wantStatus int, wantBody string) {
	t.Helper()
	if status != wantStatus || !strings.HasPrefix(body, wantBody) {
		t.Errorf("%s: %d %s, want %d %s", what, status, body, wantStatus, wantBody)
	}
}

// TestGuesserWaitsAndTheOwnerDoesNot: a guesser is told to come later, in the dialect's
// words, whether or not the account exists; its owner logs in from elsewhere meanwhile.
func TestGuesserWaitsAndTheOwnerDoesNot(t *testing.T) {
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	p := serveBinary(t, dir, addr, "SIGNET_THROTTLE_PAIR=3", "SIGNET_PROXIES_TRUSTED=127.0.0.0/8")
	mustSignet(t, pw, "users", "add", "kyoko", "--password-stdin", "--data", dir)
	const guesser, owner = "198.51.100.66", "203.0.113.7"
	for _, name := range []string{"kyoko", "nobody"} {
		for range 3 {
			status, body, _ := tryLogin(t, p.base, name, "wrong", guesser)
			expectTry(t, "a free guess at "+name, status, body, 401, wrongBody)
		}
		status, body, retry := tryLogin(t, p.base, strings.ToUpper(name), pw, guesser)
		expectTry(t, "the next at "+name, status, body, 429, `{"detail":"Request was throttled. Expected available in 1 second."}`)
		if retry != 1 {
			t.Errorf("%s: Retry-After %d, want 1", name, retry)
		}
	}
	// What a client writes left of what the proxy adds changes nothing.
	status, body, _ := tryLogin(t, p.base, "kyoko", pw, owner+", "+guesser)
	expectTry(t, "a forged address", status, body, 429, `{"detail":"Request was throttled.`)
	if status, body, _ := tryLogin(t, p.base, "kyoko", pw, owner); status != 200 {
		t.Errorf("the owner elsewhere: %d %s", status, body)
	}
	err = waitFor(10*time.Second, func() error {
		if status, body, _ := tryLogin(t, p.base, "kyoko", pw, guesser); status != 200 {
			return &statusError{status: status, body: body}
		}
		return nil
	})
	if err != nil {
		t.Errorf("the right password after the wait: %v", err)
	}
	p.waitLog(t, "login throttled")
	if log := p.waitLog(t, guesser); strings.Contains(log, "nobody") {
		t.Errorf("the log names what was typed as a name:\n%s", log)
	}
}

// TestUnnamedProxyIsNotBelieved: without proxies.trusted nobody chooses an address.
func TestUnnamedProxyIsNotBelieved(t *testing.T) {
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	p := serveBinary(t, dir, addr, "SIGNET_THROTTLE_PAIR=3")
	for n := range 3 {
		status, body, _ := tryLogin(t, p.base, "kyoko", "wrong", "198.51.100."+strconv.Itoa(n))
		expectTry(t, "a guess", status, body, 401, wrongBody)
	}
	status, body, _ := tryLogin(t, p.base, "kyoko", "wrong", "198.51.100.9")
	expectTry(t, "another forged address", status, body, 429, `{"detail":"Request was throttled.`)
	if log := p.waitLog(t, "proxies.trusted"); strings.Count(log, "proxies.trusted") != 1 {
		t.Errorf("the operator is not told once of the proxy:\n%s", log)
	}
}
