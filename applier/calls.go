package applier

import (
	"context"
	"errors"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/postgres"
)

// errRows: the transaction cannot be replayed by its functions.
var errRows = errors.New("by rows only")

// inParts tells whether the line n of r is a transaction that has other parts.
// Such a one is replayed by its rows: its calls may be cut.
func inParts(r *opened, n int, head action.Tx) bool {
	return head.Part > 1 || n == r.Header.Txs-1 && action.EndsInPart(r.body)
}

// callPlan returns how to call the function of s, or nil where its rows are to
// be written.
func (t *target) callPlan(ctx context.Context, s *action.Shape) (*callPlan, error) {
	if t.byRows {
		return nil, nil
	}
	return t.functions.plan(ctx, s)
}

// queue adds a call, or those of a mapped run, to the segment.
func (t *target) queue(ctx context.Context, p *callPlan, s *action.Shape) error {
	if err := errors.Join(t.truncate(ctx), t.flushAll(ctx)); err != nil {
		return err
	}
	if s.Op == action.Call {
		t.segment.call(p, t.reader.Values())
		return nil
	}
	rows, err := t.plan(ctx, s)
	if err != nil {
		return err
	}
	e := t.segment.effect(rows.table)
	for t.reader.Row() {
		t.segment.call(p, t.reader.Values())
		e.add(s, t.reader.Values())
	}
	return nil
}

// expect takes a row action of a call's effect. What a truncate did cannot be
// seen by counting rows.
func (t *target) expect(ctx context.Context, s *action.Shape) error {
	if s.Op == action.Truncate {
		return errRows
	}
	p, err := t.plan(ctx, s)
	if err != nil {
		return err
	}
	e := t.segment.effect(p.table)
	for t.reader.Row() {
		e.add(s, t.reader.Values())
	}
	return nil
}

// define puts the definitions of a run into force.
func (t *target) define(ctx context.Context) error {
	for t.reader.Row() {
		name, _ := t.reader.Values()[0].Text()
		var function string
		var definition *string
		if text, ok := t.reader.Values()[1].Text(); ok {
			d, err := action.ParseDefinition([]byte(text))
			if err != nil {
				return err
			}
			function, definition = d.Function, &text
		}
		if err := postgres.SaveDefinition(ctx, t.conn, name, function, definition); err != nil {
			return err
		}
	}
	t.functions.forget()
	return nil
}
