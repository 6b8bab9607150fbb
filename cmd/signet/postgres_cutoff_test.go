package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"signet/internal/control"
	"signet/internal/pgtest"
	"signet/keystore"
)

// TestAgeOfTheKeysOfAReplica: a replica that cannot read the keys, or cannot take them, says
// how old those are that it shows, and what it does with them; one that reads them does not.
func TestAgeOfTheKeysOfAReplica(t *testing.T) {
	t.Parallel()
	cluster := pgtest.New(t, pgtest.Options{})
	all := replicas(t, cluster.Database(t), 2, "SIGNET_KEYS_ALGORITHMS=ES256")
	a, b := all[0], all[1]
	b.current(t)

	a.must(t, "", "keys", "reseal")
	b.ageing(t, keystore.StaleAfter, "if another replica has changed it (signet keys reseal), copy its file here",
		"  this server signs nothing until it reads them again; it publishes them and verifies with them for 4m")
	copySealKey(t, a.dir, b.dir)
	if err := waitFor(15*time.Second, func() error { return notLate(b.keysRead(t)) }); err != nil {
		t.Fatal(err)
	}
	b.current(t)

	cluster.Stop(t)
	b.ageing(t, keystore.PollInterval+time.Second, "load the keys: ", "  this server signs with them for ")
	b.ageing(t, keystore.StaleAfter, "load the keys: ", "  this server signs nothing until it reads them again; it goes on publishing them and verifying with them")
	if got := scrape(t, b.ops).series["signet_keys_read_age_seconds"]; got < keystore.StaleAfter.Seconds() || got > 120 {
		t.Errorf("signet_keys_read_age_seconds is %v", got)
	}
}

func (r *replica) keysRead(t *testing.T) *control.KeysRead {
	t.Helper()
	var list control.KeyList
	if err := json.Unmarshal([]byte(r.must(t, "", "keys", "list", "-o", "json")), &list); err != nil || list.Read == nil {
		t.Fatalf("keys list does not say when the keys were read: %v", err)
	}
	return list.Read
}

func notLate(read *control.KeysRead) error {
	if read.Late || read.Failing != "" || read.AgeSeconds > keystore.PollInterval.Seconds()+1 {
		return fmt.Errorf("late: %+v", read)
	}
	return nil
}

// current: nothing is said of keys that are read in time.
func (r *replica) current(t *testing.T) {
	t.Helper()
	if err := notLate(r.keysRead(t)); err != nil {
		t.Error(err)
	}
	if out := r.must(t, "", "keys", "list"); strings.Contains(out, " old, as this server last read them") {
		t.Errorf("keys that are read in time:\n%s", out)
	}
}

var keysAge = regexp.MustCompile(`(?m)^these keys are (\d+s) old, as this server last read them from the database at \S+ \S+ UTC$`)

// ageing waits until the keys are so old, and checks what is said of them.
func (r *replica) ageing(t *testing.T, least time.Duration, says ...string) {
	t.Helper()
	err := waitFor(least+15*time.Second, func() error {
		if read := r.keysRead(t); read.AgeSeconds < least.Seconds() || !read.Late || read.Failing == "" {
			return fmt.Errorf("keys list says %+v", read)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	out := r.must(t, "", "keys", "list")
	t.Log(out)
	if m := keysAge.FindStringSubmatch(out); m == nil {
		t.Error("it says no age")
	} else if age, err := time.ParseDuration(m[1]); err != nil || age < least-time.Second {
		t.Errorf("age %s, want %s at least", m[1], least)
	}
	for _, want := range append(says, "  what was rotated or revoked at other servers since then is not known here") {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q", want)
		}
	}
}
