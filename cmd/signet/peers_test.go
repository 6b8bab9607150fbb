package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"signet/internal/control"
	"signet/internal/pgtest"
)

// fetch asks a replica for the key set under a name.
func (r *replica) fetch(t *testing.T, name string) {
	t.Helper()
	if status, body := ask(t, http.MethodGet, r.base+"/.well-known/jwks.json?rs="+name, nil); status != http.StatusOK {
		t.Fatalf("the key set of %s: %d %s", r.name, status, body)
	}
}

func (r *replica) consumers(t *testing.T) (list control.ConsumerList) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.must(t, "", "keys", "consumers", "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// awaitConsumers waits until a replica knows of that many servers and consumers.
func (r *replica) awaitConsumers(t *testing.T, servers, consumers int) {
	t.Helper()
	err := waitFor(15*time.Second, func() error {
		if list := r.consumers(t); len(list.Servers) != servers || len(list.Consumers) != consumers {
			return fmt.Errorf("%s knows %+v of %+v", r.name, list.Consumers, list.Servers)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRotationWaitsForConsumersOfAllReplicas: who fetched at one server is known at the
// others, which wait for it, and whose wait a fetch at a third one ends.
func TestRotationWaitsForConsumersOfAllReplicas(t *testing.T) {
	t.Parallel()
	all := replicas(t, pgtest.Start(t).Database(t), 3, "SIGNET_KEYS_ALGORITHMS=ES256", "SIGNET_KEYS_JWKS_MAX_AGE=1s", "SIGNET_KEYS_PUBLISH_AHEAD=1h")
	a, b, c := all[0], all[1], all[2]
	b.fetch(t, "orders")
	a.awaitConsumers(t, 3, 1)

	out, errs, err := a.signet(t, "", "keys", "rotate", "--wait", "--for", "1s")
	if err == nil || !strings.HasPrefix(out, "CONSUMER  LAST FETCH\norders ") || !strings.Contains(errs, "1 consumer has not fetched the new key within 1s; the new key stays held") ||
		!strings.Contains(errs, "the first of 3 servers has run since ") {
		t.Fatalf("a rotation that the consumer of another server lacks: %v\n%s%s", err, out, errs)
	}
	waiting := exec.CommandContext(t.Context(), binary, "keys", "rotate", "--wait", "--for", "60s")
	waiting.Env = a.environment()
	log, done := new(lockedBuffer), make(chan error, 1)
	waiting.Stderr, waiting.Stdout = log, log
	if err := waiting.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { done <- waiting.Wait() }()
	if err := waitFor(10*time.Second, func() error {
		if !strings.Contains(log.String(), "waiting for 1 consumer") {
			return fmt.Errorf("it does not wait:\n%s", log)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := waitFor(10*time.Second, func() error { // c publishes the key within an interval
		if kids := c.kids(t); len(kids) != 2 {
			return fmt.Errorf("%s publishes %v", c.name, kids)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		t.Fatalf("it did not wait: %v\n%s", err, log)
	default:
	}
	began := time.Now()
	c.fetch(t, "orders")
	select {
	case err := <-done:
		if err != nil || !strings.Contains(log.String(), "ES256: key ") || !strings.Contains(log.String(), "signs from ") {
			t.Errorf("after a fetch at a third server: %v\n%s", err, log)
		}
	case <-time.After(15 * time.Second):
		waiting.Process.Kill()
		<-done
		t.Fatalf("a fetch at a third server does not end it:\n%s", log)
	}
	t.Logf("it ended %s after the fetch", time.Since(began).Round(10*time.Millisecond))
}

// TestConsumersOfReplicas: the counts are those of all, outlive the server that knows them,
// and say what is not known.
func TestConsumersOfReplicas(t *testing.T) {
	t.Parallel()
	cluster := pgtest.New(t, pgtest.Options{})
	all := replicas(t, cluster.Database(t), 3, "SIGNET_KEYS_ALGORITHMS=ES256")
	a, b, c := all[0], all[1], all[2]
	a.must(t, replicaPassword+"\n", "users", "add", "kyoko", "--password-stdin")
	for _, r := range all {
		if _, err := login(t.Context(), client, r.base, "kyoko", replicaPassword); err != nil {
			t.Fatal(err)
		}
	}
	b.fetch(t, "billing")
	c.fetch(t, "billing")
	c.fetch(t, "orders")
	a.awaitConsumers(t, 3, 2)
	kid := a.kids(t)[0] // of a consumer without a name, which b hears of
	b.awaitConsumers(t, 3, 3)

	var shown shownKey
	err := waitFor(15*time.Second, func() error {
		if err := json.Unmarshal([]byte(a.must(t, "", "keys", "show", kid, "-o", "json")), &shown); err != nil || shown.Use.AccessTokens != 3 || shown.Use.RefreshTokens != 3 {
			return fmt.Errorf("%+v, %v", shown.Use, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	out := a.must(t, "", "keys", "show", kid)
	if !strings.Contains(out, "3 access, 3 refresh, from 3 servers on this database, since the last of them started at ") || !strings.Contains(out, "3 of 3 have it") {
		t.Errorf("keys show:\n%s", out)
	}
	t.Log(out)

	b.terminate(t) // says that it ends
	c.kill()
	err = waitFor(50*time.Second, func() error {
		out = a.must(t, "", "keys", "consumers")
		if !strings.Contains(out, "the server replica-2 is not heard of since ") {
			return fmt.Errorf("it does not say what is not known:\n%s", out)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if strings.Contains(out, "the server replica-1") || !strings.Contains(out, "\nbilling ") || !strings.Contains(out, "\norders ") {
		t.Errorf("with one server that ended and one that was killed:\n%s", out)
	}
	t.Log(out)

	expectApart(t, b, "orders")
	a.terminate(t)
	if out := b.must(t, "", "keys", "consumers"); !strings.Contains(out, "this is what the servers told the database, and none is heard of since ") {
		t.Errorf("with no server at all:\n%s", out)
	}
	a.start(t, strings.TrimPrefix(a.base, "http://"), a.base, "SIGNET_KEYS_ALGORITHMS=ES256")

	cluster.Stop(t)
	if out := a.must(t, "", "keys", "consumers"); !strings.Contains(out, "this is of one server alone: ") || strings.Contains(out, "orders") {
		t.Errorf("without the database:\n%s", out)
	}
}

// expectApart: where no server runs, the database says who fetched from the others. Nobody
// waits for consumers there.
func expectApart(t *testing.T, r *replica, name string) {
	t.Helper()
	list := r.consumers(t)
	if !list.Apart || len(list.Servers) != 3 || list.Unheard != "" || !slices.ContainsFunc(list.Consumers, func(c control.Consumer) bool { return c.Name == name }) {
		t.Errorf("without a server here: %+v", list)
	}
	out := r.must(t, "", "keys", "consumers")
	if !strings.Contains(out, "from 3 servers on this database, since the first of them started at ") || strings.Contains(out, "none is heard of") ||
		!strings.Contains(out, "no server runs here: this is what the servers told the database\n") {
		t.Errorf("without a server here:\n%s", out)
	}
	t.Log(out)
	_, errs, err := r.signet(t, "", "keys", "rotate", "--wait", "--for", "1s")
	if err == nil || !strings.Contains(errs, "only a running server can wait for consumers, and none is running here\n  try: signet serve") {
		t.Errorf("keys rotate --wait without a server here: %v\n%s", err, errs)
	}
	if kids := r.must(t, "", "keys", "list"); strings.Contains(kids, "held") {
		t.Errorf("it holds a key:\n%s", kids)
	}
}
