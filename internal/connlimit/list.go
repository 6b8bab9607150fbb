package connlimit

import (
	"net"
	"time"
)

// conn is an open connection, and its place in the list while it is silent. The place is
// made once: a list of package container makes one at each request.
type conn struct {
	net.Conn
	since          time.Time // when it fell silent
	waits          bool
	previous, next *conn
}

// list is in the order in which connections were appended. Its zero value is empty.
type list struct{ first, last *conn }

// append puts c at the end, wherever it was.
func (l *list) append(c *conn) {
	l.remove(c)
	c.waits, c.previous = true, l.last
	if l.last == nil {
		l.first = c
	} else {
		l.last.next = c
	}
	l.last = c
}

// remove takes c out, if it is there.
func (l *list) remove(c *conn) {
	if !c.waits {
		return
	}
	if c.previous == nil {
		l.first = c.next
	} else {
		c.previous.next = c.next
	}
	if c.next == nil {
		l.last = c.previous
	} else {
		c.next.previous = c.previous
	}
	c.waits, c.previous, c.next = false, nil, nil
}
