package applier

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/sql"
)

// opened is a verified record with its body.
type opened struct {
	archive.Record
	body []byte
}

// target applies the records of one writer to one database, in order.
type target struct {
	conn *pgx.Conn
	pos  sql.Progress // as it will be committed
	at   cursor       // as far as was read
	// finish is called before the first transaction that is not part of the
	// initial copy; nil when the copy is over.
	finish func(context.Context) error

	w         writer
	tables    tables
	plans     map[*action.Shape]*plan
	reader    action.Reader
	nets      map[*table]*net
	active    []*net
	tx        pgx.Tx // open between the parts of a huge transaction
	functions functions
	segment   segment
	called    []string // actions whose functions were called since the transaction began
	counters  counters
	rowsOnly  bool // no function is called
	byRows    bool // none in this transaction
	decided   decisions
	owner     action.Writer // who may change the schema
	altered   bool          // the transaction has changed it
	own       []string      // tables that were here then, and are none of the stream's
	until     Until
	stopped   bool      // until is reached: nothing more is applied
	next      action.Tx // what it stopped before
	only      []action.Name
	// truncates are the tables of truncates that follow each other.
	truncates []*action.Shape
}

// newTarget returns a target of the published tables of a database.
func newTarget(conn *pgx.Conn, pos sql.Progress, published []action.Name) *target {
	return &target{
		conn: conn, pos: pos, at: cursorAt(pos), w: writer{conn: conn}, tables: tables{conn: conn},
		plans: map[*action.Shape]*plan{}, nets: map[*table]*net{}, functions: functions{conn: conn}, counters: counters{conn: conn, tables: published},
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

// collect takes the transactions of one record into the nets, from where
// progress says. It tells whether the last one goes on in the next record.
func (t *target) collect(ctx context.Context, r *opened) (more bool, err error) {
	skip, err := t.enter(r)
	if err != nil {
		return false, err
	}
	t.reader.Reset(r.body)
	n := 0
	for ; t.reader.Tx(); n++ {
		if n < skip {
			continue
		}
		if stop, err := t.stop(r, n); stop || err != nil {
			return false, err
		}
		if err := t.collectTx(ctx, r, n); err != nil {
			return false, err
		}
		if more = t.reader.More(); !more {
			t.applied(r, n+1)
		}
	}
	return more, t.ended(r, n)
}

// collectTx takes the actions of transaction n of r into the nets.
func (t *target) collectTx(ctx context.Context, r *opened, n int) error {
	if t.loaded() {
		return t.pass(ctx)
	}
	t.byRows = t.rowsOnly || inParts(r, n, t.reader.Head())
	return t.actions(ctx, t.collectRun)
}

// ended checks that r was read to its end, n transactions of it.
func (t *target) ended(r *opened, n int) error {
	if err := t.reader.Err(); err != nil {
		return fmt.Errorf("record %d: %w", r.Header.Seq, err)
	}
	if n != r.Header.Txs {
		return fmt.Errorf("record %d holds %d transactions, its header says %d", r.Header.Seq, n, r.Header.Txs)
	}
	return nil
}

// enter moves the cursor to r, if r may be applied here, and returns how many of
// its transactions are applied already.
func (t *target) enter(r *opened) (skip int, err error) {
	if t.at.again {
		skip = t.pos.Txs
	}
	if err := t.at.advance(&r.Record); err != nil {
		return 0, err
	}
	return skip, t.allowed(r, skip)
}

// applied moves the progress past the first n transactions of r.
func (t *target) applied(r *opened, n int) {
	head := t.reader.Head()
	t.pos.Epoch, t.pos.Seq, t.pos.Digest = r.Header.Epoch, r.Header.Seq, r.Digest
	t.pos.Txs, t.pos.Complete, t.pos.LSN, t.pos.Clock = n, n == r.Header.Txs, head.LSN, head.Clock
	if t.pos.Complete && r.Header.To >= t.pos.Skip {
		t.pos.Skip = 0 // positions only grow
	}
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

func (t *target) collectRun(ctx context.Context, s *action.Shape) error {
	p, err := t.plan(ctx, s)
	if err != nil {
		return err
	}
	if p.table.ordered {
		return errOrdered
	}
	n := t.net(p.table)
	if s.Op == action.Delete && p.key == nil {
		return t.deleteRun(ctx, p, n)
	}
	for t.reader.Row() {
		if n.add(p, t.reader.Values()) {
			continue
		}
		if err := t.flush(ctx, n); err != nil {
			return err
		}
		if err := t.one(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// deleteRun deletes the rows of a run that no key finds, with one statement:
// each would read the whole table.
func (t *target) deleteRun(ctx context.Context, p *plan, n *net) error {
	if err := t.flush(ctx, n); err != nil {
		return err
	}
	var values []action.Value
	var rows []int
	for t.reader.Row() {
		rows = append(rows, len(values))
		values = append(values, t.reader.Values()...)
	}
	if err := t.reader.Err(); err != nil {
		return err
	}
	return t.w.statement(ctx, p, values, rows)
}

// one applies the reader's row by itself.
func (t *target) one(ctx context.Context, p *plan) error {
	if p.shape.Op == action.Insert {
		return t.w.copy(ctx, p, t.reader.Values(), []int{0})
	}
	if p.sql == "" {
		return nil // an update of nothing
	}
	return t.w.statement(ctx, p, t.reader.Values(), []int{0})
}

func (t *target) plan(ctx context.Context, s *action.Shape) (*plan, error) {
	if p := t.plans[s]; p != nil {
		return p, nil
	}
	tab, err := t.tables.get(ctx, s.Table)
	if err != nil {
		return nil, err
	}
	if err := tab.check(s); err != nil {
		return nil, err
	}
	p := newPlan(s, tab)
	t.plans[s] = p
	return p, nil
}

func (t *target) net(tab *table) *net {
	n := t.nets[tab]
	if n == nil {
		n = &net{table: tab}
		t.nets[tab] = n
	}
	if n.rows == 0 && len(n.changes) == 0 {
		t.active = append(t.active, n)
	}
	return n
}

func (t *target) resetNets() {
	for _, n := range t.nets {
		n.reset()
	}
	t.active, t.truncates = t.active[:0], t.truncates[:0]
	t.segment.reset()
}

func (t *target) flushAll(ctx context.Context) error {
	for _, n := range t.active {
		if err := t.flush(ctx, n); err != nil {
			return err
		}
	}
	t.active = t.active[:0]
	return nil
}

func (t *target) flush(ctx context.Context, n *net) error {
	if len(n.changes) == 0 {
		return nil
	}
	err := t.w.flush(ctx, n)
	n.reset()
	return err
}
