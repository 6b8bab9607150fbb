package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// BenchmarkStart measures from the start of the real binary to its first good answer on
// existing data, in turns with a directory that holds only keys. SIGNET_BENCH_DATA is a
// directory with a large database, such as BenchmarkScaleOpen in boltstore keeps; its
// keys are made by the first start.
func BenchmarkStart(b *testing.B) {
	few := filepath.Join(b.TempDir(), "few")
	large := os.Getenv("SIGNET_BENCH_DATA")
	if large == "" {
		large = filepath.Join(b.TempDir(), "large")
	}
	firstAnswer(b, few)
	firstAnswer(b, large)
	var onFew, onLarge []time.Duration
	for b.Loop() {
		onFew = append(onFew, firstAnswer(b, few))
		onLarge = append(onLarge, firstAnswer(b, large))
	}
	middle := func(took []time.Duration) float64 {
		slices.Sort(took)
		return float64(took[len(took)/2]) / float64(time.Millisecond)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(middle(onLarge), "ms/start")
	b.ReportMetric(middle(onFew), "ms/start-on-few")
}

// firstAnswer starts a server, waits for its key set, and kills it.
func firstAnswer(b *testing.B, dir string) time.Duration {
	b.Helper()
	addr, err := freeAddress()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(binary, "serve", "--data", dir, "--listen", addr, "--issuer", "http://"+addr)
	cmd.Env = testEnv()
	said := new(lockedBuffer)
	cmd.Stderr = said
	start := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	for time.Since(start) < 60*time.Second {
		if keySetAnswers(addr) == nil {
			return time.Since(start)
		}
		time.Sleep(time.Millisecond) // the resolution of the figure
	}
	b.Fatalf("no answer from %s:\n%s", addr, said)
	return 0
}

func keySetAnswers(addr string) error {
	resp, err := http.Get("http://" + addr + "/.well-known/jwks.json")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}
