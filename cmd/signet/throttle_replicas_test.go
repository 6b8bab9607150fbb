package main

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"signet/internal/pgtest"
	"signet/internal/store/pgstore"
	"signet/internal/throttle"
)

// TestGuesserAtThreeReplicas: who guesses at all servers at once gets hardly more tries
// than at one, and three times as many if they did not tell each other.
func TestGuesserAtThreeReplicas(t *testing.T) {
	t.Parallel()
	const (
		free, doublings, maxWait = 5, 3, 8 * time.Second
		lasts                    = 2 * maxWait
		most                     = free + doublings + 1 + int(lasts/maxWait) + 2*(3-1)
	)
	url := pgtest.Start(t).Database(t)
	all := replicas(t, url, 3, "SIGNET_THROTTLE_MAX_WAIT="+maxWait.String())
	all[0].must(t, pw+"\n", "users", "add", "kyoko", "--password-stdin")
	hear(t, url, all)
	passed := make([]int, len(all))
	var guessers errgroup.Group
	for i, r := range all {
		guessers.Go(func() error {
			pace := time.NewTicker(50 * time.Millisecond)
			defer pace.Stop()
			for began := time.Now(); time.Since(began) < lasts; <-pace.C {
				switch status, body, _ := tryLogin(t, r.base, "kyoko", "wrong", ""); status {
				case http.StatusUnauthorized:
					passed[i]++
				case http.StatusTooManyRequests:
				default:
					return &statusError{status: status, body: body}
				}
			}
			return nil
		})
	}
	if err := guessers.Wait(); err != nil {
		t.Fatal(err)
	}
	total := passed[0] + passed[1] + passed[2]
	t.Logf("%d tries passed in %s: %v", total, lasts, passed)
	if total > most || total < free {
		t.Errorf("%d tries passed, want %d at most", total, most)
	}
}

// hear waits until the servers know of each other: each has told of a failure after all
// had told that they are there.
func hear(t *testing.T, url string, all []*replica) {
	t.Helper()
	table, err := pgstore.Open(t.Context(), url, pgstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	told := func(least int64) error {
		batches, err := table.Exchange(t.Context(), throttle.Batch{Replica: 1}, nil)
		if err != nil {
			return err
		}
		last := make(map[int64]int64)
		for _, b := range batches {
			last[b.Replica] = b.Number
		}
		for _, number := range last {
			if number < least {
				return fmt.Errorf("last batches %v", last)
			}
		}
		if len(last) != len(all) {
			return fmt.Errorf("%d servers are there", len(last))
		}
		return nil
	}
	if err := waitFor(10*time.Second, func() error { return told(1) }); err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		tryLogin(t, r.base, "nobody", "wrong", "")
	}
	if err := waitFor(10*time.Second, func() error { return told(2) }); err != nil {
		t.Fatal(err)
	}
}
