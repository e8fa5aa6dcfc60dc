package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/audit"
)

func newDiff() *cobra.Command {
	var id, from, to string
	var tables []string
	cmd := &cobra.Command{
		Use:   "diff --db-id ID --from MOMENT [--to MOMENT]",
		Short: "Show which rows differ between two moments, from the archive",
		Long: `Diff reads the archive and no database. It shows the rows that differ between two
moments, by table and key, with the columns that have another value: what was inserted
and deleted again in between is not in it, nor what has its old value again. A row that
got another key is one that was deleted and one that was inserted.

A MOMENT is a time (RFC 3339, or a date), how long ago it was (90m), a place in the
chain (WRITER:EPOCH:SEQ, or WRITER:EPOCH:SEQ:INDEX, as history prints it),
checkpoint:N, or the id of a data item. It is the state after everything up to there.
Without --to it is the end of the chain.

    app.posts updated id=7
        title: "hello" -> "hello, world"
    app.tags inserted id=9 ...

Statements that changed the schema in between are named first; what they did to rows by
themselves, like the default of a new column, is not shown. The chain is read from the
genesis, two or three times. Memory grows with the rows that were written between the
moments, about a kilobyte for each and its values, and with all rows of a table that was
truncated or rewritten in between.

With --json it prints one object: from, to (the last transactions of the two states),
statements, rows (table, operation, key, columns with name, had, old, has, new).`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := newApp(cmd)
			if err != nil {
				return err
			}
			if from == "" {
				return usageError{errors.New("since when? give --from MOMENT: a time, how long ago, WRITER:EPOCH:SEQ[:INDEX] or checkpoint:N")}
			}
			now := time.Now()
			first, err1 := parseMoment(from, now)
			last, err2 := parseMoment(to, now)
			names, err3 := parseTables(tables)
			if err := errors.Join(err1, err2, err3); err != nil {
				return usageError{err}
			}
			db, err := a.chosenDB(cmd.Context(), id)
			if err != nil {
				return err
			}
			return a.diff(cmd.Context(), db, first, last, names)
		},
	}
	dbIDFlag(cmd.Flags(), &id)
	cmd.Flags().StringVar(&from, "from", "", "the first `moment`")
	cmd.Flags().StringVar(&to, "to", "", "the second `moment`; the end of the chain if it is not given")
	cmd.Flags().StringSliceVar(&tables, "table", nil, "only this `schema.table`, may be repeated")
	return cmd
}

func (a *app) diff(ctx context.Context, db action.Digest, from, to moment, tables []action.Name) error {
	t, err := a.told(ctx, db)
	if err != nil {
		return err
	}
	d := &audit.Diff{Chain: t.whole, Genesis: &t.genesis, Tables: tables}
	if d.From, _, err = t.resolve(ctx, from); err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	if d.To, _, err = t.resolve(ctx, to); err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	changes, err := d.Run(ctx)
	if errors.Is(err, audit.ErrOrder) {
		return usageError{fmt.Errorf("--from and --to: %w", audit.ErrOrder)}
	}
	if err != nil {
		return err
	}
	if a.JSON {
		return json.NewEncoder(a.out).Encode(changes)
	}
	out := bufio.NewWriter(a.out)
	return errors.Join(printChanges(out, changes), out.Flush())
}

func printChanges(out *bufio.Writer, c *audit.Changes) error {
	for _, s := range c.Statements {
		fmt.Fprintf(out, "schema changed: %s\n", cut(oneLine(s)))
	}
	counts := map[string]int{}
	for _, r := range c.Rows {
		counts[r.Operation] += max(1, r.Times)
		fmt.Fprintf(out, "%s %s", printable(r.Table.String()), r.Operation)
		printKey(out, r.Key)
		if r.Times > 1 {
			fmt.Fprintf(out, " (%d equal rows)", r.Times)
		}
		fmt.Fprintln(out)
		if err := printColumns(out, r.Columns); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "%d inserted, %d updated, %d deleted\n", counts["inserted"], counts["updated"], counts["deleted"])
	return err
}
