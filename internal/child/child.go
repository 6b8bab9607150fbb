// Package child runs servers as child processes, for the programs that drive real
// ones: each in a process group of its own, of which nothing is left after Stop.
package child

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is a server in a process group of its own.
type Process struct {
	Cmd *exec.Cmd
	// Output is the last of what it wrote.
	Output *Tail
	// Ended is closed when the process has ended.
	Ended chan struct{}
}

// Tail keeps the last of what a process writes.
type Tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

const tailBytes = 1 << 16

// Write keeps p.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.buf.Len() > tailBytes {
		t.buf.Next(t.buf.Len() - tailBytes/2)
	}
	return t.buf.Write(p)
}

// String is what was kept.
func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}

// Launch starts cmd.
func Launch(cmd *exec.Cmd) (*Process, error) {
	p := &Process{Cmd: cmd, Output: new(Tail), Ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.Output, p.Output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() { cmd.Wait(); close(p.Ended) }()
	return p, nil
}

// Stop ends the group, and kills what does not end by itself.
func (p *Process) Stop() {
	if p == nil {
		return
	}
	syscall.Kill(-p.Cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-p.Ended:
	case <-time.After(10 * time.Second):
	}
	syscall.Kill(-p.Cmd.Process.Pid, syscall.SIGKILL)
	<-p.Ended
}

// Until asks again and again until ask has no error; the process must live.
func (p *Process) Until(ctx context.Context, limit time.Duration, ask func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case <-p.Ended:
			return fmt.Errorf("it ended by itself:\n%s", p.Output)
		case <-ctx.Done():
			return fmt.Errorf("within %v: %w\n%s", limit, err, p.Output)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// FreeAddress is a loopback address that nobody listens on.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// Environment is that of the machine, without its own Signet settings.
func Environment(extra ...string) []string {
	var env []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "SIGNET_") {
			env = append(env, entry)
		}
	}
	return append(env, extra...)
}
