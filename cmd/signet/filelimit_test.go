package main

import (
	"math"
	"testing"
)

func TestPublicConnections(t *testing.T) {
	for files, want := range map[uint64]int{
		0: 1, 64: 16, 256: 144, 1024: 912, 20_000: maxConnections, math.MaxUint64: maxConnections,
	} {
		if got, do := publicConnections(files); got != want || do == "" {
			t.Errorf("%d connections for %d files, want %d; %q", got, files, want, do)
		}
	}
}
