package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pgbridge/pgbridge/audit"
	"github.com/pgbridge/pgbridge/postgres"
)

// compareDatabase compares the configured database with the log. id is empty, or
// the db-id that it must have.
func (a *app) compareDatabase(ctx context.Context, id string, most int) error {
	conn, err := a.database(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	d, err := loadReady(ctx, conn)
	if err != nil {
		return err
	}
	if id != "" && id != d.ID.String() {
		return usageError{fmt.Errorf("the database is %s (%s), not the one of --db-id", d.Name, d.ID)}
	}
	if d.Stage == postgres.StageCopy {
		return errors.New("the initial rows are not all there yet: let pgbridge run finish first")
	}
	t, err := a.told(ctx, d.ID)
	if err != nil {
		return err
	}
	c := &againstLog{told: t, conn: conn, database: d}
	result, err := c.run(ctx, most)
	if err != nil {
		return err
	}
	if err := a.printComparison(result); err != nil {
		return err
	}
	if result.Found > 0 {
		return personError{fmt.Errorf("%s has %d differences from what the log says", d.Name, result.Found)}
	}
	return nil
}

func (a *app) printComparison(r *audit.Comparison) error {
	if a.JSON {
		return json.NewEncoder(a.out).Encode(r)
	}
	out := bufio.NewWriter(a.out)
	for _, d := range r.Differences {
		printDifference(out, &d)
	}
	if more := r.Found - int64(len(r.Differences)); more > 0 {
		fmt.Fprintf(out, "and %d more\n", more)
	}
	if len(r.Partly) > 0 {
		fmt.Fprintf(out, "columns were changed since: of older rows only the keys, and what was written later, could be compared in %s\n", strings.Join(r.Partly, ", "))
	}
	base := "the genesis"
	if r.Checkpoint > 0 {
		base = fmt.Sprintf("checkpoint %d", r.Checkpoint)
	}
	at := base
	if r.Last.Seq > 0 {
		at = fmt.Sprintf("record %d of epoch %d (%s, %s)", r.Last.Seq, r.Last.Epoch, r.Last.At.Format(time.RFC3339), r.Last.LSN)
	}
	if r.Found == 0 {
		fmt.Fprintf(out, "equal to the log at %s: %d tables, %d rows, from %s\n", at, r.Tables, r.Rows, base)
	} else {
		fmt.Fprintf(out, "%d differences from the log at %s: %d tables, %d rows, from %s\n", r.Found, at, r.Tables, r.Rows, base)
	}
	return out.Flush()
}

func printDifference(out io.Writer, d *audit.Difference) {
	name := printable(d.Table)
	switch d.Kind {
	case "table":
		fmt.Fprintf(out, "%s: the table is not there\n", name)
	case "column":
		fmt.Fprintf(out, "%s: column %s is not there\n", name, printableColumn(d.Columns[0].Name))
	case "behind":
		fmt.Fprintf(out, "%s: the sequence is behind: at %s, must be at %s\n", name, cutText(d.Columns[0].New), cutText(d.Columns[0].Old))
	default:
		fmt.Fprintf(out, "%s", name)
		printKey(out, d.Key)
		fmt.Fprintf(out, ": %s", map[string]string{"missing": "is missing", "extra": "must not be there", "differs": "differs"}[d.Kind])
		if d.Times > 1 {
			fmt.Fprintf(out, " (%d times)", d.Times)
		}
		fmt.Fprintln(out)
		for _, c := range d.Columns {
			fmt.Fprintf(out, "    %s: must be %s, is %s\n", printableColumn(c.Name), cutText(c.Old), cutText(c.New))
		}
	}
}
