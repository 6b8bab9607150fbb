package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// askEnv makes the test binary a stranger: it asks the socket that the variable
// names for the list of accounts, and prints what came.
const askEnv = "SIGNET_TEST_ASK"

func TestMain(m *testing.M) {
	if path := os.Getenv(askEnv); path != "" {
		fmt.Println(askAsStranger(path))
		return
	}
	os.Exit(m.Run())
}

func askAsStranger(path string) string {
	remote, err := Dial(context.Background(), path)
	if err != nil {
		return "dial: " + err.Error()
	}
	defer remote.Close()
	if _, err := ListUsers.Do(context.Background(), remote, UserQuery{}); err != nil {
		return "refused: " + err.Error()
	}
	return "answered"
}

// TestLongPaths: a socket address holds 107 bytes, a path more.
func TestLongPaths(t *testing.T) {
	f := newFixture(t)
	for _, length := range []int{maxSocketPath - 1, maxSocketPath, maxSocketPath + 1, 400} {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			dir := filepath.Dir(socketPath(t))
			for left := length - len(dir) - len("/s"); left > 0; left = length - len(dir) - len("/s") {
				part := min(left-1, 200)
				if left-1-part == 1 { // a separator alone makes no directory
					part--
				}
				dir += "/" + strings.Repeat("d", part)
			}
			path := dir + "/s"
			if len(path) != length {
				t.Fatalf("the path has %d bytes", len(path))
			}
			must(t, os.MkdirAll(dir, 0o700))
			s := serve(t, f.Operator, path)
			if _, err := ListUsers.Do(t.Context(), s.dial(t), UserQuery{}); err != nil {
				t.Error(err)
			}
			must(t, s.Shutdown(t.Context()))
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the socket after Shutdown: %v", err)
			}
		})
	}
}

// nobody is a user who is neither root nor the server's own.
const nobody = 65534

// strangers runs the test binary from where others may, as another user.
type strangers struct{ binary string }

func newStrangers(t *testing.T) strangers {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: the check of the peer's uid is not tested: only root can become another user")
	}
	dir, err := os.MkdirTemp("", "stranger-")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	self, err := os.Executable()
	must(t, err)
	s := strangers{filepath.Join(dir, "stranger")}
	must(t, copyProgram(self, s.binary))
	if out, err := s.ask(nobody, "/nowhere"); err != nil || out != "dial: "+ErrNoServer.Error() {
		if os.Getenv("CI") != "" {
			t.Fatalf("no other user can run a program here: %v: %s", err, out)
		}
		t.Skipf("SKIPPED: the check of the peer's uid is not tested: no other user can run a program here: %v: %s", err, out)
	}
	return s
}

func copyProgram(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Chmod(0o755), out.Close())
}

func (s strangers) ask(uid uint32, path string) (string, error) {
	cmd := exec.Command(s.binary)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), askEnv+"="+path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// TestStrangerIsRefused: first by the mode of the socket and, where that stands
// open, by who is at the other end.
func TestStrangerIsRefused(t *testing.T) {
	who := newStrangers(t)
	s := serve(t, newFixture(t).Operator, socketPath(t))
	must(t, os.Chmod(filepath.Dir(s.path), 0o755))
	wantAsked := func(uid uint32, want string) {
		t.Helper()
		if out, err := who.ask(uid, s.path); err != nil || !strings.HasPrefix(out, want) {
			t.Errorf("uid %d: %q, %v, want %q", uid, out, err, want)
		}
	}
	wantAsked(nobody, "dial: "+s.path+" belongs to another user")
	must(t, os.Chmod(s.path, 0o777))
	wantAsked(0, "answered")
	if strings.Contains(s.log.String(), "refused") {
		t.Errorf("the log before: %s", s.log)
	}
	wantAsked(nobody, "refused: the server on "+s.path+" did not answer; whether it did what was asked is not known: ")
	if !strings.Contains(s.log.String(), fmt.Sprintf("refused a connection to the control socket\" peer_uid=%d", nobody)) {
		t.Errorf("the log does not say who was refused: %s", s.log)
	}
	wantAsked(0, "answered")
}
