package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"signet/internal/control"
	"signet/keystore"
)

// keyPlan is what a change of the keys would mean, beside the keys themselves.
type keyPlan struct {
	// Sessions are the live ones, SessionsEnding those that would end.
	Sessions       int                `json:"sessions"`
	SessionsEnding int                `json:"sessions_ending"`
	Audiences      []control.Audience `json:"audiences"`

	jwksMaxAge time.Duration
}

// rotationPlan and revocationPlan are dry runs with what they would mean.
type (
	rotationPlan struct {
		control.Rotated
		Plan keyPlan `json:"plan"`
		// Refusing are the clients that would refuse the new keys for a while.
		Refusing []kindsFor `json:"clients_refusing"`
	}
	revocationPlan struct {
		control.RevokedKey
		Plan keyPlan `json:"plan"`
	}
)

// through does several operations through one door.
func through(ctx context.Context, a *app, what func(door control.Door) error) (err error) {
	door, closeDoor, err := a.door(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeDoor()) }()
	return what(door)
}

// liveSessions counts the live sessions by the key that they rest on, in pages: not
// one instant, where sessions begin and end meanwhile.
func liveSessions(ctx context.Context, door control.Door) (byKID map[string]int, all int, err error) {
	byKID = map[string]int{}
	for after := ""; ; {
		page, err := control.CountSessions.Do(ctx, door, control.Page{After: after})
		if err != nil {
			return nil, 0, err
		}
		for kid, n := range page.ByKID {
			byKID[kid] += n
			all += n
		}
		if after = page.Next; after == "" {
			return byKID, all, nil
		}
	}
}

// planFor gathers what ending the sessions of the revoked key would mean; none is
// revoked by a rotation.
func planFor(ctx context.Context, door control.Door, revoked string) (keyPlan, error) {
	reach, err := control.ShowReach.Do(ctx, door, struct{}{})
	if err != nil {
		return keyPlan{}, err
	}
	byKID, all, err := liveSessions(ctx, door)
	return keyPlan{Sessions: all, SessionsEnding: byKID[revoked], Audiences: reach.Audiences, jwksMaxAge: reach.JWKSMaxAge}, err
}

func planRotation(ctx context.Context, a *app, request control.Rotation) (plan rotationPlan, err error) {
	err = through(ctx, a, func(door control.Door) error {
		if plan.Rotated, err = control.RotateKeys.Do(ctx, door, request); err != nil {
			return err
		}
		plan.Plan, err = planFor(ctx, door, "")
		return err
	})
	plan.Refusing = refusing(plan.Rotated, plan.Plan.jwksMaxAge)
	return plan, err
}

func planRevocation(ctx context.Context, a *app, request control.Revocation) (plan revocationPlan, err error) {
	err = through(ctx, a, func(door control.Door) error {
		if plan.RevokedKey, err = control.RevokeKey.Do(ctx, door, request); err != nil {
			return err
		}
		plan.Plan, err = planFor(ctx, door, request.KID)
		return err
	})
	return plan, err
}

// shortestNotice is how long before it signs the new key is published that has the
// least time, and when it signs.
func shortestNotice(r control.Rotated) (ahead time.Duration, from time.Time) {
	ahead = forever
	for _, t := range r.Takeovers {
		if d := max(0, t.New.SignsFrom.Sub(t.New.Created).Truncate(time.Second)); d < ahead {
			ahead, from = d, t.New.SignsFrom
		}
	}
	return ahead, from
}

func refusing(r control.Rotated, jwksMaxAge time.Duration) []kindsFor {
	ahead, _ := shortestNotice(r)
	return byTime(func(k clientKind) (time.Duration, bool) {
		d := k.afterRotation(ahead, jwksMaxAge)
		return d, d > 0
	})
}

func writeRotationPlan(w io.Writer, p rotationPlan, atOnce bool) {
	writeRotated(w, p.Rotated, atOnce)
	fmt.Fprintln(w)
	columns(w, "KEY | PUBLISHED | SIGNS FROM | SIGNS UNTIL | PUBLISHED UNTIL", func(row func(...any)) {
		for _, t := range p.Takeovers {
			for _, k := range []keystore.Info{t.Old, t.New} {
				if k.KID != "" {
					row(k.KID, clock(k.Created), clock(k.SignsFrom), clock(k.SignsUntil), clock(k.PublishedUntil))
				}
			}
		}
	})
	fmt.Fprintf(w, "\n%s, counted just now; all go on\n", plural(p.Plan.Sessions, "live session", "live sessions"))
	writeAudiences(w, p.Plan.Audiences)
	writeRefusing(w, p)
}

// writeRefusing says which clients would not know the new key when it signs.
func writeRefusing(w io.Writer, p rotationPlan) {
	ahead, from := shortestNotice(p.Rotated)
	fmt.Fprintf(w, "\nThe new key is published for %s before it signs. By then common clients with their defaults\nhave it, or fetch it at its first token", noticeSpan(ahead))
	fmt.Fprintln(w, ", but these can refuse it for up to")
	writeKinds(w, p.Refusing, "until a reload", untilAfter(from, 0))
	fmt.Fprintln(w, "Those without a time read keys from files: signet keys export KID --public, once the key is published.")
}

func noticeSpan(d time.Duration) string {
	if d == 0 {
		return "no time"
	}
	return span(d)
}

// untilAfter appends the clock time at which so much time has passed.
func untilAfter(from time.Time, jwksMaxAge time.Duration) func(time.Duration) string {
	return func(d time.Duration) string {
		if d == setMaxAge {
			d = jwksMaxAge
		}
		if d == 0 || d == forever {
			return ""
		}
		return " (until " + clock(from.Add(d)) + ")"
	}
}

func writeAudiences(w io.Writer, audiences []control.Audience) {
	fmt.Fprintln(w, "tokens are for")
	for _, a := range audiences {
		var of []string
		if a.Login {
			of = append(of, "logins (tokens.audience)")
		}
		if len(a.Clients) > 0 {
			of = append(of, "clients "+shortList(a.Clients, 5))
		}
		fmt.Fprintf(w, "  %s: %s\n", a.Name, strings.Join(of, "; "))
	}
}

// shortList is the first of a list, and how many there are besides.
func shortList(list []string, limit int) string {
	if len(list) <= limit {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:limit], ", "), len(list)-limit)
}

func writeRevocationPlan(w io.Writer, p revocationPlan) {
	writeRevokedKeys(w, p.RevokedKey)
	fmt.Fprintf(w, "%d of %s would end, counted just now: the key signed their refresh tokens\n",
		p.Plan.SessionsEnding, plural(p.Plan.Sessions, "live session", "live sessions"))
	writeAudiences(w, p.Plan.Audiences)
	writeRevokedElsewhere(w, p.Now, p.Plan.jwksMaxAge)
}

// writeRevokedElsewhere says what common clients do about a key that left the set at
// an instant. jwksMaxAge is 0 if it is not known.
func writeRevokedElsewhere(w io.Writer, at time.Time, jwksMaxAge time.Duration) {
	until := untilAfter(at, jwksMaxAge)
	fmt.Fprint(w, `
Services accept tokens of the revoked key until they fetch the key set again. Most do
so at the first token of the new key, or else after
`)
	writeKinds(w, byTime(func(k clientKind) (time.Duration, bool) { return k.cache, k.looks && k.keeps == 0 }), "never", until)
	fmt.Fprint(w, "Of those, these do not look for the new key, and refuse it, for so long after a fetch\n")
	writeKinds(w, byTime(func(k clientKind) (time.Duration, bool) { return k.blind, k.blind > 0 && k.keeps == 0 }), "", nil)
	fmt.Fprint(w, "These do not look for it at all, and accept the revoked one and refuse the new one for\n")
	writeKinds(w, byTime(func(k clientKind) (time.Duration, bool) { return k.cache, !k.looks && k.keeps == 0 }), "", until)
	fmt.Fprint(w, "These keep the revoked one, whatever they fetch, for\n")
	writeKinds(w, byTime(func(k clientKind) (time.Duration, bool) { return k.keeps, k.keeps > 0 }), "until a restart", until)
	fmt.Fprint(w, "Restart those that must not wait; HAProxy takes a reload with the new key.\n")
}
