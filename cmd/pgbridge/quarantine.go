package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/pgbridge/pgbridge/applier"
)

func newQuarantine() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "quarantine",
		Short: "Look at transactions that could not be applied, and decide on them",
		Long: `A transaction that cannot be applied here stops the chain of its writer, and
lies in quarantine with its story. Nothing is skipped by itself. Either mend the
cause (pgbridge quarantine show ID says what it is) and start pgbridge run, which
tries again; or decide, with a reason that is kept:

    skip ID       nothing of the transaction is applied: this database then
                  differs from its writer's
    use-rows ID   its rows are written as the writer signed them, and none of
                  its functions is called
    retry ID      take the decision back

A decision takes effect when pgbridge run starts. Entries that the chain has
passed are history: list --all shows them. --reason is required to decide.`,
		Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newQuarantineList(), newQuarantineShow(),
		newDecide(applier.Skip, "Apply nothing of a transaction"),
		newDecide(applier.UseRows, "Apply a transaction by its rows, without calling functions"),
		newDecide("", "Take a decision back: the transaction is tried again"))
	return cmd
}

func newQuarantineList() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List what could not be applied",
		Long: `List prints what stops a chain, one entry a line: its id, the record
(epoch:record), the transaction in it from 0, the state (open, a decision that
waits for pgbridge run, or past) and what went wrong. With --json each line is an
object, as show prints it.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := newApp(cmd)
			if err != nil {
				return err
			}
			return a.listQuarantine(cmd.Context(), all)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "also what the chain has passed since")
	return cmd
}

func newQuarantineShow() *cobra.Command {
	return &cobra.Command{
		Use:   "show ID",
		Short: "Tell the story of an entry: what failed, and which row differs how",
		Long: `Show tells the story of one entry. Where an action had another effect here than
the writer signed, it says which row of which table differs, and in which
columns. With --json it prints one object:

    id, writer, epoch, seq, tx       the entry, and the transaction's place
    sqlstate, error, at              what went wrong, and when it was last seen
    state                            open, skip, use-rows, or past
    reason                           of the decision
    detail                           the row that differs: table, key, want, got, by
                                     column; got has the columns that differ, and
                                     want or got is null where there is no row`,
		Args: oneArg("an entry's ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withEntry(cmd, args[0], func(ctx context.Context, a *app, q *quarantines, id int64) error {
				e, err := q.one(ctx, id)
				if err != nil {
					return err
				}
				return a.print(e, "%s", e.story(q.now))
			})
		},
	}
}

// newDecide is the command that decides, or takes a decision back.
func newDecide(d applier.Decision, short string) *cobra.Command {
	var reason string
	use := string(d)
	if d == "" {
		use = "retry"
	}
	cmd := &cobra.Command{
		Use: use + " ID", Short: short, Args: oneArg("an entry's ID"),
		Long: short + `. It takes effect when pgbridge run starts.
See pgbridge quarantine --help.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if d != "" && strings.TrimSpace(reason) == "" {
				return usageError{errors.New("why? give --reason TEXT: it is kept with the entry")}
			}
			return withEntry(cmd, args[0], func(ctx context.Context, a *app, q *quarantines, id int64) error {
				e, err := q.decide(ctx, id, d, reason)
				if err != nil {
					return err
				}
				return a.print(e, "%s", e.decided(d))
			})
		},
	}
	if d != "" {
		cmd.Flags().StringVar(&reason, "reason", "", "why: a `text` that is kept with the entry")
	}
	return cmd
}

// oneArg wants exactly one argument, and says which.
func oneArg(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usageError{fmt.Errorf("%s takes %s, got %d arguments", cmd.CommandPath(), what, len(args))}
		}
		return nil
	}
}

// withEntry reads the id of an entry and opens the quarantine.
func withEntry(cmd *cobra.Command, text string, do func(context.Context, *app, *quarantines, int64) error) error {
	a, err := newApp(cmd)
	if err != nil {
		return err
	}
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return usageError{fmt.Errorf("%.50q is no entry: pgbridge quarantine list", text)}
	}
	return a.withQuarantine(cmd.Context(), func(ctx context.Context, q *quarantines) error { return do(ctx, a, q, id) })
}

func (a *app) listQuarantine(ctx context.Context, all bool) error {
	return a.withQuarantine(ctx, func(ctx context.Context, q *quarantines) error {
		entries, err := q.list(ctx)
		if err != nil {
			return err
		}
		var b strings.Builder
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, e := range entries {
			if e.State == statePast && !all {
				continue
			}
			if a.JSON {
				if err := a.print(e, ""); err != nil {
					return err
				}
				continue
			}
			fmt.Fprintf(w, "%d\t%d:%d\t%d\t%s\t%s\n", e.ID, e.Epoch, e.Seq, e.Tx, e.State, oneLine(e.Error))
		}
		if a.JSON {
			return nil
		}
		w.Flush() //nolint:errcheck // a builder takes everything
		return a.print(nil, "%s", b.String())
	})
}
