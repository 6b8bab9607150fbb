package main

import (
	"context"
	"net/http"
	"net/url"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"
)

// loginLoad logs in with the right password.
func loginLoad(base string) load {
	body := url.Values{"username": {account}, "password": {password}}.Encode()
	return load{url: base + "/api/token/", method: http.MethodPost, headers: form(), body: body, connections: 4 * runtime.NumCPU()}
}

// loginLead is how long each side runs before it counts: a process that has been idle
// gets its memory from the system anew, and the other side was idle.
const loginLead = time.Second

func measureLogin(ctx context.Context, l *lab) error {
	dir, err := l.fresh("login")
	if err != nil {
		return err
	}
	s, err := l.serve(ctx, dir)
	if err != nil {
		return err
	}
	defer s.Stop()
	return l.compareLogins(ctx, workLogin, s, l.scale.turns, l.scale.login)
}

// compareLogins measures logins beside what hashes the cores can make.
func (l *lab) compareLogins(ctx context.Context, work string, s *server, turns int, slice time.Duration) error {
	var cpu []float64
	login := func(ctx context.Context) (float64, error) {
		if _, err := l.run(ctx, loginLoad(s.url), loginLead); err != nil {
			return 0, err
		}
		o, err := l.run(ctx, loginLoad(s.url), slice)
		cpu = append(cpu, o.CPU)
		return o.rate(), err
	}
	raw := func(context.Context) (float64, error) {
		hashRate(loginLead)
		return hashRate(slice), nil
	}
	got, err := inTurns(ctx, turns, login, raw)
	if err != nil {
		return err
	}
	l.foundUnder(work, got[0], got[1], median(cpu), "")
	return nil
}

// hashRate is how many hashes of the default cost all cores end in a second. What is
// under way at the end does not count, as it does not for wrk.
func hashRate(slice time.Duration) float64 {
	var ended atomic.Int64
	var all sync.WaitGroup
	deadline := time.Now().Add(slice)
	for range runtime.NumCPU() {
		all.Go(func() {
			for time.Now().Before(deadline) {
				argon2.IDKey([]byte(password), []byte("sixteen bytes..."), 2, 19*1024, 1, 32)
				if time.Now().Before(deadline) {
					ended.Add(1)
				}
			}
		})
	}
	all.Wait()
	return float64(ended.Load()) / slice.Seconds()
}
