package applier

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pgbridge/pgbridge/action"
)

// groups applies the records between those that change the schema as groups.
func (t *target) groups(ctx context.Context, records []opened) error {
	for len(records) > 0 && !t.stopped {
		n := slices.IndexFunc(records, func(r opened) bool { return action.ChangesSchema(r.body) })
		var err error
		switch n {
		case 0:
			n, err = 1, t.each(ctx, &records[0], t.apart)
		case -1:
			n = len(records)
			fallthrough
		default:
			err = t.group(ctx, records[:n])
		}
		if err != nil {
			return err
		}
		records = records[n:]
	}
	return nil
}

// group applies records in one target transaction, unless a person decided
// otherwise on one of theirs.
func (t *target) group(ctx context.Context, records []opened) error {
	if t.decided.any(records) {
		return t.exact(ctx, records)
	}
	pos, at, continued := t.pos, t.at, t.tx != nil
	err := t.fast(ctx, records, continued)
	if err == nil || t.hopeless(ctx, err) {
		return err
	}
	if err := t.undo(ctx, continued); err != nil {
		return err
	}
	t.pos, t.at, t.stopped = pos, at, false
	return t.exact(ctx, records)
}

// open begins the target transaction, or a part of it that can be undone alone.
func (t *target) open(ctx context.Context, continued bool) error { //nolint:revive // a fact, not a mode
	if !continued {
		return t.begin(ctx)
	}
	if _, err := t.conn.Exec(ctx, "SAVEPOINT pgbridge"); err != nil {
		return fmt.Errorf("begin group: %w", err)
	}
	return nil
}

// undo takes back what was done since open.
func (t *target) undo(ctx context.Context, continued bool) error { //nolint:revive // as in open
	if !continued {
		if err := t.rollback(ctx); err != nil {
			return err
		}
	} else if _, err := t.conn.Exec(ctx, "ROLLBACK TO SAVEPOINT pgbridge"); err != nil {
		return fmt.Errorf("undo group: %w", err)
	}
	t.functions.forget() // what the group defined
	return nil
}

// fast folds all records into their net effect and writes it with the progress.
func (t *target) fast(ctx context.Context, records []opened, continued bool) error { //nolint:revive // a fact, not a mode
	t.resetNets()
	if err := t.open(ctx, continued); err != nil {
		return err
	}
	more := false
	for i := 0; i < len(records) && !t.stopped; i++ {
		var err error
		if more, err = t.collect(ctx, &records[i]); err != nil {
			return err
		}
	}
	if err := errors.Join(t.runSegment(ctx), t.flushAll(ctx)); err != nil {
		return err
	}
	if !more {
		return t.commit(ctx)
	}
	return t.release(ctx, continued)
}

// release ends a part of a transaction, which stays open until its last.
func (t *target) release(ctx context.Context, continued bool) error { //nolint:revive // as in open
	if !continued {
		return nil
	}
	_, err := t.conn.Exec(ctx, "RELEASE SAVEPOINT pgbridge") // thousands of parts must not nest
	return err
}

// apart applies transaction i of r in a target transaction of its own, by net
// effect if it can: what it does to the schema, as a label of an enum, may be of
// no use before the commit.
func (t *target) apart(ctx context.Context, r *opened, i int) error {
	if t.loaded() || t.decided.of(r, i) != "" {
		return t.exactTx(ctx, r, i)
	}
	start, pos, continued := t.reader, t.pos, t.tx != nil
	err := t.fold(ctx, r, i, continued)
	if err == nil || t.hopeless(ctx, err) {
		return err
	}
	if err := t.undo(ctx, continued); err != nil {
		return err
	}
	if err := t.forgetSchema(ctx); err != nil {
		return err
	}
	t.reader, t.pos = start, pos
	return t.exactTx(ctx, r, i)
}

// fold applies the reader's transaction by its net effect.
func (t *target) fold(ctx context.Context, r *opened, i int, continued bool) error { //nolint:revive // as in open
	t.resetNets()
	if err := t.open(ctx, continued); err != nil {
		return err
	}
	if err := t.collectTx(ctx, r, i); err != nil {
		return err
	}
	if err := errors.Join(t.runSegment(ctx), t.flushAll(ctx)); err != nil {
		return err
	}
	if t.reader.More() {
		return t.release(ctx, continued)
	}
	t.applied(r, i+1)
	return t.commit(ctx)
}
