package doctor

import (
	"context"
	"net/http"
	"time"
)

// clockWarn is a difference that a clock which is kept right does not have.
const clockWarn = 2 * time.Second

// clock compares the Date of an answer that no cache keeps with the clock here.
func (v *visit) clock(ctx context.Context) []Check {
	r := &report{name: "clock"}
	a, err := v.get(ctx, v.URL+"/healthz", nil)
	if err != nil {
		return []Check{Skip(r.name, "no answer: "+cause(err).Error())}
	}
	date, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		return []Check{Skip(r.name, "the issuer's answers have no Date")}
	}
	age, _ := seconds(a.header.Get("Age"))
	off := offset(date.Add(age), a.asked, a.answered)
	another, which := v.others()
	advice := "let both machines keep their clocks with NTP: timedatectl, chronyc tracking" + which
	switch {
	case off.Abs() > max(v.Leeway, clockWarn):
		r.fail(advice, "the issuer's clock is %s this one, and services bear %s: they refuse its tokens, or believe them for too long%s", ahead(off), v.Leeway, another)
	case off.Abs() > clockWarn:
		r.warn(advice, "the issuer's clock is %s this one%s", ahead(off), another)
	}
	return r.orOK("the Date of the issuer is that of this machine")
}

// offset is by how much at least the clock that wrote date is ahead. A Date has whole
// seconds, cut off, and was written at an unknown moment of the request: the middle of it
// is off by half of its length at most.
func offset(date, asked, answered time.Time) time.Duration {
	half := answered.Sub(asked) / 2
	middle := asked.Add(half)
	switch {
	case date.After(middle.Add(half)):
		return date.Sub(middle) - half
	case date.Add(time.Second).Before(middle.Add(-half)):
		return date.Add(time.Second).Sub(middle) + half
	}
	return 0
}

func ahead(d time.Duration) string {
	if d < 0 {
		return span(-d) + " behind"
	}
	return span(d) + " ahead of"
}
