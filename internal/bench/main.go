// Command bench measures the real binary, and beside each figure the limit that the
// hardware sets it, in turns on the same machine: a figure alone says little where the
// machine's own speed changes. scripts/bench is how to call it.
//
// Start at [works], the rows of the table, and [sections], which measure them.
// It is no test: a row that misses its target says so, and the exit code is 0.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	quick, long, peers bool
	markdown           bool
	json, only         string
	limit              time.Duration
	many               int
}

func main() {
	if len(os.Args) == 4 && os.Args[1] == bareCommand {
		exit(serveBare(os.Args[2], os.Args[3]))
	}
	var o options
	flag.BoolVar(&o.quick, "quick", false, "short slices and small files; ends in two minutes")
	flag.BoolVar(&o.long, "long", false, "an hour of load, and 5 million users and sessions")
	flag.BoolVar(&o.peers, "peers", false, "also measure other issuers, which are fetched from their registries")
	flag.StringVar(&o.json, "json", "", "write the rows to this `file` as JSON")
	flag.BoolVar(&o.markdown, "markdown", false, "print the table as it stands in docs/performance.md")
	flag.StringVar(&o.only, "only", "", "measure these `sections` alone, comma separated: "+sectionNames())
	flag.IntVar(&o.many, "many", 0, "so `many` users and sessions in the large databases")
	flag.DurationVar(&o.limit, "limit", 0, "end after this `time` with the rows that there are")
	flag.Usage = usage
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	exit(run(ctx, o))
}

func usage() {
	fmt.Fprint(flag.CommandLine.Output(), "usage: scripts/bench [flags]\nMeasures Signet beside what the hardware allows; docs/performance.md says what the rows mean.\n")
	flag.PrintDefaults()
}

// usageError is a wrong use of the program.
type usageError struct{ error }

func exit(err error) {
	switch {
	case err == nil:
		os.Exit(0)
	case errors.As(err, new(usageError)):
		fmt.Fprintf(os.Stderr, "bench: %v\n  try: scripts/bench --help\n", err)
		os.Exit(2)
	}
	fmt.Fprintf(os.Stderr, "bench: %v\n", err)
	os.Exit(1)
}

// check finds what is wrong with the flags before the work begins.
func (o options) check() ([]section, error) {
	switch {
	case root() == "":
		return nil, usageError{errors.New("it is started by scripts/bench")}
	case flag.NArg() > 0:
		return nil, usageError{fmt.Errorf("it takes no arguments, and got %q", flag.Args())}
	case o.many < 0:
		return nil, usageError{fmt.Errorf("--many %d: there cannot be so few", o.many)}
	case o.quick && o.long:
		return nil, usageError{errors.New("--quick and --long exclude each other")}
	}
	if o.json != "" {
		f, err := os.OpenFile(o.json, os.O_WRONLY|os.O_CREATE, 0o644)
		if err != nil {
			return nil, err
		}
		f.Close()
	}
	return choose(o)
}

func run(ctx context.Context, o options) error {
	chosen, err := o.check()
	if err != nil {
		return err
	}
	s := o.scale()
	running, cancel := context.WithTimeoutCause(ctx, s.limit, fmt.Errorf("out of time (%v)", s.limit))
	defer cancel()
	begun := time.Now()
	l, err := newLab(running, s)
	if err != nil {
		return err
	}
	defer l.close()
	fmt.Println(l.machine(running))
	for _, c := range chosen {
		l.measure(running, c)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
	}
	rows := l.rows(chosen)
	text := table
	if o.markdown {
		text = markdown
	}
	fmt.Printf("\n%s\nmeasured in %v; figures are of this machine and this minute, ratios are what to compare\n",
		text(rows), time.Since(begun).Round(time.Second))
	return writeJSON(o.json, rows)
}

// choose are the sections to run.
func choose(o options) ([]section, error) {
	all := slices.Clone(sections)
	if o.long || o.only != "" {
		all = append(all, largeSections...)
	}
	if o.peers {
		all = append(all, peerSections()...)
	}
	if o.only == "" {
		return all, nil
	}
	var chosen []section
	for name := range strings.SplitSeq(o.only, ",") {
		i := slices.IndexFunc(all, func(s section) bool { return s.name == name })
		if i < 0 {
			return nil, usageError{fmt.Errorf("there is no section %q; there are %s, and with --peers those of the peers", name, sectionNames())}
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// scale is how long and how large a run is.
type scale struct {
	slice, login time.Duration // of one turn, of HTTP and of logins
	turns        int           // of each side
	stores       int           // of each side, over PostgreSQL and over the file
	pool         int           // sessions for one slice of refreshes
	big          int           // users, and sessions, of the large file
	rounds       int           // refreshes of each of those
	expired      int           // sessions to sweep
	flat         time.Duration // of the load under which memory is watched
	limit        time.Duration
}

func (o options) scale() scale {
	s := scale{slice: 3 * time.Second, login: 10 * time.Second, turns: 5, stores: 5, pool: 6000,
		big: 200_000, rounds: 2, expired: 200_000, flat: time.Minute, limit: 30 * time.Minute}
	switch {
	case o.quick:
		s = scale{slice: time.Second, login: 2 * time.Second, turns: 3, stores: 2, pool: 1500,
			big: 50_000, rounds: 1, expired: 20_000, flat: 4 * time.Second, limit: 2*time.Minute - 5*time.Second}
	case o.long:
		s.big, s.expired, s.flat, s.limit = 5_000_000, 1_000_000, time.Hour, 6*time.Hour
	}
	if o.peers {
		s.limit += 20 * time.Minute
	}
	if o.many > 0 {
		s.big = o.many
	}
	if o.limit > 0 {
		s.limit = o.limit
	}
	return s
}
