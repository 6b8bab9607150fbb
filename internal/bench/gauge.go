package main

import "context"

// gauge is something that grows with each request.
type gauge struct {
	read func(ctx context.Context) (float64, error)
	// grown is by how much, for each request of a slice.
	grown []float64
}

// gauged measures as side does, and by how much the gauges grow.
func (l *lab) gauged(what load, s *seen, gauges ...*gauge) side {
	return func(ctx context.Context) (float64, error) {
		before, err := readAll(ctx, gauges)
		if err != nil {
			return 0, err
		}
		o, err := l.run(ctx, what, l.scale.slice)
		if err != nil {
			return 0, err
		}
		after, err := readAll(ctx, gauges)
		if err != nil {
			return 0, err
		}
		for i, g := range gauges {
			g.grown = append(g.grown, (after[i]-before[i])/float64(o.Requests))
		}
		s.p99, s.cpu = append(s.p99, o.p99()), append(s.cpu, o.CPU)
		return o.rate(), nil
	}
}

func readAll(ctx context.Context, gauges []*gauge) ([]float64, error) {
	var values []float64
	for _, g := range gauges {
		v, err := g.read(ctx)
		if err != nil {
			return nil, err
		}
		values = append(values, v)
	}
	return values, nil
}

// cpuGauge is the time in µs that a process has had of the cores, with its children.
func cpuGauge(pid int) *gauge {
	return &gauge{read: func(context.Context) (float64, error) {
		used, err := cpuOf(pid)
		return float64(used.Microseconds()), err
	}}
}

// walGauge is how many bytes of WAL there ever were.
func (db *database) walGauge() *gauge {
	return &gauge{read: func(ctx context.Context) (bytes float64, err error) {
		err = db.Query(ctx, db.url, "SELECT (pg_current_wal_insert_lsn() - '0/0')::float8", &bytes)
		return bytes, err
	}}
}
