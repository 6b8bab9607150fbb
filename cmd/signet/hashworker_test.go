package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// slowHashes make a login take so long that something can be done meanwhile.
var slowHashes = []string{"SIGNET_PASSWORDS_MEMORY=64MiB", "SIGNET_PASSWORDS_TIME=8"}

// serveWithWorker is a server with the account kyoko, and the process of its hash worker.
func serveWithWorker(t *testing.T, env ...string) (*process, int) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("SKIPPED: processes are looked up in /proc")
	}
	dir, addr := filepath.Join(t.TempDir(), "data"), mustAddress(t)
	cmd := exec.Command(binary, "serve", "--data", dir, "--listen", addr, "--issuer", "http://"+addr)
	cmd.Env = testEnv(env...)
	cmd.ExtraFiles = []*os.File{os.Stdout} // what the server inherits is not for its worker
	p := launch(t, addr, cmd)
	mustSignet(t, pw+"\n", "users", "add", "kyoko", "--password-stdin", "--data", dir)
	return p, workerOf(t, p.cmd.Process.Pid)
}

// workerOf waits for the child of a server.
func workerOf(t *testing.T, server int) (worker int) {
	t.Helper()
	if err := waitFor(10*time.Second, func() error {
		children := childrenOf(t, server)
		if len(children) != 1 {
			return fmt.Errorf("the server has the children %v", children)
		}
		worker = children[0]
		if name := procText(worker, "comm"); name != "signet-hash\n" {
			return fmt.Errorf("the worker is called %q", name)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return worker
}

func childrenOf(t *testing.T, parent int) (children []int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil || len(all) == 0 {
		t.Fatalf("%d processes, error %v", len(all), err)
	}
	for _, dir := range all {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if stat := statOf(pid); len(stat) > 1 && stat[1] == strconv.Itoa(parent) {
			children = append(children, pid)
		}
	}
	return children
}

// statOf are the fields of proc_pid_stat(5) from the third, the state, on.
func statOf(pid int) []string {
	text := procText(pid, "stat")
	return strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
}

func procText(pid int, file string) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file)) // it may have ended
	return string(text)
}

// waitGone waits until a process has ended; one that nobody has waited for has, too.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	if err := waitFor(10*time.Second, func() error {
		if stat := statOf(pid); len(stat) > 0 && stat[0] != "Z" {
			return fmt.Errorf("process %d lives: %s", pid, procText(pid, "cmdline"))
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// logins logs kyoko in so many times at once; each ends with nil or its error.
func logins(t *testing.T, p *process, n int) <-chan error {
	ended := make(chan error, n)
	for range n {
		go func() {
			_, err := login(t.Context(), client, p.base, "kyoko", pw)
			ended <- err
		}()
	}
	return ended
}

// waitBusy waits until the worker computes: its threads have used the processor.
func waitBusy(t *testing.T, worker int) {
	t.Helper()
	begin := ticksOf(worker)
	if err := waitFor(20*time.Second, func() error {
		if now := ticksOf(worker); now < begin+5 {
			return fmt.Errorf("the worker has used %d ticks", now-begin)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// ticksOf is utime and stime.
func ticksOf(pid int) int {
	stat := statOf(pid)
	if len(stat) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(stat[11])
	system, _ := strconv.Atoi(stat[12])
	return user + system
}

// TestHashWorker: it computes the hashes of logins, is nicer than the server by 5 in each
// of its threads, has its pipes for files, and neither its arguments nor its environment
// say anything.
func TestHashWorker(t *testing.T) {
	p, worker := serveWithWorker(t, slowHashes...)
	before := ticksOf(p.cmd.Process.Pid)
	ended := logins(t, p, 1)
	waitBusy(t, worker)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if server, there := ticksOf(p.cmd.Process.Pid)-before, ticksOf(worker); server >= there {
		t.Errorf("the login took %d ticks of the server, and %d of the worker", server, there)
	}
	if got := procText(worker, "cmdline"); got != "signet\x00hash-worker\x00" {
		t.Errorf("arguments %q", got)
	}
	if got := procText(worker, "environ"); got != fmt.Sprintf("GOMAXPROCS=%d\x00GOTRACEBACK=none\x00", cores) {
		t.Errorf("environment %q", got)
	}
	wantNice(t, p.cmd.Process.Pid, worker)
	wantPipes(t, worker)
}

func wantNice(t *testing.T, server, worker int) {
	t.Helper()
	for pid, more := range map[int]int{server: 0, worker: 5} {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		if err != nil || len(tasks) == 0 {
			t.Fatalf("%d threads, error %v", len(tasks), err)
		}
		own, err := syscall.Getpriority(syscall.PRIO_PROCESS, 0)
		if err != nil {
			t.Fatal(err)
		}
		want := strconv.Itoa(min(20-own+more, 19))
		for _, task := range tasks {
			text, err := os.ReadFile(task)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:]); string(fields[16]) != want {
				t.Errorf("%s: nice %s, want %s", task, fields[16], want)
			}
		}
	}
}

// wantPipes: but for what the Go runtime opens for itself.
func wantPipes(t *testing.T, worker int) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", worker))
	if err != nil || len(files) < 3 {
		t.Fatalf("%d files, error %v", len(files), err)
	}
	for _, file := range files {
		target, err := os.Readlink(file)
		number := filepath.Base(file)
		pipe := strings.HasPrefix(target, "pipe:") && len(number) == 1 && number <= "2"
		own := strings.HasPrefix(target, "anon_inode:[event") || strings.HasPrefix(target, "/sys/fs/cgroup/")
		if err != nil || !pipe && !own {
			t.Errorf("it has file %s: %s, error %v", number, target, err)
		}
	}
}

// TestKilledHashWorker: logins under way are told to try again, and not that the password
// is wrong; the next ones get in.
func TestKilledHashWorker(t *testing.T) {
	p, worker := serveWithWorker(t, slowHashes...)
	const n = 4
	ended := logins(t, p, n)
	waitBusy(t, worker)
	if err := syscall.Kill(worker, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for range n {
		err := <-ended
		status, isStatus := errors.AsType[*statusError](err)
		switch {
		case err == nil:
		case isStatus && status.status == 503 && status.retryAfter == "1" && strings.Contains(status.body, "Passwords cannot be checked now; try again."):
			refused++
		default:
			t.Errorf("a login under way: %v", err)
		}
	}
	if refused == 0 {
		t.Error("the worker was killed, and no login was refused")
	}
	next := logins(t, p, n)
	for range n {
		if err := <-next; err != nil {
			t.Errorf("the next login: %v", err)
		}
	}
	if text := p.waitLog(t, "the hash worker ended"); strings.Count(text, "the hash worker ended") != 1 {
		t.Errorf("the log:\n%s", text)
	}
	if again := workerOf(t, p.cmd.Process.Pid); again == worker {
		t.Error("the worker is the killed one")
	}
}

// TestKilledServerLeavesNoWorker, not even one that computes.
func TestKilledServerLeavesNoWorker(t *testing.T) {
	p, worker := serveWithWorker(t, slowHashes...)
	ended := logins(t, p, 2)
	waitBusy(t, worker)
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := <-ended; err == nil {
			t.Error("a login ended well")
		}
	}
	<-p.done
	waitGone(t, worker)
}

// TestStopDuringALogin: a terminal and a service manager send their signal to both
// processes, and the login under way is answered.
func TestStopDuringALogin(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT} {
		t.Run(name, func(t *testing.T) {
			p, worker := serveWithWorker(t, slowHashes...)
			ended := logins(t, p, 1)
			waitBusy(t, worker)
			if err := syscall.Kill(-p.cmd.Process.Pid, signal); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; err != nil {
				t.Errorf("the login: %v", err)
			}
			<-p.done
			if p.err != nil || strings.Contains(p.stderr.String(), "hash worker") {
				t.Errorf("the server ended with %v\n%s", p.err, p.stderr)
			}
			waitGone(t, worker)
		})
	}
}
