package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/kwil"
)

// importing is an import under way.
type importing struct {
	*app
	*wantedKwil
	source string    // in pgbridge.imported
	conn   *pgx.Conn // nil for a dry run without a database
	before map[string]bool
	counts importCounts
}

// importCounts are printed at the end.
type importCounts struct {
	Imported int `json:"imported"` // in a dry run: would be
	Already  int `json:"already"`  // by an earlier run
	// Late are actions of this run whose place was before one that an earlier
	// run imported: the archive did not list them then.
	Late int `json:"late"`
	kwil.Report
}

// run replays the history. What was printed and counted is right also when it
// returns an error.
func (in *importing) run(ctx context.Context, h *kwil.History) error {
	if err := in.remember(ctx); err != nil {
		return err
	}
	for k, err := range h.Actions(ctx, &in.counts.Report) {
		if errors.Is(err, archive.ErrNotFound) {
			return personError{fmt.Errorf("%w: what follows may build on it: give another --archive, or leave it out with --skip", err)}
		}
		if err != nil {
			return err
		}
		if err := in.one(ctx, &k); err != nil {
			return err
		}
	}
	return nil
}

// remember reads what was imported before.
func (in *importing) remember(ctx context.Context) error {
	if in.conn == nil {
		return nil
	}
	const query = `SELECT id FROM pgbridge.imported WHERE source = $1`
	rows, err := in.conn.Query(ctx, query, in.source)
	if err != nil {
		return fmt.Errorf("read pgbridge.imported: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("read pgbridge.imported: %w", err)
	}
	in.before = make(map[string]bool, len(ids))
	for _, id := range ids {
		in.before[id] = true
	}
	return nil
}

// one imports an action, or passes over one that was imported before.
func (in *importing) one(ctx context.Context, k *kwil.Action) error {
	fresh := !in.before[k.ID]
	if late := in.counts.Imported; !fresh && late > in.counts.Late {
		in.log.Warn("the archive lists actions that it did not list before: they come after what was imported already", "actions", late, "before", k.ID)
		in.counts.Late = late
	}
	if fresh && !in.dry {
		var err error
		if fresh, err = in.replay(ctx, k); err != nil {
			return in.stopped(k, err)
		}
	}
	if fresh {
		in.counts.Imported++
	} else {
		in.counts.Already++
	}
	if in.dry {
		return in.printAction(k, fresh)
	}
	return nil
}

// replay calls the action and remembers it, in one transaction: a crash leaves
// both or nothing. It tells whether it did, or another run had.
func (in *importing) replay(ctx context.Context, k *kwil.Action) (fresh bool, err error) {
	const (
		remember = `INSERT INTO pgbridge.imported (source, id) VALUES ($1, $2) ON CONFLICT DO NOTHING`
		call     = `SELECT pgbridge.call($1, $2::jsonb)`
	)
	text, err := json.Marshal(args(k))
	if err != nil {
		return false, err
	}
	tx, err := in.conn.Begin(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	// First the row: of two runs at once, the second waits here for the first.
	tag, err := tx.Exec(ctx, remember, in.source, k.ID)
	if err != nil || tag.RowsAffected() == 0 {
		return false, err
	}
	if _, err := tx.Exec(ctx, call, in.name(k), string(text)); err != nil {
		return false, err
	}
	return true, tx.Commit(ctx)
}

// stopped says why an action cannot be replayed, without its values.
func (in *importing) stopped(k *kwil.Action, err error) error {
	about := fmt.Sprintf("import %s (action id %s, item %s)", printable(in.name(k)), k.ID, k.Item)
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return fmt.Errorf("%s: %w", about, err)
	}
	switch pgErr.Code[:2] {
	case "08", "40", "53", "57", "58": // connection, rollback, resources, operator, system: these pass
		return fmt.Errorf("%s: %w", about, err)
	}
	reason := pgErr.Message
	// What pgbridge's own functions say of a call names no value. What the
	// server says of data, or a function raises, may.
	own := pgErr.SchemaName == "pgbridge" && pgErr.Routine == "exec_stmt_raise"
	if class := pgErr.Code[:2]; !own && (class == "22" || class == "P0" || pgErr.Routine == "exec_stmt_raise") {
		reason = "the server's message is withheld, it may quote values (see the server's log)"
	}
	if own && pgErr.Hint != "" {
		reason += ": " + pgErr.Hint
	}
	return personError{fmt.Errorf("%s: %s (SQLSTATE %s): mend the function, or leave the action out with --skip %s", about, reason, pgErr.Code, k.Item)}
}

// printAction is a line of a dry run.
func (in *importing) printAction(k *kwil.Action, fresh bool) error {
	if in.JSON {
		return json.NewEncoder(in.out).Encode(struct {
			*kwil.Action
			Name    string            `json:"action"`
			Params  map[string]string `json:"params"`
			Already bool              `json:"already,omitempty"`
		}{k, in.name(k), args(k), !fresh})
	}
	var b strings.Builder
	at := "no time yet"
	if !k.Time.IsZero() {
		at = k.Time.Format("2006-01-02 15:04:05.000Z")
	}
	fmt.Fprintf(&b, "%s %s %s %s", at, k.ID, k.Signer, printable(in.name(k)))
	for _, p := range k.Params {
		fmt.Fprintf(&b, " %s=%s", printableColumn(strings.TrimPrefix(p.Name, "$")), cut(p.Value))
	}
	if !fresh {
		b.WriteString(" (imported already)")
	}
	_, err := fmt.Fprintln(in.out, b.String())
	return err
}

// cut is the beginning of a value, in quotes.
func cut(value string) string {
	runes := 0
	for end := range value {
		if runes == textWidth {
			return strconv.Quote(value[:end]) + "…"
		}
		runes++
	}
	return strconv.Quote(value)
}

// printCounts prints what was refused, and the sum.
func (in *importing) printCounts() error {
	c := &in.counts
	if in.JSON {
		return in.print(c, "")
	}
	for _, f := range c.Refused {
		at := ""
		if !f.Time.IsZero() {
			at = " of " + f.Time.Format(time.DateTime)
		}
		if err := in.print(nil, "refused item %s%s: %s: %s\n", f.Item, at, f.Reason, f.Detail); err != nil {
			return err
		}
	}
	verb, refused := "imported", "nothing refused"
	if in.dry {
		verb = "would import"
	}
	if len(c.Reasons) > 0 {
		refused = "refused " + reasons(&c.Report)
	}
	return in.print(nil, "%s %d actions, %d were imported before (%d items, %d repeats, %d skipped, %d out of order, %d with the time of another; %s)\n",
		verb, c.Imported, c.Already, c.Listed, c.Repeats, c.Skipped, c.Late, c.Ties, refused)
}
