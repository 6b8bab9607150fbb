package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// resident is a line of /proc/PID/status, in MiB: VmRSS is all that is in memory, RssAnon
// what is not of a file, such as the database in the page cache.
func (s *server) resident(line string) (float64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", s.Cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), line+":"); ok {
			var kib float64
			_, err := fmt.Sscanf(strings.TrimSpace(value), "%f kB", &kib)
			return kib / 1024, err
		}
	}
	return 0, fmt.Errorf("the kernel does not tell %s of a process", line)
}

func measureMemory(ctx context.Context, l *lab) error {
	const halves = 2
	dir, tokens, err := l.withSessions(ctx, "memory", 1+halves)
	if err != nil {
		return err
	}
	p, err := l.startPair(ctx, dir, filler())
	if err != nil {
		return err
	}
	defer p.stop()
	idle, err := p.issuer.resident("VmRSS")
	if err != nil {
		return err
	}
	limit, err := p.limit.resident("VmRSS")
	if err != nil {
		return err
	}
	l.found(workIdle, idle, limit)
	var after [1 + halves]float64
	for i := range after { // the first is short, for what grows once
		slice := l.scale.flat / halves
		if i == 0 {
			slice = time.Second
		}
		if err := l.everything(ctx, p.issuer.url, tokens, slice); err != nil {
			return err
		}
		if after[i], err = p.issuer.resident("RssAnon"); err != nil {
			return err
		}
	}
	l.foundUnder(workFlat, after[2], after[1], unknown, fmt.Sprintf("under refreshes, machine tokens and fetches of the key set, %v in all", l.scale.flat))
	return nil
}

// everything sends all loads but logins at once: their hashes take memory of their own.
func (l *lab) everything(ctx context.Context, url string, tokens *pool, slice time.Duration) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, what := range []load{refreshLoad(url, tokens), l.machineLoad(url), keySetLoad(url)} {
		what.connections = connections / 4
		group.Go(func() error {
			_, err := l.run(ctx, what, slice)
			return err
		})
	}
	return group.Wait()
}
