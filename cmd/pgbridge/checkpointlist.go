package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/checkpoint"
)

func newCheckpointList() *cobra.Command {
	var id string
	cmd := &cobra.Command{
		Use:   "list [--db-id ID]",
		Short: "List the checkpoints in the archives",
		Long: `List reads every checkpoint of the database from the archives, checks its signature
and form, and says whether the chain names it: a restore trusts no other. With --db-id
it needs no database; without, it lists those of the database that is configured.

With --json it prints a line for each: number, digest, lsn, at, tables, rows, chunks,
bytes, seq (the record of the chain after which the rest begins), confirmed; and error,
for what is listed as a checkpoint and is none, or is not confirmed.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := newApp(cmd)
			if err != nil {
				return err
			}
			db, err := a.chosenDB(cmd.Context(), id)
			if err != nil {
				return err
			}
			return a.listCheckpoints(cmd.Context(), db)
		},
	}
	dbIDFlag(cmd.Flags(), &id)
	return cmd
}

// listedCheckpoint is a line of the list.
type listedCheckpoint struct {
	checkpointSummary
	Seq       uint64 `json:"seq"`
	Confirmed bool   `json:"confirmed"`
	Error     string `json:"error,omitempty"`
}

func (a *app) listCheckpoints(ctx context.Context, db action.Digest) error {
	t, err := a.told(ctx, db)
	if err != nil {
		return err
	}
	finder, err := t.checkpoints(ctx)
	if err != nil {
		return err
	}
	numbers, err := finder.Numbers(ctx)
	if err != nil {
		return err
	}
	slices.Sort(numbers)
	var list []listedCheckpoint
	for _, n := range numbers {
		list = append(list, listCheckpoint(ctx, finder, n))
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if a.JSON {
		lines := json.NewEncoder(a.out)
		for _, l := range list {
			if err := lines.Encode(l); err != nil {
				return err
			}
		}
		return nil
	}
	return a.tabulateCheckpoints(list)
}

func listCheckpoint(ctx context.Context, finder *checkpoint.Finder, n uint64) listedCheckpoint {
	l := listedCheckpoint{checkpointSummary: checkpointSummary{Number: n}}
	c, err := finder.Open(ctx, n)
	if err != nil {
		l.Error = err.Error()
		return l
	}
	l.Digest, l.At, l.LSN, l.Seq, l.Tables = c.Digest, time.UnixMicro(c.At).UTC(), c.LSN, c.Head.Seq, len(c.Tables)
	for _, s := range c.State {
		l.Rows += s.Rows
	}
	for _, chunk := range c.Chunks() {
		l.Chunks++
		l.Bytes += chunk.Bytes
	}
	err = finder.Confirm(ctx, &c)
	l.Confirmed = err == nil
	if err != nil && !errors.Is(err, checkpoint.ErrUnconfirmed) {
		l.Error = err.Error()
	}
	return l
}

func (a *app) tabulateCheckpoints(list []listedCheckpoint) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NUMBER\tTIME\tPOSITION\tRECORD\tTABLES\tROWS\tBYTES\tIN THE CHAIN\tDIGEST")
	for _, l := range list {
		if l.Digest.IsZero() {
			fmt.Fprintf(w, "%d\tnot readable: %s\n", l.Number, oneLine(l.Error))
			continue
		}
		confirmed := "yes"
		switch {
		case l.Error != "":
			confirmed = "not known: " + oneLine(l.Error)
		case !l.Confirmed:
			confirmed = "no"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%d\t%d\t%s\t%s\t%s\n", l.Number, l.At.Format(time.RFC3339), l.LSN, l.Seq, l.Tables, l.Rows, byteText(l.Bytes), confirmed, l.Digest)
	}
	return w.Flush()
}
