package audit

import (
	"errors"
	"fmt"
	"time"
)

// write is the writer loop: what waits is written and synced at once.
func (l *Log) write() {
	retry := time.NewTicker(retryEvery)
	defer retry.Stop()
	for {
		select {
		case e := <-l.queue:
			l.flush(l.gather([]*entry{e}))
		case <-retry.C:
			if len(l.held) > 0 || l.Ready() != nil {
				l.flush(nil)
			}
		case done := <-l.reopen:
			done <- l.open(onRequest)
		case <-l.closed:
			l.flush(l.gather(nil))
			return
		}
	}
}

func (l *Log) gather(batch []*entry) []*entry {
	for len(batch) < maxQueue {
		select {
		case e := <-l.queue:
			batch = append(batch, e)
		default:
			return batch
		}
	}
	return batch
}

// flush writes what was held and then the batch, and tells each entry how that went.
func (l *Log) flush(batch []*entry) {
	for _, e := range batch {
		l.held = append(l.held, e.held)
	}
	if len(l.held) == 0 && l.Ready() == nil {
		return
	}
	began := time.Now()
	l.flushing.Store(&began)
	err := l.tryWrite()
	l.flushing.Store(nil)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrUnwritten, err)
		l.failures.Add(1)
		l.drop()
	}
	l.tell(err)
	for _, e := range batch {
		e.done <- err
	}
}

// drop forgets the newest of too many records that wait, and counts them. Those that
// strangers cause have half of the room: operators' do not go for theirs.
func (l *Log) drop() {
	strangers, kept := 0, l.held[:0]
	for _, r := range l.held {
		if r.strangers {
			strangers++
		}
		if r.strangers && strangers > maxHeld/2 || len(kept) == maxHeld {
			l.leaveOut(1)
			continue
		}
		kept = append(kept, r)
	}
	l.held = kept
}

// tell logs that the file cannot be written, once, and that it can again.
func (l *Log) tell(err error) {
	was := l.failing.Load()
	switch {
	case err != nil:
		l.failing.Store(&err)
		if was == nil {
			l.log.Error("the audit log cannot be written: logins are refused until it can; make room on its disk, or see to its directory",
				"file", l.path, "error", err)
		}
	case was != nil:
		l.failing.Store(nil)
		l.log.Info("the audit log is written again", "file", l.path, "head", l.Head().Seq)
	}
}

// tryWrite writes and syncs what is held. After a failure the file ends where it did.
func (l *Log) tryWrite() error {
	switch {
	case l.file == nil && !l.opened:
		if err := l.open(atStart); err != nil {
			return err
		}
	case l.file == nil:
		if err := l.open(afterFailure); err != nil {
			return err
		}
	case !l.file.intact():
		if err := l.open(byItself); err != nil {
			return err
		}
	}
	before := l.pending.Load()
	text, head, err := l.encode(before)
	if err != nil {
		return err
	}
	if err := l.appendTo(l.file, text); err != nil {
		// A failed sync is not repeated by the next one: the pages are written anew, to a
		// file that is opened anew.
		l.left = l.file.leave()
		l.file = nil
		return err
	}
	if len(l.held) > 0 {
		l.pending.Add(-before)
	}
	l.held = nil
	if head != l.Head() {
		l.standsAt(Mark{Start: l.Mark().Start, Head: head})
	}
	return nil
}

// standsAt is the mark from now on, for the database too.
func (l *Log) standsAt(m Mark) {
	l.stands.Store(&m)
	select {
	case l.marked <- struct{}{}:
	default:
	}
}

// encode is what is held, as lines after the head.
func (l *Log) encode(unrecorded uint64) (text []byte, head Head, err error) {
	head = l.Head()
	for i, r := range l.held {
		if i == 0 {
			r.Unrecorded = unrecorded
		}
		if text, head, err = head.append(text, r.Record); err != nil {
			return nil, head, err
		}
	}
	return text, head, nil
}

// occasion is why a file is opened.
type occasion int

const (
	atStart      occasion = iota
	onRequest             // of what has moved the old one away
	afterFailure          // to write
	byItself              // the one that was open is gone, or not as it was left
)

// open opens the file at the path, in the place of the one that is open, and settles
// after which record it goes on.
func (l *Log) open(why occasion) error {
	if l.file != nil {
		l.left = l.file.leave()
		l.file = nil
	}
	f, found, err := openFile(l.path, l.left)
	if err != nil {
		return err
	}
	if f.cut > 0 {
		l.log.Warn("the audit log ended in the middle of a record, which nobody was told of; it was taken off", "file", l.path, "bytes", f.cut)
	}
	l.file, l.opened = f, true
	l.settle(found, why)
	return nil
}

// settle goes on after the last record that is known. Only a crash leaves more in the
// file, and those follow it. What is missing or too much otherwise stays to be seen by
// whoever verifies.
func (l *Log) settle(found Head, why occasion) {
	next := l.Mark()
	switch {
	case found.Seq > next.Head.Seq:
		next = l.ahead(next, found, why)
	case found.Seq == 0 && next.Head.Seq > 0:
		next.Start = next.Head
		l.begins(next.Head.Seq, why)
	case found != next.Head:
		l.suspect("the audit log does not end as it did: records were cut off or changed", "look with signet audit verify",
			"ends_at", found.Seq, "expected", next.Head.Seq)
	}
	if next == l.Mark() {
		return
	}
	l.standsAt(next)
	if err := l.saveMark(); err != nil {
		l.log.Warn("where the file of the audit log begins was not stored; it will be tried again", "error", err)
	}
}

// ahead is the mark for a file with more records than are known. Those of a crash are
// taken. Behind a gap, what is missing stays to be asked for.
func (l *Log) ahead(known Mark, found Head, why occasion) Mark {
	err := l.file.follows(known.Head)
	switch {
	case why == atStart && err == nil:
		return Mark{Start: known.Start, Head: found}
	case why == atStart && errors.Is(err, errGap):
		l.suspect("the audit log begins after records that this database does not know: it is an older one that was restored, or they were removed",
			"signet audit verify with the older files tells", "ends_at", found.Seq, "known", known.Head.Seq)
		return Mark{Start: known.Head, Head: found}
	}
	l.suspect("the audit log holds records that signet did not write", "look with signet audit verify",
		"ends_at", found.Seq, "expected", known.Head.Seq, "cause", err)
	return known
}

// begins tells of a new file. Only who moves the old one away asks for it.
func (l *Log) begins(after uint64, why occasion) {
	switch why {
	case onRequest:
		l.suspicion.Store(nil) // its file was moved away
		l.log.Info("a new file of the audit log begins", "file", l.path, "after", after)
	case atStart:
		l.log.Warn("there was no audit log at its path, and a new file begins: if nobody moved the old one away, it was removed",
			"file", l.path, "after", after)
	default:
		l.suspect("the file of the audit log was removed or emptied while it was written", "a new one begins", "after", after)
	}
}

// mark follows the file with the mark in the database.
func (l *Log) mark() {
	for {
		select {
		case <-l.marked:
		case <-l.closed:
			return
		}
		wait := time.NewTimer(markAfter)
		select {
		case <-wait.C:
		case <-l.closed:
			wait.Stop()
			return
		}
		if err := l.saveMark(); err != nil {
			l.log.Debug("the mark of the audit log was not stored; it will be tried again", "error", err)
			select {
			case l.marked <- struct{}{}:
			default:
			}
		}
	}
}
