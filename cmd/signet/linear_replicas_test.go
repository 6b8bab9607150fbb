package main

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"signet/internal/control"
	"signet/internal/linear"
	"signet/internal/pgtest"
)

// startReplicas starts processes that share a database and a sealing key, each with a
// directory of its own.
func startReplicas(t *testing.T, n int, database string, window time.Duration) []*issuerProcess {
	t.Helper()
	dir := t.TempDir()
	var all []*issuerProcess
	for i := range n {
		name := fmt.Sprintf("r%d", i)
		env := append(linearEnv(window), "SIGNET_STORE="+database, "SIGNET_SEAL_KEY="+filepath.Join(dir, "seal.key"))
		all = append(all, startProcess(t, filepath.Join(dir, name), control.Rotation{}, env, "--replica", name))
	}
	return all
}

// TestLinearReplicas is TestLinearOneProcess for three replicas over PostgreSQL. One of them is
// killed and comes back, one stands still in the middle of its requests, and the
// database is restarted.
func TestLinearReplicas(t *testing.T) {
	cluster := pgtest.New(t, pgtest.Options{}) // no other test's: it is restarted
	for _, window := range linearWindows {
		t.Run(window.String(), func(t *testing.T) {
			replicas := startReplicas(t, 3, cluster.Database(t), window)
			run := &linearRun{t: t, replicas: replicas, window: window}
			run.faults = func(chance *rand.Rand, _ *linear.History) []linear.Fault {
				return replicaFaults(t, chance, replicas, cluster)
			}
			run.histories(4 * time.Second)
			run.expectSeen()
		})
	}
}

// replicaFaults are a crash, a pause and a restart of the database, in any order, and now and
// then a restart within the pause.
func replicaFaults(t *testing.T, chance *rand.Rand, replicas []*issuerProcess, cluster *pgtest.Cluster) []linear.Fault {
	crashed, paused := replicas[chance.IntN(len(replicas))], replicas[chance.IntN(len(replicas))]
	crash := func() error { crashed.kill(); crashed.process = crashed.start(); return nil }
	restart := func() error { cluster.Restart(t); return nil }
	pause := func() error { return paused.signal(syscall.SIGSTOP) }
	resume := func() error { return paused.signal(syscall.SIGCONT) }

	// A pause is short: while one replica stands still all clients come to wait for it.
	still := []linear.Fault{{After: 1 + chance.IntN(60), Do: pause}, {After: 2, Do: resume}}
	if chance.IntN(2) == 0 {
		still = []linear.Fault{still[0], {After: 1, Do: restart}, {After: 1, Do: resume}}
	}
	groups := [][]linear.Fault{{{After: 1 + chance.IntN(60), Do: crash}}, {{After: 1 + chance.IntN(60), Do: restart}}, still}
	chance.Shuffle(len(groups), func(i, j int) { groups[i], groups[j] = groups[j], groups[i] })
	faults := slices.Concat(groups...)
	for i := range faults[1:] {
		faults[i+1].After += faults[i].After
	}
	return faults
}

// TestParallelRefreshesOverReplicas presents one refresh token 16 times at once to three
// replicas: all get the same successor, and the session has one chain.
func TestParallelRefreshesOverReplicas(t *testing.T) {
	const rounds, parallel = 20, 16
	replicas := startReplicas(t, 3, pgtest.Start(t).Database(t), 5*time.Minute)
	run := &linearRun{t: t, replicas: replicas}
	user := run.accounts(0)[0]
	token := replicas[0].Do(t.Context(), linear.Request{Kind: linear.Login, User: user}).Token
	first := token
	for round := range rounds {
		replies := make([]linear.Reply, parallel)
		var group sync.WaitGroup
		for i := range replies {
			group.Go(func() {
				replies[i] = replicas[i%len(replicas)].Do(t.Context(), linear.Request{Kind: linear.Refresh, Token: token})
			})
		}
		group.Wait()
		successors := map[string]int{}
		for _, reply := range replies {
			if reply.Answer != linear.Done {
				t.Fatalf("round %d: %v %s", round, reply.Answer, reply.Detail)
			}
			successors[claimsOf(t, reply.Token).ID]++
		}
		if len(successors) != 1 {
			t.Fatalf("round %d: %d successors of one token: %v", round, len(successors), successors)
		}
		token = replies[0].Token
	}
	for _, old := range []string{first, token} {
		if reply := replicas[1].Do(t.Context(), linear.Request{Kind: linear.Refresh, Token: old}); reply.Answer != linear.Refused {
			t.Errorf("an old token was presented, and the session goes on: %v %s", reply.Answer, reply.Detail)
		}
	}
}
