package main

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
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

// TestLinearReplicas is TestLinearOneProcess for three replicas over PostgreSQL, of which any
// is killed and comes back, as does the database.
func TestLinearReplicas(t *testing.T) {
	cluster := pgtest.New(t, pgtest.Options{}) // no other test's: it is restarted
	for _, window := range linearWindows {
		t.Run(window.String(), func(t *testing.T) {
			replicas := startReplicas(t, 3, cluster.Database(t), window)
			run := &linearRun{t: t, replicas: replicas, window: window}
			run.faults = func(chance *rand.Rand, _ *linear.History) []linear.Fault {
				crash := func() error {
					r := replicas[chance.IntN(len(replicas))]
					r.kill()
					r.process = r.start()
					return nil
				}
				restart := func() error { cluster.Restart(t); return nil }
				faults := []linear.Fault{{Do: crash}, {Do: restart}}
				chance.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
				faults[0].After = 40 + chance.IntN(100)
				faults[1].After = faults[0].After + 1 + chance.IntN(100)
				return faults
			}
			run.histories(4 * time.Second)
			run.expectSeen()
		})
	}
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
