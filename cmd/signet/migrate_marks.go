package main

import (
	"context"
	"fmt"
	"strings"

	"signet/internal/audit"
	"signet/internal/store/transfer"
)

// otherMarks is a source that several servers may have used, each with an audit log.
type otherMarks interface {
	OtherMarks(ctx context.Context) ([]transfer.ReplicaMark, error)
}

// ownMark is a source without the marks of other replicas, for a target that one server
// uses, with one audit log.
type ownMark struct{ transfer.Reader }

func (o ownMark) Page(ctx context.Context, kind transfer.Kind, after string, limit int) (transfer.Page, error) {
	page, err := o.Reader.Page(ctx, kind, after, limit)
	if page.Rest != nil {
		rest := *page.Rest
		rest.OtherMarks = nil
		page.Rest = &rest
	}
	return page, err
}

// readerFor is the source as the target takes it.
func (p *place) readerFor(source source) transfer.Reader {
	if p.config.Postgres() {
		return source
	}
	return ownMark{source}
}

// movedMarks says by which name a database of several servers knows the audit log, and
// what one of a single server does not take along.
func movedMarks(ctx context.Context, source source, to *place) (replica, told string, err error) {
	mark, err := source.AuditMark(ctx)
	if err != nil {
		return "", "", err
	}
	if to.config.Postgres() {
		if mark == (audit.Mark{}) {
			return "", "", nil
		}
		replica, err = to.config.ReplicaName()
		return replica, fmt.Sprintf("the end of the audit log is kept for the replica %s: write replica: %s if its host or data directory changes", replica, replica), err
	}
	several, ok := source.(otherMarks)
	if !ok {
		return "", "", nil
	}
	others, err := several.OtherMarks(ctx)
	if err != nil || len(others) == 0 {
		return "", "", err
	}
	var names []string
	for _, o := range others {
		names = append(names, o.Replica)
	}
	return "", "only one server uses a file: the ends of the audit logs of these replicas stay in the old database: " + strings.Join(names, ", "), nil
}
