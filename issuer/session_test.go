package issuer_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"signet/issuer"
)

func TestAdvance(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	session := issuer.Session{
		ID: "s", Subject: "u", Client: "c", Created: noon.Add(-time.Hour), Rotated: noon,
		Expires: noon.Add(time.Hour), Ends: noon.Add(2 * time.Hour), Generation: 7,
		Current: "current", Previous: "previous", KID: "k1",
	}
	fresh := session
	fresh.Previous, fresh.Generation = "", 0
	advanced := func(s issuer.Session, at time.Duration) issuer.Session {
		s.Previous, s.Current, s.KID = s.Current, "next", "k2"
		s.Rotated, s.Expires = noon.Add(at), noon.Add(at+time.Hour)
		s.Generation++
		return s
	}
	short := session
	short.Ends = noon.Add(time.Minute)
	tests := []struct {
		what      string
		session   issuer.Session
		presented string
		at        time.Duration
		want      issuer.Outcome
		after     issuer.Session
	}{
		{"the current token", session, "current", time.Minute, issuer.Advanced, advanced(session, time.Minute)},
		{"the current token of a new session", fresh, "current", 0, issuer.Advanced, advanced(fresh, 0)},
		{"the previous token at once", session, "previous", 0, issuer.Repeated, session},
		{"the previous token at the end of the window", session, "previous", 10 * time.Second, issuer.Repeated, session},
		{"the previous token with the clock set back", session, "previous", -time.Minute, issuer.Reused, session},
		{"the previous token with the clock set back a little", session, "previous", -time.Second, issuer.Repeated, session},
		{"the previous token after the window", session, "previous", 10*time.Second + 1, issuer.Reused, session},
		{"an older token", session, "older", 0, issuer.Reused, session},
		{"no token", session, "", 0, issuer.Reused, session},
		{"no token, and there is no previous one", fresh, "", 0, issuer.Reused, fresh},
		{"idle to its last instant", session, "current", time.Hour - 1, issuer.Advanced, advanced(session, time.Hour-1)},
		{"idle for too long", session, "current", time.Hour, issuer.Expired, session},
		{"the previous token, idle for too long", session, "previous", time.Hour, issuer.Expired, session},
		{"an older token, idle for too long", session, "older", time.Hour, issuer.Expired, session},
		{"over for good", short, "current", time.Minute, issuer.Expired, short},
	}
	for _, tt := range tests {
		got := tt.session
		outcome := got.Advance(issuer.Step{
			Presented: tt.presented, Next: "next", KID: "k2",
			Now: noon.Add(tt.at), Expires: noon.Add(tt.at + time.Hour), Window: 10 * time.Second,
		})
		if outcome != tt.want {
			t.Errorf("%s: outcome %d, want %d", tt.what, outcome, tt.want)
		}
		if diff := cmp.Diff(tt.after, got); diff != "" {
			t.Errorf("%s: session (-want +got):\n%s", tt.what, diff)
		}
	}
}

// Whatever is presented, and whenever: no token ever gets two successors, only
// the newest one moves the session on, and what it honours is a chain of two.
func TestAdvanceLeavesAtMostOneLiveChain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const window = 10 * time.Second
		now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		s := issuer.Session{Current: "t0", Rotated: now, Expires: now.Add(time.Hour), Ends: now.Add(3 * time.Hour)}
		issued, successors := []string{"t0"}, map[string]string{}
		for n := range rapid.IntRange(1, 40).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(-1e9, 30e9).Draw(t, "pause")))
			presented := rapid.SampledFrom(append(issued, "never issued")).Draw(t, "presented")
			step := issuer.Step{
				Presented: presented, Next: fmt.Sprintf("t%d", n+1), Now: now, Expires: now.Add(time.Hour), Window: window,
			}
			newest, before := issued[len(issued)-1], s
			switch outcome := s.Advance(step); outcome {
			case issuer.Advanced:
				if other, ok := successors[presented]; ok || presented != newest {
					t.Fatalf("%s moved the session on; newest %s, earlier successor %q", presented, newest, other)
				}
				successors[presented] = step.Next
				issued = append(issued, step.Next)
				if s.Current != step.Next || s.Previous != presented || s.Generation != before.Generation+1 {
					t.Fatalf("session after %s: %+v", presented, s)
				}
			case issuer.Repeated:
				if successors[presented] != s.Current || s.Current != newest {
					t.Fatalf("%s gets %s again, its successor was %q", presented, s.Current, successors[presented])
				}
				if diff := cmp.Diff(before, s); diff != "" {
					t.Fatalf("a repeated answer changed the session:\n%s", diff)
				}
			case issuer.Reused:
				if presented == newest {
					t.Fatalf("the newest token %s is taken for stolen", presented)
				}
				return // the store deletes the session: nothing is live
			case issuer.Expired:
				if !s.Expired(now) {
					t.Fatalf("expired at %s: %+v", now, s)
				}
			default:
				t.Fatalf("outcome %d", outcome)
			}
		}
	})
}

func TestAdvanceEndsASessionOfAnEarlierEpoch(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, presented := range []string{"current", "previous", "older"} {
		s := issuer.Session{Current: "current", Previous: "previous", Rotated: noon, Epoch: 1,
			Expires: noon.Add(time.Hour), Ends: noon.Add(time.Hour)}
		step := issuer.Step{Presented: presented, Next: "next", Now: noon, Expires: noon.Add(time.Hour), Epoch: 2, Window: time.Minute}
		if outcome := s.Advance(step); outcome != issuer.Superseded || s.Current != "current" {
			t.Errorf("%s token: outcome %d, current %s", presented, outcome, s.Current)
		}
	}
}

// A new password is one write and the end of the sessions another: a crash between
// the two revives nothing.
func TestSessionsOfAnEarlierEpochAreOverWithoutBeingEnded(t *testing.T) {
	for _, rotate := range []bool{true, false} {
		f := newFixture(t)
		f.set(func(p *issuer.Policy) { p.Rotate = rotate })
		tokens := f.login(t)
		_, err := f.users.SetPassword(t.Context(), "kyoko", password)
		must(t, err)
		f.wantVerify(t, tokens.Access, issuer.ErrNoSession)
		f.wantRefresh(t, tokens.Refresh, issuer.ErrNoSession)
		f.wantVerify(t, f.login(t).Access, nil)
	}
}
