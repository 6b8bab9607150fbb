package linear

import "slices"

// projection is what a history tells about one session: the requests about it, those
// about its account, and what others' requests tell about the account.
//
// If the history has an order that the rules allow, each projection has: leaving out
// requests about other sessions takes nothing away that this one depends on. The
// opposite does not hold for what is said of several sessions at once, and need not: to
// end all sessions of a user is not one atomic step, it is one for each of them.
type projection struct {
	session string
	ops     []Op
}

// project cuts a history into projections, in the order in which the sessions appear. A login
// whose answer was lost began a session that nobody can name.
func project(history []Op) []projection {
	owner := map[string]string{}
	var sessions []string
	for _, op := range history {
		if op.Kind == Login && op.Answer == Done {
			owner[op.Session] = op.User
			sessions = append(sessions, op.Session)
		}
	}
	var parts []projection
	for _, session := range sessions {
		part := projection{session: session}
		for _, op := range history {
			if op.User == owner[session] {
				part.ops = append(part.ops, op.projected(session)...)
			}
		}
		parts = append(parts, part)
	}
	return parts
}

// projected is what op tells about a session of its user, if anything. To disable an
// account is two steps: the account changes, then the sessions that are there are ended, also
// one that has begun in between because another operator has enabled the account.
func (op Op) projected(session string) []Op {
	switch {
	case op.Kind == Rotate || op.Kind == Verify && op.Answer == Lost:
		return nil
	case op.Kind == Disable:
		second := op
		second.Kind, second.Detail = EndUser, "by disable"
		return []Op{op, second}
	case op.Session == session, op.Kind == Enable, op.Kind == EndUser:
		return []Op{op}
	case op.Answer == Inactive:
		op.Kind = sawDisabled
		return []Op{op}
	case op.Answer == Done && slices.Contains([]Kind{Login, Refresh, Verify}, op.Kind):
		op.Kind = sawEnabled
		return []Op{op}
	default:
		return nil
	}
}

// upTo puts the end of the history in the place of Forever: nothing is seen after it, so
// it comes to the same.
func (p projection) upTo() []Op {
	last := int64(0)
	for _, op := range p.ops {
		last = max(last, op.Call)
		if op.Return != Forever {
			last = max(last, op.Return)
		}
	}
	ops := slices.Clone(p.ops)
	for i := range ops {
		if ops[i].Return == Forever {
			ops[i].Return = last + 1
		}
	}
	return ops
}
