package main

import (
	"context"
	"os"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// askReady is how often a server that is not ready yet looks again.
const askReady = time.Second

// tell says to the service manager how the server fares.
func (s *server) tell(state string) { tellManager(s.log, state) }

// announce tells that the server is up once it can sign and store: what is ordered
// after it may log in then. Until then it publishes keys, and is not to be ended for that.
func (s *server) announce(ctx context.Context) {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return // nobody asks
	}
	tick := time.NewTicker(askReady)
	defer tick.Stop()
	for {
		err := s.domains.ready(ctx)
		if err == nil {
			s.tell(daemon.SdNotifyReady + "\nSTATUS=serves " + s.cfg.Issuer + " on " + s.address())
			return
		}
		s.tell("STATUS=not ready: " + strings.ReplaceAll(err.Error(), "\n", " ") + "\n" + moreTime())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// tellReload tells that a reload begins; done tells that it has ended.
func (s *server) tellReload() (done func()) {
	s.tell(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
	return func() { s.tell(daemon.SdNotifyReady) }
}
