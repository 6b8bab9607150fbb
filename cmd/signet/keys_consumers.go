package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"signet/internal/control"
)

func keysConsumersCommand(a *app) *cobra.Command {
	var query control.ConsumerQuery
	cmd := &cobra.Command{
		Use:   "consumers",
		Short: "List who fetched the key set, and which keys they have",
		Long: `List who fetched the key set since the server started, and which of its keys they
got last. With PostgreSQL that is from any server on the database, as they told within
the last seconds; who fetched from another one is known for a day, and also where no server runs. A service is known by the name in the URL that it fetches,
/.well-known/jwks.json?rs=billing, or else by its address and User-Agent; services
behind one address with one User-Agent are one. Give each process a name of its
own: each has its own cache. Nothing here is proved: anyone can fetch the set under
any name.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := do(cmd.Context(), a, control.ListConsumers, query)
			if err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) { writeConsumers(w, list, query.KID) })
		},
	}
	cmd.Flags().StringVar(&query.KID, "kid", "", "only say who has the key `KID`")
	return cmd
}

func writeConsumers(w io.Writer, list control.ConsumerList, kid string) {
	columns(w, "NAME | ADDRESS | USER AGENT | LAST FETCH | HAS", func(row func(...any)) {
		for _, c := range list.Consumers {
			address := "-"
			if c.Address.IsValid() {
				address = c.Address.String()
			}
			row(cmp.Or(c.Name, "-"), address, cmp.Or(c.UserAgent, "-"), in(c.LastFetch, list.Now), hasOf(c, kid))
		}
	})
	fmt.Fprint(w, sinceStart(list.Heard, list.Since, "the first of them started"))
	if list.Forgotten > 0 {
		fmt.Fprintf(w, "; %s forgotten", plural(int(list.Forgotten), "one-time visitor was", "one-time visitors were"))
	}
	fmt.Fprintln(w)
	writeHeard(w, list.Heard)
	for _, k := range list.Keys {
		fmt.Fprintf(w, "%d of %s of the last day have key %s (%s, %s)\n", k.Have, plural(k.Of, "consumer", "consumers"), k.KID, k.Alg, k.State)
	}
}

// hasOf says which keys a consumer has, or whether it has one.
func hasOf(c control.Consumer, kid string) string {
	if kid != "" {
		if c.Holds(kid) {
			return "yes"
		}
		return "no"
	}
	text := "all " + plural(len(c.Has), "key", "keys")
	if len(c.Lacks) > 0 {
		text = "not " + strings.Join(c.Lacks, ", ")
	}
	if len(c.Gone) > 0 {
		text += "; still " + strings.Join(c.Gone, ", ")
	}
	return text
}

// shownKey is a key with who uses it.
type shownKey struct {
	control.KeyDetail
	// Sessions are the live ones whose refresh token the key signed.
	Sessions int `json:"sessions"`
}

func showKey(ctx context.Context, a *app, kid string) (k shownKey, err error) {
	err = through(ctx, a, func(door control.Door) error {
		if k.KeyDetail, err = control.ShowKey.Do(ctx, door, control.KeyID{KID: kid}); err != nil {
			return err
		}
		byKID, _, err := liveSessions(ctx, door)
		k.Sessions = byKID[kid]
		return err
	})
	return k, err
}

// writeUse says who uses a key.
func writeUse(k shownKey, row func(...any)) {
	row("live sessions", fmt.Sprintf("%d, counted just now", k.Sessions))
	row("safe to remove", safeToRemove(k.KeyDetail))
	u := k.Use
	if u == nil {
		row("tokens signed, consumers", "a running server knows")
		return
	}
	since := sinceStart(u.Heard, u.Since, "the last of them started")
	if u.Complete {
		since = "in all"
	}
	row("tokens signed", fmt.Sprintf("%d access, %d refresh, %s", u.AccessTokens, u.RefreshTokens, since))
	row("latest exp", fmt.Sprintf("access %s, refresh %s", clock(u.AccessExpires), clock(u.RefreshExpires)))
	row("consumers of the last day", fmt.Sprintf("%d of %d have it", len(u.Have), len(u.Have)+len(u.Lack)))
	if len(u.Have) > 0 {
		row("have it", shortList(u.Have, 10))
	}
	if len(u.Lack) > 0 {
		row("lack it", shortList(u.Lack, 10))
	}
	for _, doubt := range doubts(u.Heard) {
		row("not all", doubt)
	}
}

// safeToRemove says from when on no token of the key is believed anywhere.
func safeToRemove(k control.KeyDetail) string {
	switch {
	case !k.Revoked.IsZero():
		return "removed"
	case k.SafeToRemove.IsZero():
		return "no end of its signing is planned"
	case k.Observed:
		return in(k.SafeToRemove, k.Now) + ", by the tokens that it signed"
	}
	return in(k.SafeToRemove, k.Now) + ", by the longest token that it can have signed"
}
