package metrics

import (
	"cmp"
	"context"
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"signet/internal/event"
)

var _ event.Recorder = (*Metrics)(nil)

// canceled is the outcome of what failed because whoever asked went away.
const canceled event.Outcome = "canceled"

// What can come of each kind. All are there from the start, at 0: a rate has a beginning.
var (
	loginOutcomes   = []event.Outcome{event.Done, event.Refused, event.Throttled, event.Busy, event.Failed, canceled}
	refreshOutcomes = []event.Outcome{event.Done, event.Invalid, event.Expired, event.Inactive, event.Ended, event.Reused, event.Failed, canceled}
	tokenOutcomes   = []event.Outcome{event.Done, event.Refused, event.Inactive, event.Failed, canceled}
)

// grants are short names of the grant types by which clients get tokens.
var grants = map[string]string{
	"client_credentials":                              "client_credentials",
	"urn:ietf:params:oauth:grant-type:token-exchange": "token_exchange",
}

// byOutcome are the counters of one kind; that of "" counts what no list names.
type byOutcome map[event.Outcome]prometheus.Counter

// events count what the issuer says of its doings.
type events struct {
	logins, refreshes byOutcome
	tokens            map[string]byOutcome // by the short name of the grant
	logouts, strange  prometheus.Counter
}

func newEvents(r prometheus.Registerer) *events {
	vector := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		r.MustRegister(v)
		return v
	}
	logins := vector("signet_logins_total", "Logins by how they ended.", "outcome")
	refreshes := vector("signet_refreshes_total", "Refreshes of a session, in any dialect, by how they ended; reused is a refresh token that had been replaced, whose session was ended.", "outcome")
	tokens := vector("signet_client_tokens_total", "Access tokens that OAuth clients asked for and were allowed, by grant and by how that ended.", "grant", "outcome")
	e := &events{
		logins: resolve(logins, loginOutcomes), refreshes: resolve(refreshes, refreshOutcomes), tokens: map[string]byOutcome{},
		logouts: vector("signet_logouts_total", "Sessions that were ended by whoever had them.").WithLabelValues(),
		strange: vector("signet_client_authentication_failures_total", "Requests of OAuth clients that did not prove who they are.").WithLabelValues(),
	}
	for _, short := range grants {
		e.tokens[short] = resolve(tokens, tokenOutcomes, short)
	}
	e.tokens["other"] = resolve(tokens, tokenOutcomes, "other")
	return e
}

func resolve(v *prometheus.CounterVec, outcomes []event.Outcome, labels ...string) byOutcome {
	counters := byOutcome{}
	for _, o := range append(outcomes[:len(outcomes):len(outcomes)], "other") {
		counters[o] = v.WithLabelValues(append(labels[:len(labels):len(labels)], string(o))...)
	}
	return counters
}

func (c byOutcome) count(e *event.Event) {
	outcome := e.Outcome
	if outcome == event.Failed && errors.Is(e.Cause, context.Canceled) {
		outcome = canceled
	}
	counter, ok := c[outcome]
	if !ok {
		counter = c["other"]
	}
	counter.Inc()
}

// Record implements event.Recorder: it counts, and never fails.
func (m *Metrics) Record(_ context.Context, e event.Event) error {
	switch e.Kind {
	case event.Login:
		m.events.logins.count(&e)
	case event.Refresh:
		m.events.refreshes.count(&e)
	case event.Token:
		m.events.tokens[cmp.Or(grants[e.Grant], "other")].count(&e)
	case event.Logout:
		m.events.logouts.Inc()
	case event.ClientAuthentication:
		if e.Outcome != event.Failed { // of the database; nothing was found wrong
			m.events.strange.Inc()
		}
	}
	return nil
}

// Ready implements event.Recorder: counting is always possible.
func (m *Metrics) Ready() error { return nil }
