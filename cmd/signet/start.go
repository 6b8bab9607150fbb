package main

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"signet/configs"
	"signet/internal/store/pgstore"
)

const (
	// databaseWait is how long a start waits for a database that is not there.
	databaseWait = time.Minute
	// firstPause and longestPause bound the pause between two tries.
	firstPause   = 250 * time.Millisecond
	longestPause = 5 * time.Second
	// sayWaiting is how often the log says that it still waits.
	sayWaiting = 20 * time.Second

	// extendEvery is how often a start asks the service manager for more time, and
	// extendBy for how much.
	extendEvery = 5 * time.Second
	extendBy    = 30 * time.Second
)

// start makes the server, and waits for a database that is not there yet: after a power cut
// all machines start at once. Nothing listens meanwhile, so that a balancer goes elsewhere.
func start(ctx context.Context, opts serverOptions) (*server, error) {
	defer keepStarting(ctx, opts.Log)()
	wait := &databaseAwaited{cfg: opts.Config, log: opts.Log, began: time.Now()}
	for {
		s, err := newServer(ctx, opts)
		if err == nil || !pgstore.Away(err) {
			return s, err
		}
		if err := wait.until(ctx, err); err != nil {
			return nil, err
		}
	}
}

// databaseAwaited is a database that was not there when the server started.
type databaseAwaited struct {
	cfg         *configs.Config
	log         *slog.Logger
	began, said time.Time
	pause       time.Duration
}

// until returns when the database answers in any way, or with why it does not. away is how
// it was found.
func (d *databaseAwaited) until(ctx context.Context, away error) error {
	for {
		if time.Since(d.began) > databaseWait {
			return hintPostgres(away, d.cfg)
		}
		d.say(away)
		if err := d.rest(ctx); err != nil {
			return err
		}
		err := pgstore.Reach(ctx, d.cfg.Store)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !pgstore.Away(err): // what else is wrong the start says
			d.log.Info("the database answers", "waited", time.Since(d.began).Round(time.Second))
			return nil
		}
		away = err
	}
}

// say tells the log once in a while.
func (d *databaseAwaited) say(away error) {
	if !d.said.IsZero() && time.Since(d.said) < sayWaiting {
		return
	}
	d.said = time.Now()
	d.log.Warn("the database is not there; the start waits for it", "waited", time.Since(d.began).Round(time.Second), "at_most", databaseWait, "error", away)
	tellManager(d.log, "STATUS=waits for the database "+configs.ShownStore(d.cfg.Store)+"\n"+moreTime())
}

// rest is the pause before the next try, longer each time; replicas that wait together do
// not come together.
func (d *databaseAwaited) rest(ctx context.Context) error {
	d.pause = min(longestPause, max(firstPause, 2*d.pause))
	timer := time.NewTimer(d.pause/2 + rand.N(d.pause/2))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// keepStarting asks the service manager for more time until the start is over. What can
// take long in it has limits of its own, but for the upgrade of large tables, which is not
// to be cut off.
func keepStarting(ctx context.Context, log *slog.Logger) (over func()) {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return func() {}
	}
	ctx, over = context.WithCancel(ctx)
	go func() {
		tick := time.NewTicker(extendEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				tellManager(log, moreTime())
			}
		}
	}()
	return over
}

// moreTime asks the service manager not to give up the start (sd_notify(3)).
func moreTime() string { return fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", extendBy.Microseconds()) }

// tellManager says to the service manager how the server fares. Without one, which is
// without NOTIFY_SOCKET, nothing happens.
func tellManager(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("the service manager could not be told", "error", err)
	}
}
