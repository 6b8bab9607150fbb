package main

import (
	"context"
	"slices"
	"time"
)

// side measures one slice.
type side func(ctx context.Context) (float64, error)

// inTurns measures all sides in turns, so that each meets the same machine, and returns
// the median of each.
func inTurns(ctx context.Context, turns int, sides ...side) ([]float64, error) {
	got := make([][]float64, len(sides))
	for range turns {
		for i, measure := range sides {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			v, err := measure(ctx)
			if err != nil {
				return nil, err
			}
			got[i] = append(got[i], v)
		}
	}
	medians := make([]float64, len(sides))
	for i := range got {
		medians[i] = median(got[i])
	}
	return medians, nil
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return unknown
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// rate is how often op runs in a second, in one goroutine, for about so long.
func rate(op func() error, slice time.Duration) side {
	return func(context.Context) (float64, error) {
		begun, n := time.Now(), 0
		for time.Since(begun) < slice {
			for range 8 {
				if err := op(); err != nil {
					return 0, err
				}
			}
			n += 8
		}
		return float64(n) / time.Since(begun).Seconds(), nil
	}
}
