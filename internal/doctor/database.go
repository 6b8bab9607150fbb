package doctor

import (
	"fmt"
	"time"
)

const (
	// clocksApart is how far the clocks of servers that share a database may be off.
	clocksApart = 2 * time.Second
	// clocksBroken is what the clocks of services are granted (tokens.leeway).
	clocksBroken = 30 * time.Second
	// farDatabase is a round trip that a refresh, which makes one, is slow by.
	farDatabase = 10 * time.Millisecond
)

// Database is a database that is reached over a connection, as it was found.
type Database struct {
	// Err is why nothing is known; nil if it is.
	Err error
	// Product is what it calls itself.
	Product string
	// Schema is the version of the layout of its tables, and Known the one of this program.
	Schema, Known int
	// Ahead is how far its clock is ahead of the one here, to within RoundTrip.
	Ahead time.Duration
	// RoundTrip is the time of the fastest of some questions.
	RoundTrip time.Duration
	// TLS is the version in use; empty for plain text. Local is a connection that does not
	// leave this machine.
	TLS   string
	Local bool
	// Unverified: TLS is used, and the other end has not proved who it is.
	Unverified bool
	// Commit is its synchronous_commit; empty if it does not say.
	Commit string
}

// Checks judges it.
func (d Database) Checks() []Check {
	const name = "database server"
	if d.Err != nil {
		return []Check{Failed(name, d.Err.Error(), "see whether it runs, is reached from here, and lets in the user of store; then signet doctor again")}
	}
	r := &report{name: name}
	d.judgeSchema(r)
	d.judgeClock(r)
	if d.TLS == "" && !d.Local {
		r.fail("put sslmode=verify-full into the URL of store, and sslrootcert if its CA is your own", "the connection is not encrypted, and leaves this machine")
	}
	if d.Unverified && !d.Local {
		r.warn("put sslmode=verify-full into the URL of store, and sslrootcert if its CA is your own", "its certificate is not verified: whoever is on the way can pretend to be it")
	}
	if d.Commit == "off" {
		r.warn("set it to on, at least for the user of signet: ALTER ROLE signet SET synchronous_commit = on", "it has synchronous_commit=off: a crash of it undoes what was answered, the revocation of a key too")
	}
	if d.RoundTrip > farDatabase {
		r.warn("put it nearer: a refresh waits for one round trip, a login for more", "a round trip takes %s", d.RoundTrip.Round(100*time.Microsecond))
	}
	return r.orOK("%s, schema %d, %s, round trip %s, clock %s", d.Product, d.Schema, d.transport(), d.RoundTrip.Round(10*time.Microsecond), d.clock())
}

func (d Database) judgeSchema(r *report) {
	switch {
	case d.Schema > d.Known:
		r.fail("use the newer signet that made it", "its schema is %d, and this signet knows %d", d.Schema, d.Known)
	case d.Schema < d.Known:
		r.warn("start signet serve: it brings the tables up to date", "its schema is %d, and this signet has %d", d.Schema, d.Known)
	}
}

// judgeClock compares what is known of the difference: the trip blurs it.
func (d Database) judgeClock(r *report) {
	const advice = "set the clocks of this machine and of the database by NTP: servers that share a database must agree on the time"
	switch apart := d.Ahead.Abs() - d.RoundTrip; {
	case apart > clocksBroken:
		r.fail(advice, "its clock is %s", d.clock())
	case apart > clocksApart:
		r.warn(advice, "its clock is %s", d.clock())
	}
}

func (d Database) clock() string {
	off := d.Ahead.Round(time.Millisecond)
	switch {
	case off.Abs() <= d.RoundTrip:
		return "the same as here"
	case off < 0:
		return fmt.Sprintf("%s behind the one here", -off)
	}
	return fmt.Sprintf("%s ahead of the one here", off)
}

func (d Database) transport() string {
	switch {
	case d.TLS != "":
		return d.TLS
	case d.Local:
		return "on this machine"
	}
	return "plain text"
}
