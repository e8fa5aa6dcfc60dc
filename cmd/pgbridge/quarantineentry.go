package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/applier"
	"github.com/pgbridge/pgbridge/postgres"
)

// quarantine is what could not be applied.
type quarantine struct {
	ID       int64               `json:"id"`
	Writer   string              `json:"writer"`
	Epoch    uint32              `json:"epoch"`
	Seq      uint64              `json:"seq"`
	Tx       int                 `json:"tx"` // index in the record, from 0
	SQLState string              `json:"sqlstate,omitempty"`
	Error    string              `json:"error"`
	At       time.Time           `json:"at"`
	State    string              `json:"state"` // open, past, or the decision that waits
	Reason   string              `json:"reason,omitempty"`
	Detail   *applier.Difference `json:"detail,omitempty"`
}

// The states of an entry, besides the decisions.
const (
	stateOpen = "open"
	statePast = "past" // the chain went on
)

// quarantines are the entries of one database.
type quarantines struct {
	q   postgres.Querier
	now time.Time // at the server
}

// withQuarantine opens a transaction on the quarantine of the database.
func (a *app) withQuarantine(ctx context.Context, do func(context.Context, *quarantines) error) error {
	conn, err := a.database(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := loadDatabase(ctx, tx); err != nil {
			return err
		}
		q := &quarantines{q: tx}
		if err := tx.QueryRow(ctx, "SELECT clock_timestamp()").Scan(&q.now); err != nil {
			return fmt.Errorf("read the server's time: %w", err)
		}
		return do(ctx, q)
	})
}

// list returns all entries by id.
func (q *quarantines) list(ctx context.Context) ([]quarantine, error) {
	const query = `SELECT q.id, q.writer, q.epoch, q.seq, q.tx, coalesce(q.sqlstate, ''), q.error, q.found_at, coalesce(q.reason, ''), q.detail::text,
			CASE WHEN (q.epoch, q.seq, q.tx) < (p.epoch, p.seq + CASE WHEN p.complete THEN 1 ELSE 0 END, CASE WHEN p.complete THEN 0 ELSE p.txs END)
				THEN 'past' ELSE coalesce(q.decision, 'open') END
		FROM pgbridge.quarantine q LEFT JOIN pgbridge.progress p ON p.writer = q.writer
		ORDER BY q.id`
	rows, err := q.q.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("read quarantine: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e quarantine, err error) {
		var detail *string
		if err := row.Scan(&e.ID, &e.Writer, &e.Epoch, &e.Seq, &e.Tx, &e.SQLState, &e.Error, &e.At, &e.Reason, &detail, &e.State); err != nil {
			return e, err
		}
		e.At = e.At.UTC()
		if detail != nil {
			err = json.Unmarshal([]byte(*detail), &e.Detail)
		}
		return e, err
	})
	if err != nil {
		return nil, fmt.Errorf("read quarantine: %w", err)
	}
	return all, nil
}

// open returns the entries that the chains have not passed.
func (q *quarantines) open(ctx context.Context) ([]quarantine, error) {
	all, err := q.list(ctx)
	return slices.DeleteFunc(all, func(e quarantine) bool { return e.State == statePast }), err
}

func (q *quarantines) one(ctx context.Context, id int64) (quarantine, error) {
	all, err := q.list(ctx)
	if err != nil {
		return quarantine{}, err
	}
	at := slices.IndexFunc(all, func(e quarantine) bool { return e.ID == id })
	if at < 0 {
		return quarantine{}, usageError{fmt.Errorf("there is no entry %d: pgbridge quarantine list", id)}
	}
	return all[at], nil
}

// decide writes a decision, or takes it back if d is empty.
func (q *quarantines) decide(ctx context.Context, id int64, d applier.Decision, reason string) (quarantine, error) {
	e, err := q.one(ctx, id)
	if err != nil {
		return e, err
	}
	if e.State == statePast {
		return e, usageError{fmt.Errorf("entry %d is history: the chain has passed record %d:%d", id, e.Epoch, e.Seq)}
	}
	_, err = q.q.Exec(ctx, "UPDATE pgbridge.quarantine SET decision = nullif($2, ''), reason = nullif($3, '') WHERE id = $1", id, string(d), reason)
	if err != nil {
		return e, fmt.Errorf("write quarantine: %w", err)
	}
	return q.one(ctx, id)
}

// decided says what will become of the entry.
func (e *quarantine) decided(d applier.Decision) string {
	what := map[applier.Decision]string{applier.Skip: "will be skipped", applier.UseRows: "will be applied by its rows"}[d]
	if what == "" {
		what = "will be tried again"
	}
	return fmt.Sprintf("record %d:%d transaction %d %s: start pgbridge run (again, if it is at work)\n", e.Epoch, e.Seq, e.Tx, what)
}

// story is the entry for people.
func (e *quarantine) story(now time.Time) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(label, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", label, fmt.Sprintf(format, args...))
	}
	line("entry", "%d, %s", e.ID, e.State)
	if e.Reason != "" {
		line("reason", "%s", oneLine(e.Reason))
	}
	line("writer", "%s", e.Writer)
	line("place", "record %d:%d transaction %d", e.Epoch, e.Seq, e.Tx)
	line("found", "%s, %s", e.At.Format("2006-01-02 15:04:05Z"), ago(now, e.At))
	line("error", "%s", oneLine(e.Error))
	if e.SQLState != "" {
		line("sqlstate", "%s", e.SQLState)
	}
	if e.Detail != nil {
		for i, text := range differs(e.Detail) {
			line([]string{"row", ""}[min(i, 1)], "%s", text)
		}
	}
	if e.State != statePast {
		line("next", "mend the cause and start pgbridge run, or pgbridge quarantine skip|use-rows %d --reason TEXT", e.ID)
	}
	w.Flush() //nolint:errcheck // a builder takes everything
	return b.String()
}

// differs says which row of which table differs, and how: a line for the row,
// and one for each column.
func differs(d *applier.Difference) (lines []string) {
	row := d.Table
	if len(d.Key) > 0 {
		row += " " + pairs(d.Key)
	}
	switch {
	case d.Want == nil && d.Got == nil:
		return []string{row}
	case d.Want == nil:
		return []string{row + ": is here, expected none"}
	case d.Got == nil:
		return []string{row + ": is not here", "expected " + pairs(d.Want)}
	case len(d.Got) == 0:
		return []string{row + ": was not written here, expected it to be"}
	}
	lines = []string{row}
	for _, c := range slices.Sorted(maps.Keys(d.Got)) {
		lines = append(lines, fmt.Sprintf("%s: expected %s, found %s", printableColumn(c), quoted(d.Want[c]), quoted(d.Got[c])))
	}
	return lines
}

func pairs(values map[string]*string) string {
	var all []string
	for _, c := range slices.Sorted(maps.Keys(values)) {
		all = append(all, printableColumn(c)+"="+quoted(values[c]))
	}
	return strings.Join(all, " ")
}

// quoted writes a value, whole.
func quoted(v *string) string {
	switch {
	case v == nil:
		return "null"
	case number([]byte(*v)):
		return *v
	}
	return strconv.Quote(*v)
}
