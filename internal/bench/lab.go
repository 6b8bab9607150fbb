package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"signet/internal/child"
)

// lab is what sections share: the binary, an issuer's data before anything has
// happened to it, and what was found.
type lab struct {
	scale   scale
	dir     string
	script  string // of wrk
	files   atomic.Int64
	address string // of the issuer that sections start
	secret  string // that of the client
	results map[string]result
	failed  map[string]string // by section
}

func newLab(ctx context.Context, s scale) (_ *lab, err error) {
	if _, err := exec.LookPath("wrk"); err != nil {
		return nil, errors.New("the load generator wrk is missing; install it: apt-get install wrk")
	}
	l := &lab{scale: s, results: map[string]result{}, failed: map[string]string{}}
	if l.dir, err = os.MkdirTemp("", "signet-bench"); err != nil {
		return nil, err
	}
	if err := l.prepare(ctx); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *lab) prepare(ctx context.Context) (err error) {
	l.script = filepath.Join(l.dir, "wrk.lua")
	if err := os.WriteFile(l.script, wrkScript, 0o600); err != nil {
		return err
	}
	if l.address, err = child.FreeAddress(); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "go", "build", "-C", root(), "-o", l.binary(), "./cmd/signet").CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return l.makeTemplate(ctx)
}

// root is the directory of the source, as scripts/bench says.
func root() string { return os.Getenv("BENCH_ROOT") }

func (l *lab) close() { os.RemoveAll(l.dir) }

func (l *lab) binary() string { return filepath.Join(l.dir, "signet") }

// measure runs a section. One that fails leaves its rows unmeasured, and the others
// go on.
func (l *lab) measure(ctx context.Context, s section) {
	if ctx.Err() != nil {
		l.failed[s.name] = context.Cause(ctx).Error()
		return
	}
	begun := time.Now()
	err := s.measure(ctx, l)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		l.failed[s.name] = err.Error()
		fmt.Printf("%-10s failed: %v\n", s.name, err)
		return
	}
	fmt.Printf("%-10s measured in %v\n", s.name, time.Since(begun).Round(100*time.Millisecond))
}

// found notes what there is to say of a work.
func (l *lab) found(work string, figure, limit float64) {
	l.results[work] = result{figure: figure, limit: limit, loadCPU: math.NaN()}
}

// foundUnder is found for figures of HTTP, which a load generator brought about.
func (l *lab) foundUnder(work string, figure, limit, loadCPU float64, note string) {
	l.results[work] = result{figure: figure, limit: limit, loadCPU: loadCPU, note: note}
}

// machine is what a reader must know of where the figures come from.
func (l *lab) machine(ctx context.Context) string {
	sync, err := syncTime(l.dir)
	durable := fmt.Sprintf("a durable write of 4 KiB takes %v (median)", sync.Round(time.Microsecond))
	if err != nil {
		durable = "the time of a durable write is unknown: " + err.Error()
	}
	return fmt.Sprintf("%d cores, %s, %s/%s, %s; %s\nthe load generator shares the cores with what it drives",
		runtime.NumCPU(), runtime.Version(), runtime.GOOS, runtime.GOARCH, wrkVersion(ctx), durable)
}

// wrkVersion is from what wrk says of itself, with an exit code of 1.
func wrkVersion(ctx context.Context) string {
	out, _ := exec.CommandContext(ctx, "wrk", "-v").CombinedOutput()
	var name, version string
	if _, err := fmt.Sscan(string(out), &name, &version); err != nil {
		return "wrk of an unknown version"
	}
	return name + " " + version
}

// syncTime is how long the disk takes for a small durable write: the data of the
// issuers lies there.
func syncTime(dir string) (time.Duration, error) {
	f, err := os.CreateTemp(dir, "sync")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var took []float64
	for range 30 {
		begun := time.Now()
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		took = append(took, float64(time.Since(begun)))
	}
	return time.Duration(median(took)), nil
}
