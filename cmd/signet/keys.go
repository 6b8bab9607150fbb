package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"signet/configs"
	"signet/internal/control"
	"signet/keystore"
)

func keysCommand(a *app) *cobra.Command {
	return group("keys", "List, export, rotate and revoke the signing keys; see who has them",
		keysListCommand(a), keysShowCommand(a), keysConsumersCommand(a), keysExportCommand(a), toReplicas(a, keysRotateCommand(a)), keysRevokeCommand(a),
		toReplicas(a, keysImportCommand(a)), toReplicasByHand(a, keysResealCommand(a)), toReplicas(a, keysResumeCommand(a)))
}

func keysListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the signing keys and what happens to each next", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := do(cmd.Context(), a, control.ListKeys, struct{}{})
			if err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) {
				columns(w, "ALG | STATE | KID | NEXT", func(row func(...any)) {
					for _, k := range list.Keys {
						row(k.Alg, k.State, k.KID, nextOf(k, list.Now))
					}
				})
				writeSchedule(w, list.Schedule)
				writeKeysRead(w, list.Read)
			})
		},
	}
}

// nextOf says what happens to a key next.
func nextOf(k keystore.Info, now time.Time) string {
	switch k.State {
	case keystore.Pending:
		if k.Held {
			return "published, and held: signs when signet keys rotate --wait or --now gives it its turn"
		}
		return "published; signs from " + in(k.SignsFrom, now)
	case keystore.Active:
		if k.SignsUntil.IsZero() {
			return "signs, since " + clock(k.SignsFrom)
		}
		return "signs until " + in(k.SignsUntil, now)
	case keystore.Retired:
		return "signs no more; published until " + in(k.PublishedUntil, now)
	case keystore.Removed:
		return "unpublished; verifies refresh tokens until " + in(k.KeptUntil, now)
	default:
		return "revoked " + in(k.Revoked, now)
	}
}

func keysShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show KID", Short: "Show the life of a key, and who uses it", Args: oneArgument("kid of a key (signet keys list)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			k, err := showKey(cmd.Context(), a, args[0])
			if err != nil {
				return err
			}
			return a.print(k, func(w io.Writer) {
				private := "destroyed"
				if k.PrivateHalf {
					private = cmp.Or(k.Vault, "sealed in the database")
				}
				columns(w, "KEY | "+k.KID, func(row func(...any)) {
					row("algorithm", k.Alg)
					row("state", k.State)
					row("private half", private)
					row("created and published", clock(k.Created))
					row("signs from", clock(k.SignsFrom))
					row("signs until", clock(k.SignsUntil))
					row("published until", clock(k.PublishedUntil))
					if k.Revoked.IsZero() { // of a revoked key nothing verifies
						row("verifies refresh tokens until", clock(k.KeptUntil))
					}
					row("revoked", clock(k.Revoked))
					writeUse(k, row)
				})
			})
		},
	}
}

func keysRotateCommand(a *app) *cobra.Command {
	var request control.Rotation
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace the signing keys; nobody is logged out",
		Long: `Replace the signing keys. A new key is published now and signs after
keys.publish_ahead, when every service that caches the key set has seen it. The
old key signs until then and stays published until its last token has expired.

With --wait the new key is held, and signs as soon as every consumer of the last day
has fetched it (signet keys consumers); if that takes longer than --for, the command
lists who has not, and the key stays held.`,
		Args: noArguments,
	}
	ahead := durationFlag(cmd, "in", "publish the new key this long before it signs (24h, 30d)")
	cmd.Flags().StringVar(&request.Alg, "alg", "", "rotate this `ALGORITHM` only")
	cmd.Flags().BoolVar(&request.Now, "now", false, "sign with the new or the pending key at once: services that have not seen it refuse its tokens until they fetch the key set")
	cmd.Flags().BoolVar(&request.DryRun, "dry-run", false, "show the plan and change nothing")
	wait := cmd.Flags().Bool("wait", false, "hold the new key until every consumer has fetched it")
	limit := durationFlag(cmd, "for", "how long --wait waits (default 1h)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if cmd.Flags().Changed("in") && request.Now {
			return usageError{errors.New("--in and --now exclude each other")}
		}
		if cmd.Flags().Changed("for") && (!*wait || *limit <= 0) {
			return usageError{errors.New("--for says how long --wait waits, and is longer than nothing")}
		}
		if *wait && (cmd.Flags().Changed("in") || request.Now || request.DryRun) {
			return usageError{errors.New("--wait excludes --in, --now and --dry-run")}
		}
		if *wait {
			request.Alg = algorithm(request.Alg)
			return rotateWhenFetched(cmd.Context(), a, request, cmp.Or(time.Duration(*limit), time.Hour))
		}
		if cmd.Flags().Changed("in") && *ahead <= 0 {
			return usageError{errors.New("--in takes a time that is longer than nothing; --now is for at once")}
		}
		request.In, request.Alg = time.Duration(*ahead), algorithm(request.Alg)
		if request.DryRun {
			plan, err := planRotation(cmd.Context(), a, request)
			if err != nil {
				return err
			}
			return a.print(plan, func(w io.Writer) { writeRotationPlan(w, plan, request.Now) })
		}
		rotated, err := do(cmd.Context(), a, control.RotateKeys, request)
		if err != nil {
			return err
		}
		return a.print(rotated, func(w io.Writer) { writeRotated(w, rotated, request.Now) })
	}
	return cmd
}

// algorithm is the registered name of an algorithm that was typed in any case.
func algorithm(typed string) string {
	for _, name := range keystore.Algorithms {
		if strings.EqualFold(name, typed) {
			return name
		}
	}
	return typed
}

func writeRotated(w io.Writer, r control.Rotated, atOnce bool) {
	if r.DryRun {
		fmt.Fprintln(w, "plan only; nothing was changed, and the kid of a new key will be another")
	}
	for _, t := range r.Takeovers {
		fmt.Fprintf(w, "%s: key %s %s\n", t.New.Alg, t.New.KID, beginning(t.New, r.Now))
		if t.Old.KID != "" {
			fmt.Fprintf(w, "%s  key %s signs until then, stays published until %s\n",
				pad(t.New.Alg), t.Old.KID, clock(t.Old.PublishedUntil))
		}
	}
	if atOnce {
		fmt.Fprintln(w, "services that cache the key set refuse new tokens until they fetch it again; nobody is logged out")
		return
	}
	fmt.Fprintln(w, "nobody is logged out; signet keys list shows the state")
}

// beginning says since when a key is published and from when it signs.
func beginning(k keystore.Info, now time.Time) string {
	published := "published now"
	if now.Sub(k.Created) > time.Minute {
		published = "published since " + clock(k.Created)
	}
	if k.SignsFrom.After(now) {
		return published + ", signs from " + in(k.SignsFrom, now)
	}
	return published + ", signs from now on"
}

func pad(s string) string { return fmt.Sprintf("%*s", len(s), "") }

func keysRevokeCommand(a *app) *cobra.Command {
	var request control.Revocation
	cmd := &cobra.Command{
		Use:   "revoke KID",
		Short: "Take a leaked key out of use now",
		Long: `Take a key out of the key set now, for good. A key that was never published
signs in its place at once, and the sessions whose refresh token the revoked key
signed end. Services go on trusting a revoked key until they fetch the key set
again: the command prints which kinds do so when.`,
		Args: oneArgument("kid of a key (signet keys list)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.KID = args[0]
			if request.DryRun {
				plan, err := planRevocation(cmd.Context(), a, request)
				if err != nil {
					return err
				}
				return a.print(plan, func(w io.Writer) { writeRevocationPlan(w, plan) })
			}
			revoked, err := do(cmd.Context(), a, control.RevokeKey, request)
			if err != nil {
				return err
			}
			return a.print(revoked, func(w io.Writer) { writeRevoked(w, revoked) })
		},
	}
	cmd.Flags().BoolVar(&request.DryRun, "dry-run", false, "show the plan and change nothing")
	return cmd
}

func writeRevoked(w io.Writer, r control.RevokedKey) {
	writeRevokedKeys(w, r)
	fmt.Fprintf(w, "%s ended whose refresh token it had signed\n", plural(r.SessionsEnded, "session", "sessions"))
	writeRevokedElsewhere(w, r.Now, 0)
}

func writeRevokedKeys(w io.Writer, r control.RevokedKey) {
	if r.DryRun {
		fmt.Fprintln(w, "plan only; nothing was changed, and the kid of the new key will be another")
	}
	fmt.Fprintf(w, "%s: key %s revoked: out of the key set now\n", r.Old.Alg, r.Old.KID)
	fmt.Fprintf(w, "%s  key %s signs from now on; it was never published before\n", pad(r.Old.Alg), r.New.KID)
	if s := r.Superseded; s != nil {
		fmt.Fprintf(w, "%s  key %s, active until now, signs no more and stays published until %s\n",
			pad(r.Old.Alg), s.KID, clock(s.PublishedUntil))
	}
	if l := r.Replicas; l != nil {
		fmt.Fprintf(w, "the other replicas drop it within %s; one that cannot reach the database publishes it until it can, and signs with it for %s at most\n", span(l.Drop), span(l.Sign))
	}
}

// duration is a flag in the text form of the configuration: 24h, 30d.
type duration time.Duration

func durationFlag(cmd *cobra.Command, name, usage string) *duration {
	d := new(duration)
	cmd.Flags().Var(d, name, usage)
	return d
}

func (d *duration) Set(text string) error {
	parsed, err := configs.ParseDuration(text)
	*d = duration(parsed)
	return err
}

func (d *duration) String() string {
	if *d == 0 {
		return ""
	}
	return time.Duration(*d).String()
}

func (*duration) Type() string { return "DURATION" }
