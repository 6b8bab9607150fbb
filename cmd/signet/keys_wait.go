package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"signet/internal/control"
)

// pollConsumers is how often a waiting rotation looks again.
const pollConsumers = time.Second

// rotateWhenFetched holds the new keys until every consumer has fetched them.
func rotateWhenFetched(ctx context.Context, a *app, request control.Rotation, limit time.Duration) error {
	return through(ctx, a, func(door control.Door) error {
		if list, err := control.ListConsumers.Do(ctx, door, control.ConsumerQuery{}); err != nil {
			return err // without a server nobody would ever be seen
		} else if list.Apart {
			return a.refuseApart()
		}
		held := request
		held.Hold = true
		rotated, err := control.RotateKeys.Do(ctx, door, held)
		if err != nil {
			return err
		}
		var kids []string
		for _, t := range rotated.Takeovers {
			kids = append(kids, t.New.KID)
			fmt.Fprintf(a.err, "%s: key %s is published, and held until every consumer has fetched it\n", t.New.Alg, t.New.KID)
		}
		lacking, err := a.awaitConsumers(ctx, door, kids, limit)
		if err != nil {
			return errors.Join(err, stillHeld())
		}
		if len(lacking) > 0 {
			return a.refuseTurn(lacking, limit)
		}
		request.Ripe = true
		ripe, err := control.RotateKeys.Do(ctx, door, request)
		if err != nil {
			return err
		}
		return a.print(ripe, func(w io.Writer) { writeRotated(w, ripe, false) })
	})
}

// refuseApart: to wait goes through the server, which hears of changes of the keys by others.
func (a *app) refuseApart() error {
	cfg, err := a.load(a.changed())
	if err != nil {
		return err
	}
	return hintedError{errors.New("only a running server can wait for consumers, and none is running here"), a.serveHint(cfg) + "  # or run this where a server of this database runs"}
}

// awaitConsumers returns who lacks one of the keys when the limit has passed.
func (a *app) awaitConsumers(ctx context.Context, door control.Door, kids []string, limit time.Duration) ([]control.Consumer, error) {
	deadline := time.Now().Add(limit)
	told, doubted := -1, ""
	for {
		list, err := control.ListConsumers.Do(ctx, door, control.ConsumerQuery{})
		if err != nil {
			return nil, err
		}
		if told < 0 {
			a.tellSince(list)
		}
		if doubt := strings.Join(doubts(list.Heard), "\n"); doubt != doubted {
			writeHeard(a.err, list.Heard)
			doubted = doubt
		}
		lacking, late := lackingAny(list, kids), !time.Now().Before(deadline)
		switch {
		case late && list.Unheard != "":
			return nil, errors.New("who fetched the key set from other servers is not known: " + list.Unheard)
		case late, len(lacking) == 0 && list.Unheard == "":
			return lacking, nil
		}
		if told != len(lacking) {
			told = len(lacking)
			fmt.Fprintf(a.err, "waiting for %s\n", plural(told, "consumer", "consumers"))
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(min(pollConsumers, time.Until(deadline))):
		}
	}
}

// tellSince says whom a rotation cannot wait for.
func (a *app) tellSince(list control.ConsumerList) {
	if list.Now.Sub(list.Since) >= 24*time.Hour {
		return
	}
	who := "the server has"
	if len(list.Servers) > 1 {
		who = fmt.Sprintf("the first of %d servers has", len(list.Servers))
	}
	fmt.Fprintf(a.err, "%s run since %s: who has not fetched the key set since then is not known\n", who, clock(list.Since))
}

// lackingAny are the consumers that count and have not fetched all of the keys.
func lackingAny(list control.ConsumerList, kids []string) []control.Consumer {
	return slices.DeleteFunc(slices.Clone(list.Consumers), func(c control.Consumer) bool {
		return !c.Counts(list.Now) || !slices.ContainsFunc(kids, func(kid string) bool { return !c.Holds(kid) })
	})
}

// refuseTurn lists who has not fetched the new key, and what its turn would mean.
func (a *app) refuseTurn(lacking []control.Consumer, limit time.Duration) error {
	columns(a.out, "CONSUMER | LAST FETCH", func(row func(...any)) {
		for _, c := range lacking {
			row(c.Label(), clock(c.LastFetch))
		}
	})
	fmt.Fprintln(a.out, `Most clients fetch the key set at the first token of a key that they do not have; those
that do not (Kubernetes, Envoy, jwx, Istio) refuse its tokens until their next fetch.
signet keys rotate --dry-run shows it for each kind.`)
	return hintedError{fmt.Errorf("%s within %v; the new key stays held",
		plural(len(lacking), "consumer has not fetched the new key", "consumers have not fetched the new key"), limit), heldHint}
}

const heldHint = "signet keys rotate --wait  # goes on waiting; signet keys rotate --now lets it sign all the same"

func stillHeld() error {
	return hintedError{errors.New("the new key stays published, and held"), heldHint}
}
