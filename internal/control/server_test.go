package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"signet/users"
)

const (
	hintOlder  = "signet version  # the server may be older than this command: restart it"
	hintUnsure = "look at the state before you try again"
)

func TestSocketMode(t *testing.T) {
	s := serve(t, newFixture(t).Operator, socketPath(t))
	info, err := os.Lstat(s.path)
	must(t, err)
	if info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("the socket has mode %v", info.Mode())
	}
}

// TestDialWithoutServer: nothing there, no directory, and what a killed server leaves.
func TestDialWithoutServer(t *testing.T) {
	stale := socketPath(t)
	leaveSocket(t, stale)
	long := filepath.Join(t.TempDir(), strings.Repeat("long/", 30), "control.sock")
	for name, path := range map[string]string{
		"nothing": socketPath(t), "no directory": "/nowhere/at/all/control.sock", "a long path": long, "a stale socket": stale,
	} {
		if remote, err := Dial(t.Context(), path); !errors.Is(err, ErrNoServer) {
			t.Errorf("%s: Dial: %v, %v, want %v", name, remote, err, ErrNoServer)
		}
	}
}

// leaveSocket leaves a socket as a server does that was killed.
func leaveSocket(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	must(t, err)
	l.SetUnlinkOnClose(false)
	must(t, l.Close())
}

func TestStaleSocketIsReplaced(t *testing.T) {
	path := socketPath(t)
	leaveSocket(t, path)
	s := serve(t, newFixture(t).Operator, path)
	if _, err := ListUsers.Do(t.Context(), s.dial(t), UserQuery{}); err != nil {
		t.Error(err)
	}
}

// TestListenWhereNothingCan names the directory that is missing.
func TestListenWhereNothingCan(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "control.sock")
	_, err := Listen(path, newFixture(t).Operator, nil)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("Listen: %v, want %v and the path", err, fs.ErrNotExist)
	}
}

// raw sends bytes as they are, as a client other than ours could.
func raw(t *testing.T, s *served, method, path string, body io.Reader) (status int, answer Error) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dialUnix(ctx, s.path) },
	}}
	req, err := http.NewRequestWithContext(t.Context(), method, "http://signet"+path, body)
	must(t, err)
	resp, err := client.Do(req)
	must(t, err)
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("%s %s: Content-Type %q", method, path, got)
	}
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.StatusCode != http.StatusOK && json.Unmarshal(text, &answer) != nil {
		t.Errorf("%s %s: the answer is no JSON: %q", method, path, text)
	}
	return resp.StatusCode, answer
}

// TestRequestsThatAreNone: each gets an *Error in words, and the server goes on.
func TestRequestsThatAreNone(t *testing.T) {
	f := newFixture(t)
	s := serve(t, f.Operator, socketPath(t))
	unreadable := func(why string) Error { return Error{"users add: the request cannot be read: " + why, ""} }
	notKnown := func(name string) Error {
		return Error{fmt.Sprintf("the running server does not know %q", name), hintOlder}
	}
	full := fmt.Sprintf(`{"name":"kyoko","password":"%s"}`, strings.Repeat("p", requestLimit))
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		want                     Error
	}{
		{"unknown operation", "POST", "/v1/users/adore", `{}`, 404, notKnown("users adore")},
		{"no operation", "POST", "/v1/", `{}`, 404, notKnown("")},
		{"another version", "POST", "/v2/users/add", `{}`, 404, notKnown(" v2 users add")},
		{"no version", "POST", "/users/add", `{}`, 404, notKnown(" users add")},
		{"one level more", "POST", "/v1/users/add/", `{}`, 404, notKnown("users add ")},
		{"GET", "GET", "/v1/users/list", ``, 404, notKnown("users list")},
		{"PUT", "PUT", "/v1/users/add", `{}`, 404, notKnown("users add")},
		{"no JSON", "POST", "/v1/users/add", `name=kyoko`, 422, unreadable("invalid character 'a' in literal null (expecting 'u')")},
		{"JSON that ends early", "POST", "/v1/users/add", `{"name":"kyoko"`, 422, unreadable("unexpected EOF")},
		{"a list", "POST", "/v1/users/add", `[]`, 422, unreadable("json: cannot unmarshal array into Go value of type control.Credentials")},
		{"a number for a name", "POST", "/v1/users/add", `{"name":1}`, 422, unreadable("json: cannot unmarshal number into Go struct field Credentials.name of type string")},
		{"an unknown field", "POST", "/v1/users/add", `{"name":"kyoko","password":"p","admin":true}`, 422, unreadable(`json: unknown field "admin"`)},
		{"two requests", "POST", "/v1/users/add", `{"name":"kyoko","password":"p"}{}`, 422, unreadable("there is something after it")},
		{"not UTF-8", "POST", "/v1/users/add", "{\"name\":\"kyoko\",\"password\":\"p\xff\"}", 422, unreadable("it is not UTF-8")},
		{"nothing", "POST", "/v1/sessions/end", ``, 422, Error{errWhichSessions.Error(), ""}},
		{"too large", "POST", "/v1/users/add", full, 400, *errRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, got := raw(t, s, c.method, c.path, strings.NewReader(c.body))
			if status != c.status || got != c.want {
				t.Errorf("answered %d %+v, want %d %+v", status, got, c.status, c.want)
			}
			list, err := ListUsers.Do(t.Context(), s.dial(t), UserQuery{})
			if err != nil || len(list.Users) != 0 {
				t.Errorf("afterwards: %+v, %v", list, err)
			}
		})
	}
}

// TestLargestRequest: one byte less than too much is read.
func TestLargestRequest(t *testing.T) {
	s := serve(t, newFixture(t).Operator, socketPath(t))
	for size, want := range map[int]Error{
		requestLimit:     {`"k": no such user`, hintUsers},
		requestLimit + 1: *errRequest,
	} {
		body := []byte(`{"name":"k"}`)
		body = append(body, bytes.Repeat([]byte(" "), size-len(body))...)
		if _, got := raw(t, s, "POST", "/v1/users/show", bytes.NewReader(body)); got != want {
			t.Errorf("%d bytes: answered %+v, want %+v", size, got, want)
		}
	}
}

// TestRequestThatBreaksOff changes nothing, and the server goes on.
func TestRequestThatBreaksOff(t *testing.T) {
	s := serve(t, newFixture(t).Operator, socketPath(t))
	conn, err := dialUnix(t.Context(), s.path)
	must(t, err)
	defer conn.Close()
	body := `{"name":"kyoko","password":"p"}`
	fmt.Fprintf(conn, "POST /v1/users/add HTTP/1.1\r\nHost: signet\r\nContent-Length: %d\r\n\r\n%s", len(body)+1, body)
	must(t, conn.(*net.UnixConn).CloseWrite())
	answer, err := io.ReadAll(conn)
	must(t, err)
	if !bytes.Contains(answer, []byte(errRequest.Message)) {
		t.Errorf("answered %q", answer)
	}
	list, err := ListUsers.Do(t.Context(), s.dial(t), UserQuery{})
	if err != nil || len(list.Users) != 0 {
		t.Errorf("afterwards: %+v, %v", list, err)
	}
}

// TestAnswersThatAreNone: a server that speaks otherwise is said to do so.
func TestAnswersThatAreNone(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   string
		isA    bool // *Error
	}{
		"no JSON":                {200, "hello", `users list: the answer cannot be read: invalid character 'h' looking for beginning of value`, false},
		"a refusal without text": {500, "", `the server answered 500 Internal Server Error`, true},
		"a refusal of no use":    {404, `{"message":""}`, `the server answered 404 Not Found`, true},
	} {
		t.Run(name, func(t *testing.T) {
			path := socketPath(t)
			l, err := listenUnix(path)
			must(t, err)
			server := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				io.WriteString(w, c.body)
			})}
			go server.Serve(l)
			defer server.Close()
			remote, err := Dial(t.Context(), path)
			must(t, err)
			defer remote.Close()
			_, err = ListUsers.Do(t.Context(), remote, UserQuery{})
			if err == nil || err.Error() != c.want {
				t.Errorf("error %v, want %s", err, c.want)
			}
			if _, is := errors.AsType[*Error](err); is != c.isA {
				t.Errorf("error is %T", err)
			}
		})
	}
}

// TestParallelOperations makes a hundred at once, over one door and over many.
func TestParallelOperations(t *testing.T) {
	f := newFixture(t)
	s := serve(t, f.Operator, socketPath(t))
	shared := s.dial(t)
	var group errgroup.Group
	const accounts = 50
	for i := range accounts {
		door := shared
		if i%2 == 0 {
			door = s.dial(t)
		}
		group.Go(func() error {
			name := fmt.Sprintf("user%02d", i)
			u, err := AddUser.Do(t.Context(), door, Credentials{Name: name, Password: password})
			if err == nil && u.Name != name {
				err = fmt.Errorf("added %q for %q", u.Name, name)
			}
			return err
		})
		group.Go(func() error {
			list, err := ListKeys.Do(t.Context(), door, struct{}{})
			if err == nil && len(list.Keys) != 2 {
				err = fmt.Errorf("%d keys", len(list.Keys))
			}
			return err
		})
	}
	must(t, group.Wait())
	list, err := ListUsers.Do(t.Context(), shared, UserQuery{})
	if err != nil || len(list.Users) != accounts {
		t.Errorf("%d accounts: %v", len(list.Users), err)
	}
}

// TestParallelSame: of many that ask for one change exactly one gets it.
func TestParallelSame(t *testing.T) {
	f := newFixture(t)
	door := serve(t, f.Operator, socketPath(t)).dial(t)
	results := make(chan error, 20)
	for range cap(results) {
		go func() {
			_, err := RotateKeys.Do(t.Context(), door, Rotation{Alg: "ES256"})
			results <- err
		}()
	}
	done := 0
	for range cap(results) {
		err := <-results
		if err == nil {
			done++
			continue
		}
		if e := refused(t, err); !strings.HasPrefix(e.Message, "ES256: a rotation is under way: ") {
			t.Errorf("refused with %+v", *e)
		}
	}
	if done != 1 || len(f.Keys.Keys()) != 3 {
		t.Errorf("%d rotations were done, %d keys", done, len(f.Keys.Keys()))
	}
}

// underWay begins to add an account and returns when the store holds it, with how
// to let it go and where its answer comes.
func underWay(t *testing.T, f *fixture, door Door) (release func(), answered chan error) {
	t.Helper()
	entered, held := make(chan struct{}), make(chan struct{})
	f.store.before = func(context.Context) { close(entered); <-held }
	answered = make(chan error, 1)
	go func() {
		u, err := AddUser.Do(context.Background(), door, Credentials{Name: "kyoko", Password: password})
		if err == nil && u.Name != "kyoko" {
			err = fmt.Errorf("added %+v", u)
		}
		answered <- err
	}()
	<-entered
	return func() { close(held) }, answered
}

// TestShutdown lets an operation under way end, takes no other, and removes the socket.
func TestShutdown(t *testing.T) {
	f := newFixture(t)
	s := serve(t, f.Operator, socketPath(t))
	release, answered := underWay(t, f, s.dial(t))
	closed := make(chan struct{})
	s.http.RegisterOnShutdown(sync.OnceFunc(func() { close(closed) }))
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(context.Background()) }()
	<-closed
	if _, err := os.Lstat(s.path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket of a server that stops: %v, want %v", err, fs.ErrNotExist)
	}
	if _, err := Dial(t.Context(), s.path); !errors.Is(err, ErrNoServer) {
		t.Errorf("Dial to a server that stops: %v, want %v", err, ErrNoServer)
	}
	select {
	case err := <-stopped:
		t.Errorf("Shutdown did not wait: %v", err)
	default:
	}
	release()
	if err := <-answered; err != nil {
		t.Errorf("the operation under way: %v", err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-s.ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := f.Users.ByName(t.Context(), "kyoko"); err != nil {
		t.Errorf("the operation under way was not done: %v", err)
	}
}

// TestShutdownThatCannotWait cuts the operation off, and its command says that
// what became of it is not known.
func TestShutdownThatCannotWait(t *testing.T) {
	f := newFixture(t)
	s := serve(t, f.Operator, socketPath(t))
	release, answered := underWay(t, f, s.dial(t))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v, want %v", err, context.Canceled)
	}
	wantUnsure(t, s, <-answered)
	if err := <-s.ended; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := os.Lstat(s.path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket after Shutdown: %v, want %v", err, fs.ErrNotExist)
	}
	release()
}

func wantUnsure(t *testing.T, s *served, err error) {
	t.Helper()
	e := refused(t, err)
	if !strings.HasPrefix(e.Message, "the server on "+s.path+" did not answer; whether it did what was asked is not known: ") || e.Hint != hintUnsure {
		t.Errorf("refused with %+v", *e)
	}
}

// TestInterruptedCommand ends the wait of the one who asks.
func TestInterruptedCommand(t *testing.T) {
	s := serve(t, newFixture(t).Operator, socketPath(t))
	door := s.dial(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := ListUsers.Do(ctx, door, UserQuery{})
	wantUnsure(t, s, err)
	if e := refused(t, err); !strings.HasSuffix(e.Message, context.Canceled.Error()) {
		t.Errorf("refused with %+v", *e)
	}
}

// TestShutdownBeforeServe: a server that stops as it starts leaves no socket.
func TestShutdownBeforeServe(t *testing.T) {
	path := socketPath(t)
	s, err := Listen(path, newFixture(t).Operator, slog.New(slog.DiscardHandler))
	must(t, err)
	must(t, s.Shutdown(t.Context()))
	if err := s.Serve(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket: %v, want %v", err, fs.ErrNotExist)
	}
}

// TestRefusalsAreLogged: the server's log says what was refused and no password.
func TestRefusalsAreLogged(t *testing.T) {
	f := newFixture(t)
	f.create(t, "kyoko")
	s := serve(t, f.Operator, socketPath(t))
	_, err := AddUser.Do(t.Context(), s.dial(t), Credentials{Name: "kyoko", Password: password})
	wantRefused(t, err, *explain(fmt.Errorf("%q: %w", "kyoko", users.ErrExists)))
	if text := s.log.String(); !strings.Contains(text, `op="users add"`) || strings.Contains(text, password) {
		t.Errorf("the log: %s", text)
	}
}

// TestHints: an error of the domains keeps its hint however it is wrapped.
func TestHints(t *testing.T) {
	busy := &users.BusyError{RetryAfter: 1}
	if got := explain(fmt.Errorf("add: %w", busy)); got.Hint != "try again in a moment" {
		t.Errorf("%+v", got)
	}
	if got := explain(errors.New("something else")); *got != (Error{Message: "something else"}) {
		t.Errorf("%+v", got)
	}
}

// What an operator changes is in the log, with what it was about; a password is not.
func TestLogNamesWhatWasChanged(t *testing.T) {
	server := serve(t, newFixture(t).Operator, socketPath(t))
	remote, log, ctx := server.dial(t), server.log, t.Context()
	if _, err := AddUser.Do(ctx, remote, Credentials{Name: "mori", Password: "a secret of mori"}); err != nil {
		t.Fatal(err)
	}
	if _, err := RotateKeys.Do(ctx, remote, Rotation{Alg: "ES256"}); err != nil {
		t.Fatal(err)
	}
	if _, err := ListUsers.Do(ctx, remote, UserQuery{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`op="users add" target=mori`, `op="keys rotate" target=ES256`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in\n%s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "a secret") || strings.Contains(log.String(), "users list") {
		t.Errorf("the log holds what it should not:\n%s", log.String())
	}
}
