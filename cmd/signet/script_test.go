package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"signet/internal/hashpool"
)

// binary is the real program, built once for all tests of the package.
var binary string

// cores is how many there are before a server of the tests makes room beside its work.
var cores = runtime.GOMAXPROCS(0)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == hashpool.Command {
		main() // the worker of a server that runs in the process of the tests
	}
	os.Exit(buildAndTest(m))
}

func buildAndTest(m *testing.M) int {
	dir, err := os.MkdirTemp("", "signet-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "signet")
	build := exec.Command("go", "build", "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// TestScripts drives the real binary as a terminal session would.
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts found: %v", err)
	}
	testscript.Run(t, testscript.Params{
		Files: scripts,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+os.Getenv("PATH"))
			// Cheap hashes: what a login costs is measured elsewhere.
			env.Setenv("SIGNET_PASSWORDS_MEMORY", "8MiB")
			env.Setenv("SIGNET_PASSWORDS_TIME", "1")
			env.Setenv("SIGNET_OPS_LISTEN", "")
			for _, name := range []string{"ADDR", "ADDR2"} {
				addr, err := freeAddress()
				if err != nil {
					return err
				}
				env.Setenv(name, addr)
			}
			env.Setenv("SIGNET_LISTEN", env.Getenv("ADDR"))
			env.Setenv("SIGNET_ISSUER", "http://"+env.Getenv("ADDR"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serving":  cmdServing,
			"stopped":  cmdStopped,
			"post":     cmdPost,
			"get":      cmdGet,
			"setjson":  cmdSetJSON,
			"until":    cmdUntil,
			"filemode": cmdFileMode,
			"truncate": cmdTruncate,
			"signal":   cmdSignal,
		},
	})
}

// handedOut are the addresses that tests were given: none twice.
var handedOut sync.Map

func freeAddress() (string, error) {
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		addr := l.Addr().String()
		if err := l.Close(); err != nil {
			return "", err
		}
		if _, taken := handedOut.LoadOrStore(addr, true); !taken {
			return addr, nil
		}
	}
}

// client keeps no connection: a server under test comes and goes.
var client = &http.Client{
	Timeout:   10 * time.Second,
	Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{}},
}

// waitFor tries until it succeeds or patience ends.
func waitFor(patience time.Duration, try func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %s: %w", patience, err)
		case <-tick.C:
		}
	}
}

func isReady(addr string) error {
	resp, err := client.Get("http://" + addr + "/readyz")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s: %s", resp.Status, body)
	}
	return nil
}

// serving ADDR waits until the server there can sign and store.
func cmdServing(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: serving ADDR")
	}
	ts.Check(waitFor(30*time.Second, func() error { return isReady(args[0]) }))
}

// stopped ADDR waits until nothing answers there.
func cmdStopped(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(waitFor(30*time.Second, func() error {
		conn, err := net.Dial("tcp", args[0])
		if err != nil {
			return nil
		}
		conn.Close()
		return fmt.Errorf("%s still answers", args[0])
	}))
}

// post STATUS URL name=value ... posts a form and writes the answer to the file
// answer; a value that is a file of the script is replaced by its content.
func cmdPost(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: post STATUS URL name=value ...")
	}
	form := url.Values{}
	for _, arg := range args[2:] {
		name, value, _ := strings.Cut(arg, "=")
		form.Add(name, value)
	}
	resp, err := client.PostForm(args[1], form)
	ts.Check(err)
	answer(ts, args[0], resp)
}

// get STATUS URL writes the answer to the file answer, its header to header.
func cmdGet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: get STATUS URL")
	}
	resp, err := client.Get(args[1])
	ts.Check(err)
	answer(ts, args[0], resp)
}

func answer(ts *testscript.TestScript, status string, resp *http.Response) {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	var header bytes.Buffer
	ts.Check(resp.Header.Write(&header))
	ts.Check(os.WriteFile(ts.MkAbs("answer"), append(body, '\n'), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("header"), header.Bytes(), 0o600))
	if fmt.Sprint(resp.StatusCode) != status {
		ts.Fatalf("%s instead of %s: %s", resp.Status, status, body)
	}
}

// setjson VARIABLE FILE member... sets a variable to a member of a JSON file;
// a number picks an element of a list.
func cmdSetJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: setjson VARIABLE FILE member ...")
	}
	var value any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[1])), &value))
	for _, member := range args[2:] {
		switch v := value.(type) {
		case map[string]any:
			value = v[member]
		case []any:
			var i int
			if _, err := fmt.Sscan(member, &i); err != nil || i >= len(v) {
				ts.Fatalf("no element %s in a list of %d", member, len(v))
			}
			value = v[i]
		}
	}
	if value == nil {
		ts.Fatalf("%s has no %v", args[1], args[2:])
	}
	ts.Setenv(args[0], fmt.Sprint(value))
}

// until 'TEXT' COMMAND ... runs signet with the arguments until its output holds
// the text.
func cmdUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until TEXT COMMAND ...")
	}
	ts.Check(waitFor(30*time.Second, func() error {
		cmd := exec.Command(binary, args[1:]...)
		cmd.Dir = ts.MkAbs(".")
		out, err := cmd.CombinedOutput()
		if err == nil && !strings.Contains(string(out), args[0]) {
			err = fmt.Errorf("no %q in\n%s", args[0], out)
		}
		return err
	}))
}

// filemode MODE FILE ... compares permissions, in octal.
func cmdFileMode(ts *testscript.TestScript, neg bool, args []string) {
	for _, file := range args[1:] {
		info, err := os.Stat(ts.MkAbs(file))
		ts.Check(err)
		if mode := fmt.Sprintf("%04o", info.Mode().Perm()); mode != args[0] {
			ts.Fatalf("%s has mode %s, not %s", file, mode, args[0])
		}
	}
}

// truncate SIZE FILE cuts a file.
func cmdTruncate(ts *testscript.TestScript, neg bool, args []string) {
	var size int64
	_, err := fmt.Sscan(args[0], &size)
	ts.Check(err)
	ts.Check(os.Truncate(ts.MkAbs(args[1]), size))
}

// signal NAME sends TERM, HUP or INT to the background program started last.
func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]os.Signal{"TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "INT": os.Interrupt}
	running := ts.BackgroundCmds()
	if len(args) != 1 || signals[args[0]] == nil || len(running) == 0 {
		ts.Fatalf("usage: signal TERM|HUP|INT, with a program in the background")
	}
	ts.Check(running[len(running)-1].Process.Signal(signals[args[0]]))
}
