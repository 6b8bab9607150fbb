package doctor

import (
	"errors"
	"testing"
	"time"
)

func TestDatabase(t *testing.T) {
	for _, c := range []struct {
		name  string
		alter func(*Database)
		want  []finding
	}{
		{"well", func(*Database) {}, []finding{{"database server", OK, "PostgreSQL 17, schema 2, TLS 1.3, round trip 400µs, clock the same as here", ""}}},
		{"on this machine", func(d *Database) { d.TLS, d.Local = "", true }, []finding{{"database server", OK, "on this machine", ""}}},
		{"unreachable", func(d *Database) { d.Err = errors.New("connection refused") }, []finding{{"database server", Fail, "connection refused", "see whether it runs"}}},
		{"newer", func(d *Database) { d.Schema = 3 }, []finding{{"database server", Fail, "its schema is 3, and this signet knows 2", "use the newer signet"}}},
		{"older", func(d *Database) { d.Schema = 1 }, []finding{{"database server", Warn, "its schema is 1, and this signet has 2", "start signet serve"}}},
		{"plain text", func(d *Database) { d.TLS = "" }, []finding{{"database server", Fail, "not encrypted", "sslmode=verify-full"}}},
		{"unverified", func(d *Database) { d.Unverified = true }, []finding{{"database server", Warn, "its certificate is not verified", "sslmode=verify-full"}}},
		{"unverified on this machine", func(d *Database) { d.Unverified, d.Local = true, true }, []finding{{"database server", OK, "TLS 1.3", ""}}},
		{"answers too early", func(d *Database) { d.Commit = "off" }, []finding{{"database server", Warn, "synchronous_commit=off", "SET synchronous_commit = on"}}},
		{"far", func(d *Database) { d.RoundTrip = 11 * time.Millisecond }, []finding{{"database server", Warn, "a round trip takes 11ms", "put it nearer"}}},
		{"clock ahead", func(d *Database) { d.Ahead = 2001 * time.Millisecond }, []finding{{"database server", Warn, "its clock is 2.001s ahead of the one here", "by NTP"}}},
		{"clock within what a trip hides", func(d *Database) { d.RoundTrip, d.Ahead = 9*time.Millisecond, 2009*time.Millisecond }, []finding{{"database server", OK, "clock 2.009s ahead", ""}}},
		{"clock far behind", func(d *Database) { d.Ahead = -time.Minute }, []finding{{"database server", Fail, "its clock is 1m0s behind the one here", "by NTP"}}},
		{"two things", func(d *Database) { d.Ahead, d.TLS = -time.Minute, "" }, []finding{{"database server", Fail, "1m0s behind", ""}, {"database server", Fail, "not encrypted", ""}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := Database{Product: "PostgreSQL 17", Schema: 2, Known: 2, RoundTrip: 400 * time.Microsecond, TLS: "TLS 1.3"}
			c.alter(&d)
			wantOnly(t, d.Checks(), c.want...)
		})
	}
}
