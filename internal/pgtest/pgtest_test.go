package pgtest

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// answers reports whether a server answers.
func answers(t *testing.T, url string) bool {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		return false
	}
	return conn.Close(t.Context()) == nil
}

func TestStopAndResume(t *testing.T) {
	c := New(t, Options{Durable: true})
	url := c.Database(t)
	c.Exec(t, url, "CREATE TABLE kept (n int)")
	c.Stop(t)
	if answers(t, url) {
		t.Error("a stopped server answers")
	}
	c.Resume(t)
	c.Exec(t, url, "INSERT INTO kept VALUES (1)")
	c.Restart(t)
	if !answers(t, url) {
		t.Error("no answer after a restart")
	}
}

// TestNothingIsLeft: of a test process that is killed, and of a cluster that has ended,
// neither a server nor a file is left.
func TestNothingIsLeft(t *testing.T) {
	if os.Getenv("PGTEST_CHILD") != "" {
		os.Stdout.WriteString("dir=" + Start(t).Dir() + "\n")
		select {} // until it is killed
	}
	Start(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestNothingIsLeft$", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), "PGTEST_CHILD=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	dir, ok := strings.CutPrefix(strings.TrimSpace(line), "dir=")
	if err != nil || !ok {
		t.Fatalf("the child said %q, %v", line, err)
	}
	pidFile, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.SplitN(string(pidFile), "\n", 2)[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	gone := func(path string) bool { _, err := os.Stat(path); return errors.Is(err, fs.ErrNotExist) }
	for deadline := time.Now().Add(20 * time.Second); !gone(dir) || !gone("/proc/"+strconv.Itoa(pid)); {
		if time.Now().After(deadline) {
			t.Fatalf("after the end of the process: directory gone: %v, server gone: %v", gone(dir), gone("/proc/"+strconv.Itoa(pid)))
		}
		time.Sleep(10 * time.Millisecond)
	}
}
