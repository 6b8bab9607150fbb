package main

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// TestGoRuntime: while writes are made there are more places where Go code runs, and
// the heap of an idle server is not collected at every turn.
func TestGoRuntime(t *testing.T) {
	s := serveScraped(t)
	one := func(name string) float64 {
		t.Helper()
		value, ok := scrape(t, s.ops).series[name]
		if !ok {
			t.Fatalf("%s is not measured", name)
		}
		return value
	}
	places := func(want float64) {
		t.Helper()
		if err := waitFor(10*time.Second, func() error {
			if got := one("go_sched_gomaxprocs_threads"); got != want {
				return fmt.Errorf("%v places for Go code, want %v", got, want)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	cores := one("signet_password_hash_slots")
	places(cores)
	if status, body := ask(t, http.MethodGet, s.base+"/readyz", nil); status != http.StatusOK {
		t.Fatal(status, body) // it writes
	}
	places(widening * cores)
	places(cores)
	if next := one("go_memstats_next_gc_bytes"); next < 2*spareBytes {
		t.Errorf("the heap is collected at %v bytes", next)
	}
}
