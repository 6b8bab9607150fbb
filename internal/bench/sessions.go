package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"signet/internal/child"
)

// large is a database with many users and sessions, each refreshed some times.
type large struct {
	dir    string
	tokens *pool
	// size is what a session takes of the file, used what its records take, in bytes.
	size, used float64
}

func (l *lab) makeLarge(ctx context.Context) (*large, error) {
	dir, err := l.fresh("large")
	if err != nil {
		return nil, err
	}
	ids, err := l.addUsers(ctx, dir, l.scale.big)
	if err != nil {
		return nil, err
	}
	sizeBefore, usedBefore, err := measureFile(dir)
	if err != nil {
		return nil, err
	}
	tokens, err := l.addSessions(ctx, dir, ids)
	if err != nil {
		return nil, err
	}
	size, used, err := measureFile(dir)
	if err != nil {
		return nil, err
	}
	n := float64(len(ids))
	return &large{dir, &pool{tokens: tokens, part: l.scale.pool}, (size - sizeBefore) / n, (used - usedBefore) / n}, nil
}

func (l *lab) addUsers(ctx context.Context, dir string, n int) ([]string, error) {
	s, err := openSeeder(ctx, dir, l.issuerURL(), nil)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.users(ctx, n)
}

func (l *lab) addSessions(ctx context.Context, dir string, ids []string) ([]string, error) {
	s, err := openSeeder(ctx, dir, l.issuerURL(), nil)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	tokens, err := s.sessions(ctx, ids, l.scale.pool*(l.scale.turns+1))
	for range l.scale.rounds {
		if err == nil {
			err = s.refresh(ctx, tokens)
		}
	}
	return tokens, err
}

// measureFile is what the pages of a database take, and how much of it are records. Free
// pages, which the next writes take, are not among them: there are as many as some writes
// at once have touched, however large the file is.
func measureFile(dir string) (size, used float64, err error) {
	path := filepath.Join(dir, "signet.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: 10 * time.Second})
	if err != nil {
		return 0, 0, err
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			stats := b.Stats()
			size += float64(stats.LeafAlloc + stats.BranchAlloc)
			used += float64(stats.LeafInuse)
			return nil
		})
	})
	return size, used, err
}

func measureSessions(ctx context.Context, l *lab) error {
	big, err := l.makeLarge(ctx)
	if err != nil {
		return err
	}
	note := fmt.Sprintf("%d users and sessions, each refreshed %d times", l.scale.big, l.scale.rounds)
	l.foundUnder(workSessionSize, big.size, big.used, unknown, note)
	if err := l.measureStart(ctx, workStart, func() (*server, error) { return l.launch(big.dir, l.address) }); err != nil {
		return err
	}
	dir, tokens, err := l.withSessions(ctx, "small", l.scale.turns+1)
	if err != nil {
		return err
	}
	small, err := l.serve(ctx, dir)
	if err != nil {
		return err
	}
	defer small.Stop()
	full, err := l.serveElsewhere(ctx, big.dir)
	if err != nil {
		return err
	}
	defer full.Stop()
	return l.compareSizes(ctx, full, small, big.tokens, tokens)
}

// serveElsewhere starts a second issuer.
func (l *lab) serveElsewhere(ctx context.Context, dir string) (*server, error) {
	address, err := child.FreeAddress()
	if err != nil {
		return nil, err
	}
	return l.serveAt(ctx, dir, address)
}

// compareSizes compares two servers that differ in the size of their files.
func (l *lab) compareSizes(ctx context.Context, full, small *server, inFull, inSmall *pool) error {
	if err := l.compareMemory(full, small); err != nil {
		return err
	}
	got, load, _, err := l.beside(ctx, time.Second, refreshLoad(full.url, inFull), refreshLoad(small.url, inSmall))
	if err != nil {
		return err
	}
	l.foundUnder(workSessions, got[0], got[1], median(load.cpu), "")
	return nil
}

func (l *lab) compareMemory(full, small *server) error {
	f, err := full.resident("RssAnon")
	if err != nil {
		return err
	}
	s, err := small.resident("RssAnon")
	if err != nil {
		return err
	}
	l.found(workMemoryBig, f, s)
	return nil
}

// measureStart is from the start of a process to its first 200.
func (l *lab) measureStart(ctx context.Context, work string, start func() (*server, error)) error {
	issuer := func(ctx context.Context) (float64, error) { return firstAnswer(ctx, "/readyz", start) }
	bare := func(ctx context.Context) (float64, error) {
		return firstAnswer(ctx, "/", func() (*server, error) { return l.launchBare(filler()) })
	}
	got, err := inTurns(ctx, l.scale.turns, issuer, bare)
	if err != nil {
		return err
	}
	l.found(work, got[0], got[1])
	return nil
}

func firstAnswer(ctx context.Context, path string, start func() (*server, error)) (float64, error) {
	begun := time.Now()
	s, err := start()
	if err != nil {
		return 0, err
	}
	defer s.Stop()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		if _, err = get(ctx, s.url+path); err == nil {
			return time.Since(begun).Seconds() * 1000, nil
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("no answer: %w: %s", err, s.Output)
		case <-s.Ended:
			return 0, fmt.Errorf("it ended by itself: %s", s.Output)
		case <-time.After(time.Millisecond):
		}
	}
}
