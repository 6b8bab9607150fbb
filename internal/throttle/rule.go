package throttle

import "time"

// rule is when the counters of one kind make wait. The zero rule is off.
type rule struct {
	free    uint32
	ceiling uint32 // where the wait is maxWait; no counter goes beyond
	maxWait time.Duration
}

// longest is as many doublings of a second as a wait can have, 34 years.
const longest = 30

func newRule(free int, maxWait time.Duration) rule {
	if free <= 0 {
		return rule{}
	}
	r := rule{free: uint32(min(free, 1<<30)), maxWait: max(maxWait, time.Second)}
	r.ceiling = r.free
	for r.wait(r.ceiling) < r.maxWait && r.ceiling < r.free+longest {
		r.ceiling++
	}
	return r
}

func (r rule) on() bool { return r.free > 0 }

// wait is how long after the last of count failures the next try may come.
func (r rule) wait(count uint32) time.Duration {
	if count < r.free {
		return 0
	}
	return min(time.Second<<min(count-r.free, longest), r.maxWait)
}

// hold is the wait of a counter, with what it owes.
func (r rule) hold(c counter) time.Duration {
	return r.wait(c.count) + time.Duration(c.owed)*r.maxWait
}

// left is how much of the wait is left.
func (r rule) left(c counter, now time.Duration) time.Duration {
	return max(0, c.last+r.hold(c)-now)
}

// failures is how many are not forgotten: one is for each maxWait that has passed
// after the wait. Slower than guessing at the longest wait, so resting gains a
// guesser nothing.
func (r rule) failures(c counter, now time.Duration) uint32 {
	quiet := max(0, now-c.last-r.hold(c))
	forgotten := quiet / r.maxWait
	if forgotten >= time.Duration(c.count) {
		return 0
	}
	return c.count - uint32(forgotten)
}

// add counts one more failure. What is owed stays until the wait is over: a try that
// the counter does not hold may come before.
func (r rule) add(c counter, key uint64, now time.Duration) counter {
	after := counter{key: key, last: now, count: min(r.failures(c, now)+1, r.ceiling)}
	if r.left(c, now) > 0 {
		after.owed = c.owed
	}
	return after
}
