package audit

import (
	"context"
	"errors"
	"slices"
	"time"
)

// saveLimit bounds how long a store may take to keep the mark.
const saveLimit = 10 * time.Second

// errOtherMark: the mark in the database is of another log. It is left as it is: that
// log would look as if records had been cut off.
var errOtherMark = errors.New("another process stores the mark of its audit log under the same name; give each server a replica of its own, and start it again")

// maxOwn is how many marks are known as this log's own: a write that was reported as
// failed may have been made, or undone by a standby that took over.
const maxOwn = 16

// ownMarks are the last marks that this log read at Open, and tried to store. The first
// is the one that the database has, as far as is known.
type ownMarks []Mark

func (o *ownMarks) add(m Mark) {
	*o = slices.Insert(*o, 0, m)
	*o = (*o)[:min(len(*o), maxOwn)]
}

// saveMark stores the mark if it is another than before: a command that recorded nothing
// must not undo that of a server that has begun meanwhile.
func (l *Log) saveMark() error {
	l.saving.Lock()
	defer l.saving.Unlock()
	mark := l.Mark()
	if l.known && mark == l.own[0] {
		return nil
	}
	l.known = false
	ctx, cancel := context.WithTimeout(context.Background(), saveLimit)
	defer cancel()
	kept, err := l.marks.AuditMark(ctx)
	switch {
	case err != nil:
		return err
	case kept != mark && !slices.Contains(l.own, kept):
		l.tellOther(kept)
		return errOtherMark
	}
	l.own.add(mark)
	if kept != mark {
		err = l.marks.SetAuditMark(ctx, mark)
	}
	l.known = err == nil
	return err
}

// tellOther logs, once, that the mark is another's.
func (l *Log) tellOther(kept Mark) {
	if !l.other {
		l.other = true
		l.log.Error("the mark of the audit log is not stored", "file", l.path, "error", errOtherMark, "stored", kept.Head.Seq, "own", l.Head().Seq)
	}
}
