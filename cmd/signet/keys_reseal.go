package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"signet/internal/control"
	"signet/keystore"
)

func keysResealCommand(a *app) *cobra.Command {
	var request control.DryRun
	cmd := &cobra.Command{
		Use:   "reseal",
		Short: "Make a new sealing key and seal the private keys with it",
		Long: `Make a new sealing key, seal every private key with it in one step, and put it in
the place of the old one. The signing keys stay as they are. When it is
interrupted, the next start finishes or undoes it.

With PostgreSQL (store: postgres://…) the keys in the database change for all servers, and
the file on this machine alone: copy it to the others at once. Until then they sign for
15s, and do not start again.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			resealed, err := do(cmd.Context(), a, control.ResealKeys, request)
			if err != nil {
				return err
			}
			return a.print(resealed, func(w io.Writer) { writeResealed(w, resealed) })
		},
	}
	cmd.Flags().BoolVar(&request.DryRun, "dry-run", false, "show the plan and change nothing")
	return cmd
}

func writeResealed(w io.Writer, r control.ResealedKeys) {
	done := "sealed"
	if r.DryRun {
		fmt.Fprintln(w, "plan only; nothing was changed")
		done = "would be sealed"
	}
	fmt.Fprintf(w, "%s %s with a new sealing key, in %s\n", plural(r.Keys, "private key", "private keys"), done, r.Path)
	fmt.Fprintf(w, `copies of the old sealing key do not open the database from then on: copy %s anew
backups of the database from before need the old sealing key: keep it with them, or destroy both
what the old key opened may stay in free pages of the database until they are reused
`, r.Path)
}

func keysResumeCommand(a *app) *cobra.Command {
	var request control.DryRun
	cmd := &cobra.Command{
		Use:   "resume",
		Short: "Confirm the clock after a leap, and let the schedule of the keys go on",
		Long: `Confirm that the clock is right. A clock that leaps ahead by more than a rotation
step (the smaller of keys.publish_ahead and keys.rotate_every, at least an hour)
stops the schedule, and so does a start after a downtime of that length. From now
on it goes on: a key that waits is published as long before it signs as was
planned, and no key leaves the set before the tokens that it signed expire.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			resumed, err := do(cmd.Context(), a, control.ResumeKeys, request)
			if err != nil {
				return err
			}
			return a.print(resumed, func(w io.Writer) {
				if request.DryRun {
					fmt.Fprintln(w, "plan only; nothing was changed")
				}
				fmt.Fprintf(w, "the schedule goes on from %s\n", clock(resumed.Now))
				columns(w, "ALG | STATE | KID | NEXT", func(row func(...any)) {
					for _, k := range resumed.Keys {
						row(k.Alg, k.State, k.KID, nextOf(k, resumed.Now))
					}
				})
			})
		},
	}
	cmd.Flags().BoolVar(&request.DryRun, "dry-run", false, "show the plan and change nothing")
	return cmd
}

// writeSchedule says why the schedule is stopped, if it is.
func writeSchedule(w io.Writer, s *keystore.Schedule) {
	if s == nil {
		return
	}
	ahead, by := "ahead of", s.Leap
	if by < 0 {
		ahead, by = "behind", -by
	}
	fmt.Fprintf(w, "the schedule is stopped since %s: the clock says %s, %s %s what it should be\n",
		clock(s.Stopped), clock(s.Clock), span(by), ahead)
	fmt.Fprint(w, `  it leapt, or no server ran for long; the active keys sign on, none is made or destroyed
  the times above go by what the clock should be
  if the clock is right: signet keys resume; if not, set it, and the schedule goes on by itself
`)
}
