package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

//go:embed wrk.lua
var wrkScript []byte

// connections is how many wrk keeps busy, where a row does not say otherwise.
const connections = 32

// load is what wrk sends, again and again.
type load struct {
	url, method string
	headers     map[string]string
	body        string
	// template and find are set where each request takes a token of the pool.
	template, find string
	pool           *pool
	connections    int // 0 means connections
	delay          time.Duration
	// refusals says that answers other than 200, and connections that are cut off, are
	// what is wanted.
	refusals bool
}

// outcome is what wrk saw.
type outcome struct {
	Requests, Micros int
	Refused, Broken  int
	P50, P99         float64 // µs
	CPU              float64 // share of all cores
}

func (o outcome) rate() float64 { return float64(o.Requests) / (float64(o.Micros) / 1e6) }

func (o outcome) p99() float64 { return o.P99 / 1000 }

// run sends the load for so long, in whole seconds.
func (l *lab) run(ctx context.Context, what load, slice time.Duration) (outcome, error) {
	plan, err := l.plan(what)
	if err != nil {
		return outcome{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, slice+15*time.Second)
	defer cancel()
	n := what.connections
	if n == 0 {
		n = connections
	}
	cmd := exec.CommandContext(ctx, "wrk", "-t", strconv.Itoa(wrkThreads()), "-c", strconv.Itoa(n), "-d", fmt.Sprintf("%ds", max(1, int(slice.Seconds()))),
		"--timeout", "10s", "-s", l.script, what.url, "--", plan)
	cmd.WaitDelay = time.Second
	begun := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return outcome{}, fmt.Errorf("wrk: %w: %.300s", err, out)
	}
	o, err := readOutcome(out)
	if err != nil {
		return outcome{}, err
	}
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	o.CPU = used.Seconds() / time.Since(begun).Seconds() / float64(runtime.NumCPU())
	return o, o.check(what)
}

// check refuses a slice that did not do the work.
func (o outcome) check(what load) error {
	switch {
	case o.Requests == 0:
		return fmt.Errorf("%s answered nothing", what.url)
	case o.Broken > 0 && !what.refusals:
		return fmt.Errorf("%s: %d connections failed or timed out", what.url, o.Broken)
	case o.Refused > 0 && !what.refusals:
		return fmt.Errorf("%s: %d of %d answers were not 200", what.url, o.Refused, o.Requests)
	}
	return nil
}

func readOutcome(out []byte) (o outcome, err error) {
	_, text, ok := bytes.Cut(out, []byte("\nRESULT "))
	if !ok {
		return o, fmt.Errorf("wrk gave no result: %.300s", out)
	}
	return o, json.Unmarshal(text, &o)
}

// wrkThreads leaves room: it is a light program beside what it drives.
func wrkThreads() int { return min(runtime.NumCPU(), 4) }

// plan writes what wrk.lua reads: a file, since a command line can be read by all.
func (l *lab) plan(what load) (string, error) {
	var text strings.Builder
	fmt.Fprintf(&text, "return {method=%s, threads=%d, headers={", lua(what.method), wrkThreads())
	for name, value := range what.headers {
		fmt.Fprintf(&text, "[%s]=%s,", lua(name), lua(value))
	}
	text.WriteString("}")
	if what.body != "" {
		fmt.Fprintf(&text, ", body=%s", lua(what.body))
	}
	if what.delay > 0 {
		fmt.Fprintf(&text, ", delay=%d", what.delay.Milliseconds())
	}
	if what.pool != nil {
		part, err := what.pool.next(l)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&text, ", pool=%s, template=%s, find=%s", lua(part), lua(what.template), lua(what.find))
	}
	text.WriteString("}\n")
	return l.file("plan", []byte(text.String()))
}

// lua is a string literal of Lua 5.1.
func lua(s string) string {
	var text strings.Builder
	text.WriteByte('"')
	for _, b := range []byte(s) {
		if b < ' ' || b > '~' || b == '"' || b == '\\' {
			fmt.Fprintf(&text, `\%03d`, b)
			continue
		}
		text.WriteByte(b)
	}
	text.WriteByte('"')
	return text.String()
}

// pool is tokens of which each is good for one request, and part of them for one slice.
type pool struct {
	tokens []string
	part   int
}

var errPoolEmpty = errors.New("the pool of tokens is used up")

// next writes the next part to a file.
func (p *pool) next(l *lab) (string, error) {
	if len(p.tokens) < p.part {
		return "", errPoolEmpty
	}
	part := p.tokens[:p.part]
	p.tokens = p.tokens[p.part:]
	return l.file("pool", []byte(strings.Join(part, "\n")+"\n"))
}

// shuffle lets the tokens come in no order, as clients do: sessions that lie together are
// not refreshed within the same milliseconds.
func (p *pool) shuffle() {
	rand.Shuffle(len(p.tokens), func(i, j int) { p.tokens[i], p.tokens[j] = p.tokens[j], p.tokens[i] })
}

// file writes a new file for wrk.
func (l *lab) file(name string, text []byte) (string, error) {
	path := filepath.Join(l.dir, fmt.Sprintf("%s-%d", name, l.files.Add(1)))
	return path, os.WriteFile(path, text, 0o600)
}
