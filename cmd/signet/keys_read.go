package main

import (
	"cmp"
	"fmt"
	"io"
	"time"

	"signet/internal/control"
)

// writeKeysRead says how old the keys of a server are that does not read them any more.
func writeKeysRead(w io.Writer, r *control.KeysRead) {
	if r == nil || !r.Late {
		return
	}
	fmt.Fprintf(w, "these keys are %s old, as this server last read them from the database at %s\n", span(seconds(r.AgeSeconds)), clock(r.At))
	fmt.Fprintf(w, "  %s\n", cmp.Or(r.Failing, "no read has ended since"))
	fmt.Fprintln(w, "  what was rotated or revoked at other servers since then is not known here")
	fmt.Fprintf(w, "  %s; %s\n", signing(r), publishing(r))
}

func signing(r *control.KeysRead) string {
	if r.SignsForSeconds > 0 {
		return "this server signs with them for " + span(seconds(r.SignsForSeconds)) + " more"
	}
	return "this server signs nothing until it reads them again"
}

func publishing(r *control.KeysRead) string {
	switch {
	case r.PublishesForSeconds == nil:
		return "it goes on publishing them and verifying with them"
	case *r.PublishesForSeconds > 0:
		return "it publishes them and verifies with them for " + span(seconds(*r.PublishesForSeconds)) + " more"
	}
	return "it publishes none and verifies nothing"
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
