// Package ofraw measures, for benchmarks, how near a piece of work comes to the
// limit that the machine sets: the bare signature inside it, for example.
//
// Start at [Report]. A ratio is all that it says for sure: the speed of a shared
// machine swings by more than what there is to see, so that the work and its limit
// run in turns, and the medians of many short turns are compared.
package ofraw

import (
	"slices"
	"testing"
	"time"
)

// Report runs work and limit in turns of so many calls until b has had enough, and
// reports the share of the limit that the work reaches as "of-raw".
func Report(b *testing.B, turn int, work, limit func()) {
	var spent [2][]float64 // ns for a call, by turn
	for b.Loop() {
		for i, op := range []func(){work, limit} {
			began := time.Now()
			for range turn {
				op()
			}
			spent[i] = append(spent[i], float64(time.Since(began))/float64(turn))
		}
	}
	medianWork, medianLimit := median(spent[0]), median(spent[1])
	b.ReportMetric(0, "ns/op") // of both together: it says nothing
	b.ReportMetric(medianWork, "ns/work")
	b.ReportMetric(medianLimit, "ns/raw")
	b.ReportMetric(medianLimit/medianWork, "of-raw")
	b.ReportMetric(testing.AllocsPerRun(turn, work), "allocs/work")
	b.ReportMetric(testing.AllocsPerRun(turn, limit), "allocs/raw")
}

func median(values []float64) float64 {
	slices.Sort(values)
	return values[len(values)/2]
}
