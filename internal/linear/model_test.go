package linear

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// script makes histories by hand: each request takes a tenth of a second, and follows the one before.
type script struct {
	h   *History
	now time.Duration
}

const tenth = 100 * time.Millisecond

func newScript() *script { return &script{h: NewHistory(time.Second)} }

// add records a request about session s of kyoko. What shall meet another begins with it: see beside.
func (s *script) add(kind Kind, token, next string, answer Answer) *script {
	return s.lasting(tenth, kind, token, next, answer)
}

func (s *script) lasting(d time.Duration, kind Kind, token, next string, answer Answer) *script {
	op := Op{Kind: kind, User: "kyoko", Session: "s", Token: token, Next: next, Answer: answer, Call: int64(s.now), Return: int64(s.now + d)}
	if kind == Disable || kind == Enable || kind == EndUser || kind == Login && answer != Done {
		op.Session = ""
	}
	s.h.Add(op)
	s.now += d + tenth
	return s
}

// beside lets the next request begin with the last one.
func (s *script) beside() *script {
	s.now = time.Duration(s.h.ops[len(s.h.ops)-1].Call)
	return s
}

func (s *script) pause(d time.Duration) *script { s.now += d; return s }

func (s *script) login() *script                     { return s.add(Login, "", "t0", Done) }
func (s *script) refresh(token, next string) *script { return s.add(Refresh, token, next, Done) }
func (s *script) refused(token string) *script       { return s.add(Refresh, token, "", Refused) }
func (s *script) lost(token string) *script          { return s.add(Refresh, token, "", Lost) }
func (s *script) done(kind Kind) *script             { return s.add(kind, "", "", Done) }
func (s *script) verify(token string) *script        { return s.add(Verify, token, "", Done) }

// down is a crash after all that was recorded, up the start after it.
func (s *script) down() *script {
	s.h.outages = append(s.h.outages, outage{from: int64(s.now), to: int64(s.now + tenth)})
	s.now += 2 * tenth
	return s
}

// legal are histories that an issuer may show.
var legal = map[string]*script{
	"a chain":                                      newScript().login().refresh("t0", "t1").refresh("t1", "t2").verify("t2"),
	"the same successor within the window":         newScript().login().refresh("t0", "t1").refresh("t0", "t1").verify("t0").verify("t1"),
	"reuse outside of the window":                  newScript().login().refresh("t0", "t1").pause(time.Second).refused("t0").refused("t1"),
	"reuse after the successor was used":           newScript().login().refresh("t0", "t1").refresh("t1", "t2").refused("t0").refused("t2"),
	"either at the edge of the window":             newScript().login().refresh("t0", "t1").pause(700 * time.Millisecond).refused("t0").refused("t1"),
	"two at once get one successor":                newScript().login().refresh("t0", "t1").beside().refresh("t0", "t1"),
	"a refusal beside the logout":                  newScript().login().done(Logout).beside().refused("t0"),
	"a refresh beside the logout":                  newScript().login().done(Logout).beside().refresh("t0", "t1").refused("t1"),
	"a lost refresh that was done":                 newScript().login().lost("t0").refresh("t0", "t1").refresh("t1", "t2"),
	"a lost refresh that was not":                  newScript().login().lost("t0").pause(time.Hour).refresh("t0", "t1"),
	"a lost refresh that is done later and ends":   newScript().login().lost("t0").refresh("t0", "t1").refresh("t1", "t2").refused("t2"),
	"a lost refresh that is done an hour later":    newScript().login().lost("t0").pause(time.Hour).verify("t0").refused("t0"),
	"a lost refresh, and the window is over":       newScript().login().lost("t0").pause(time.Hour).refused("t0"),
	"a lost logout that was done":                  newScript().login().add(Logout, "t0", "", Lost).refused("t0"),
	"a lost logout that is done later":             newScript().login().add(Logout, "t0", "", Lost).refresh("t0", "t1").refused("t1"),
	"a lost end of all sessions":                   newScript().login().add(EndUser, "", "", Lost).refresh("t0", "t1").refused("t1"),
	"disabled and enabled: the session is over":    newScript().login().done(Disable).add(Refresh, "t0", "", Inactive).done(Enable).refused("t0"),
	"a logout of what is over, but not yet erased": newScript().login().done(Disable).done(Logout).add(Logout, "t0", "", Refused),
	"a disabling meets an enabling and a login":    newScript().lasting(time.Second, Disable, "", "", Done).beside().done(Enable).login().verify("t0").refused("t0"),
	"a lost disabling that was done":               newScript().login().add(Disable, "", "", Lost).refresh("t0", "t1").add(Login, "", "", Inactive).add(Verify, "t1", "", Inactive),
	"what died with the server is not done":        newScript().login().lost("t0").down().verify("t0").refresh("t0", "t1").verify("t1"),
	"ended, and the others are not":                newScript().login().done(EndSession).refused("t0").add(EndSession, "", "", Refused),
}

// illegal are histories that it may not, each with what is said of it.
var illegal = map[string]struct {
	*script
	says string
}{
	"two successors":                               {newScript().login().refresh("t0", "t1").refresh("t0", "t2"), "refresh S1#0: done, S1#2"},
	"two successors at once":                       {newScript().login().refresh("t0", "t1").beside().refresh("t0", "t2"), "refresh S1#0: done, S1#2"},
	"the same successor outside of the window":     {newScript().login().refresh("t0", "t1").pause(time.Second).refresh("t0", "t1"), "refresh S1#0: done, S1#1"},
	"the previous token after its successor":       {newScript().login().refresh("t0", "t1").refresh("t1", "t2").refresh("t0", "t1"), "refresh S1#0: done, S1#1"},
	"a refusal within the window":                  {newScript().login().refresh("t0", "t1").refused("t0"), "refresh S1#0: refused"},
	"a refusal of the current token":               {newScript().login().refresh("t0", "t1").refused("t1"), "refresh S1#1: refused"},
	"a refresh after the logout":                   {newScript().login().done(Logout).refresh("t0", "t1"), "refresh S1#0: done"},
	"a refresh after a refusal":                    {newScript().login().refresh("t0", "t1").refresh("t1", "t2").refused("t0").refresh("t2", "t3"), "refresh S1#2: done"},
	"verified after the logout":                    {newScript().login().done(Logout).verify("t0"), "verify S1#0: done"},
	"an old token verifies":                        {newScript().login().refresh("t0", "t1").pause(2 * time.Second).verify("t0"), "verify S1#0: done"},
	"two logouts":                                  {newScript().login().done(Logout).done(Logout), "logout kyoko: done"},
	"a logout of a session that is there, refused": {newScript().login().add(Logout, "t0", "", Refused).verify("t0"), "logout S1#0: refused"},
	"a refresh while the account is disabled":      {newScript().login().done(Disable).refresh("t0", "t1"), "refresh S1#0: done"},
	"the session is back with the account":         {newScript().login().done(Disable).done(Enable).refresh("t0", "t1"), "refresh S1#0: done"},
	"a login while the account is disabled":        {newScript().done(Disable).login(), "login kyoko: done"},
	"a login is refused while it is enabled":       {newScript().login().add(Login, "", "", Inactive), "is disabled kyoko"},
	"a refresh after all sessions were ended":      {newScript().login().done(EndUser).refresh("t0", "t1"), "refresh S1#0: done"},
	"an acknowledged refresh that a crash undid":   {newScript().login().refresh("t0", "t1").down().refresh("t0", "t2"), "refresh S1#0: done, S1#2"},
	"a lost refresh that is done after the crash":  {newScript().login().lost("t0").down().pause(time.Hour).verify("t0").refused("t0"), "refresh S1#0: refused"},
	"a lost refresh that two learn of differently": {newScript().login().lost("t0").refresh("t0", "t1").refresh("t0", "t2"), "refresh S1#0: done, S1#2"},
	"a lost logout that was and was not done":      {newScript().login().add(Logout, "t0", "", Lost).refused("t0").verify("t0"), "verify S1#0: done"},
	"a token comes back":                           {newScript().login().refresh("t0", "t1").refresh("t1", "t0"), "issued a second time"},
	"an error that is none of the rules":           {newScript().login().add(Refresh, "t0", "", Strange), "strange answer"},
}

func TestLegalHistories(t *testing.T) {
	for name, s := range legal {
		t.Run(name, func(t *testing.T) {
			if err := s.h.Check(time.Minute); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestIllegalHistories(t *testing.T) {
	for name, s := range illegal {
		t.Run(name, func(t *testing.T) {
			violation, ok := errors.AsType[*Violation](s.h.Check(time.Minute))
			if !ok {
				t.Fatal("an order was found")
			}
			if !strings.Contains(violation.Words, s.says) {
				t.Errorf("it says nothing of %q:\n%s", s.says, violation.Words)
			}
			var page strings.Builder
			if err := violation.Draw(&page); err != nil {
				t.Error(err)
			}
		})
	}
}
