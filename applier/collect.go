package applier

import (
	"context"
	"fmt"

	"github.com/pgbridge/pgbridge/action"
)

// collect takes the first transactions of one record, up to limit, into the nets,
// from where progress says. It tells whether the last one goes on in the next record.
func (t *target) collect(ctx context.Context, r *opened, limit int) (more bool, err error) {
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
		if n == limit && n < r.Header.Txs {
			return false, nil
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
	if err := p.check(); err != nil {
		return nil, err
	}
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
