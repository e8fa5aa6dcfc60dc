package applier

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/postgres"
)

// opened is a verified record with its body.
type opened struct {
	archive.Record
	body []byte
}

// target applies the records of one writer to one database, in order.
type target struct {
	conn *pgx.Conn

	// What it was told:
	rowsOnly bool // no function is called
	decided  decisions
	owner    action.Writer    // who may change the schema
	without  postgres.Without // of owners and privileges
	until    archive.Moment
	only     []action.Name // the tables whose rows are applied; nil: all
	// finish is called before the first transaction that is not part of the
	// initial copy; nil when the copy is over.
	finish func(context.Context) error

	// How far it is:
	pos     postgres.Progress // as it will be committed
	at      cursor            // as far as was read
	tx      pgx.Tx            // open between the parts of a huge transaction
	stopped bool              // until is reached: nothing more is applied
	next    action.Tx         // what it stopped before

	// What it knows of the database:
	w         writer
	tables    tables
	plans     map[*action.Shape]*plan
	functions functions
	counters  counters
	runners   *runners
	roles     roles

	// What is under way:
	reader    action.Reader
	nets      map[*table]*net
	active    []*net
	segment   segment
	truncates []*action.Shape // that follow each other
	called    []string        // actions whose functions were called since the transaction began
	byRows    bool            // no function is called in this transaction
	altered   bool            // the transaction has changed the schema
	own       []string        // tables that were here before it did, and are none of the stream's
}

// newTarget returns a target of the published tables of a database.
func newTarget(conn *pgx.Conn, pos postgres.Progress, published []action.Name) *target {
	run := &runners{conn: conn}
	return &target{
		conn: conn, pos: pos, at: cursorAt(pos), runners: run, w: writer{conn: conn, runners: run}, tables: tables{conn: conn, runners: run}, roles: roles{conn: conn, prepared: map[string]bool{}},
		plans: map[*action.Shape]*plan{}, nets: map[*table]*net{}, functions: functions{conn: conn, runners: run}, counters: counters{conn: conn, tables: published},
	}
}

// errOrdered: the group must be replayed transaction by transaction.
var errOrdered = errors.New("order can be seen here")

// apply applies records that follow each other, as one group if it can, and
// transaction by transaction if not. When it returns nil everything is
// committed, but for a transaction whose next part is not among the records.
func (t *target) apply(ctx context.Context, records []opened) error {
	for len(records) > 0 && t.finish != nil {
		n := t.copies(records)
		if n > 0 {
			if err := t.group(ctx, records[:n]); err != nil {
				return err
			}
			records = records[n:]
			continue
		}
		if err := t.endCopy(ctx); err != nil {
			return err
		}
	}
	if len(records) == 0 || t.stopped {
		return nil
	}
	return t.groups(ctx, records)
}

// copies counts the records at the front that belong to the initial copy. A
// record holds nothing else, or none of it.
func (t *target) copies(records []opened) int {
	for i := range records {
		t.reader.Reset(records[i].body)
		if t.reader.Tx() && !t.reader.Head().Copy {
			return i
		}
	}
	return len(records)
}

// endCopy makes indexes and constraints, once, before the first live change.
func (t *target) endCopy(ctx context.Context) error {
	if err := t.finish(ctx); err != nil {
		return err
	}
	t.finish = nil
	t.tables.known = nil // tables have keys now
	clear(t.plans)
	clear(t.nets)
	return nil
}

// actions does the actions of the reader's transaction; rows does a run of rows.
// Afterwards calls may be pending in the segment, but no truncates.
func (t *target) actions(ctx context.Context, rows func(context.Context, *action.Shape) error) error {
	calling := false // the effect of a call is being read
	for t.reader.Action() {
		s := t.reader.Shape()
		calling = calling && t.reader.InCall()
		if calling {
			if err := t.expect(ctx, s); err != nil {
				return err
			}
			continue
		}
		p, err := t.callPlan(ctx, s)
		if err != nil {
			return err
		}
		if p != nil {
			calling, err = s.Op == action.Call, t.queue(ctx, p, s)
		} else {
			err = t.act(ctx, s, rows)
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(t.reader.Err(), t.truncate(ctx))
}

// act does one action that calls nothing.
func (t *target) act(ctx context.Context, s *action.Shape, rows func(context.Context, *action.Shape) error) error {
	if err := t.runSegment(ctx); err != nil {
		return err
	}
	if t.unwanted(s) {
		return nil
	}
	if s.Op == action.Truncate {
		return t.addTruncate(ctx, s)
	}
	if err := t.truncate(ctx); err != nil {
		return err
	}
	switch s.Op {
	case action.Call, action.Mark: // rows of a call follow; a mark is for readers of the chain
		return nil
	case action.Sequences:
		return t.sequences(ctx)
	case action.Define:
		return t.define(ctx)
	case action.Schema:
		return t.schema(ctx)
	case action.Clear:
		return t.clear(ctx, s)
	}
	return rows(ctx, s)
}

// unwanted tells whether s changes rows of a table whose rows are not wanted.
func (t *target) unwanted(s *action.Shape) bool {
	return t.only != nil && (s.Op.Rows() || s.Op == action.Clear) && !slices.Contains(t.only, s.Table)
}
