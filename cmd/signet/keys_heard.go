package main

import (
	"fmt"
	"io"
	"time"

	"signet/internal/control"
	"signet/internal/peers"
)

// sinceStart says of which servers an answer speaks, and since when. which is the one of
// several whose start that is.
func sinceStart(h control.Heard, since time.Time, which string) string {
	if len(h.Servers) < 2 && !h.Apart {
		return "since the server started at " + clock(since)
	}
	return fmt.Sprintf("from %s on this database, since %s at %s", plural(len(h.Servers), "server", "servers"), which, clock(since))
}

// doubts are why an answer may not be of all servers.
func doubts(h control.Heard) (doubts []string) {
	if h.Unheard != "" {
		doubts = append(doubts, "this is of one server alone: "+h.Unheard)
	}
	if h.Apart {
		doubts = append(doubts, "no server runs here: this is what the servers told the database"+ended(h.Servers))
	}
	if h.Cut {
		doubts = append(doubts, fmt.Sprintf("other servers have more than %d consumers that come back, and this is of the latest of them", peers.MaxPlaces))
	}
	for _, s := range h.Servers {
		if s.Silent {
			doubts = append(doubts, fmt.Sprintf("the server %s is not heard of since %s: it was killed, or does not reach the database; what it answered since is not known", s.Name, clock(s.Told)))
		}
	}
	return doubts
}

// ended says that no server runs any more, and since when, if so.
func ended(servers []control.Replica) string {
	var last time.Time
	for _, s := range servers {
		if !s.Ended && !s.Silent {
			return ""
		}
		if s.Told.After(last) {
			last = s.Told
		}
	}
	return ", and none is heard of since " + clock(last)
}

func writeHeard(w io.Writer, h control.Heard) {
	for _, doubt := range doubts(h) {
		fmt.Fprintln(w, doubt)
	}
}
