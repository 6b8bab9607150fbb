package main

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestWhichOfManySessionsAreRefreshed: one pool has those that began last, the other as
// many from all over the rest.
func TestWhichOfManySessionsAreRefreshed(t *testing.T) {
	l := &lab{scale: scale{pool: 10, turns: 5, big: 1033}}
	f, err := l.pools()
	if err != nil {
		t.Fatal(err)
	}
	var anyone, newest []int
	for i := range l.scale.big {
		switch p := f.wants(i); p {
		case nil:
		case f.newest:
			newest, p.tokens = append(newest, i), append(p.tokens, "token")
		case f.anyone:
			anyone, p.tokens = append(anyone, i), append(p.tokens, "token")
		}
	}
	if len(newest) != 100 || newest[0] != 933 || newest[99] != 1032 {
		t.Errorf("the newest are %v", newest)
	}
	if len(anyone) != 100 || anyone[0] != 0 || anyone[99] < 850 {
		t.Errorf("those from all over are %v", anyone)
	}
	l.scale.big = 199
	if _, err := l.pools(); err == nil || !strings.Contains(err.Error(), "many sessions are 200 at least") {
		t.Errorf("too few sessions for the pools: %v", err)
	}
}

// TestLargeSectionsAreAskedFor: by --long, or by name.
func TestLargeSectionsAreAskedFor(t *testing.T) {
	for _, c := range []struct {
		options options
		want    bool
	}{
		{options{}, false},
		{options{quick: true}, false},
		{options{long: true}, true},
		{options{only: "jwks,postgres-many"}, true},
		{options{only: "jwks"}, false},
	} {
		chosen, err := choose(c.options)
		if got := slices.ContainsFunc(chosen, func(s section) bool { return s.name == "postgres-many" }); err != nil || got != c.want {
			t.Errorf("%+v: chosen %t, %v, want %t", c.options, got, err, c.want)
		}
	}
}

func TestProcessorTimeOfAProcess(t *testing.T) {
	before, err := cpuOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		after, err := cpuOf(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if after >= before+100*time.Millisecond {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a busy process had %v, and 20 s later %v", before, after)
		}
	}
	if _, err := cpuGauge(1 << 30).read(context.Background()); err == nil || !strings.Contains(err.Error(), "nothing of process") {
		t.Errorf("a process that is not there: %v", err)
	}
}
