// Package ofraw measures, for benchmarks, how near a piece of work comes to the
// limit that the machine sets: the bare signature inside it, for example.
//
// Start at [Report]. A ratio is all that it says for sure: the speed of a shared
// machine swings by more than what there is to see. Hence the work and its limit run in
// turns, each short enough that most meet no interruption; a turn is compared with its
// neighbour, and the median of these ratios is the result.
package ofraw

import (
	"slices"
	"testing"
	"time"
)

// Report runs work and limit in turns of so many calls until b has had enough, and
// reports the share of the limit that the work reaches as "of-raw".
func Report(b *testing.B, turn int, work, limit func()) {
	var works, limits, ratios []float64 // ns for a call, by turn
	for b.Loop() {
		w, l := timed(turn, work), timed(turn, limit)
		works, limits, ratios = append(works, w), append(limits, l), append(ratios, l/w)
	}
	b.ReportMetric(0, "ns/op") // of both together: it says nothing
	b.ReportMetric(median(works), "ns/work")
	b.ReportMetric(median(limits), "ns/raw")
	b.ReportMetric(median(ratios), "of-raw")
	b.ReportMetric(testing.AllocsPerRun(turn, work), "allocs/work")
	b.ReportMetric(testing.AllocsPerRun(turn, limit), "allocs/raw")
}

func timed(calls int, op func()) float64 {
	began := time.Now()
	for range calls {
		op()
	}
	return float64(time.Since(began)) / float64(calls)
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
