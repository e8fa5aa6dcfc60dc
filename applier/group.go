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
	pos, at := t.pos, t.at
	s, err := t.open(ctx)
	if err != nil {
		return err
	}
	err = s.fast(ctx, records)
	if err == nil || t.hopeless(ctx, err) {
		return err
	}
	if err := s.undo(ctx); err != nil {
		return err
	}
	t.pos, t.at, t.stopped = pos, at, false
	return t.exact(ctx, records)
}

// apart applies transaction i of r in a target transaction of its own, by net
// effect if it can: what it does to the schema, as a label of an enum, may be of
// no use before the commit.
func (t *target) apart(ctx context.Context, r *opened, i int) error {
	if t.loaded() || t.decided.of(r, i) != "" {
		return t.exactTx(ctx, r, i)
	}
	start, pos := t.reader, t.pos
	s, err := t.open(ctx)
	if err != nil {
		return err
	}
	err = s.fold(ctx, r, i)
	if err == nil || t.hopeless(ctx, err) {
		return err
	}
	if err := s.undo(ctx); err != nil {
		return err
	}
	if err := t.forgetSchema(ctx); err != nil {
		return err
	}
	t.reader, t.pos = start, pos
	return t.exactTx(ctx, r, i)
}

// stretch is work that can be undone by itself: a transaction of the target or,
// where one is open between the parts of a huge one, a savepoint in it.
type stretch struct {
	*target
	nested bool
}

func (t *target) open(ctx context.Context) (stretch, error) {
	if t.tx == nil {
		return stretch{target: t}, t.begin(ctx)
	}
	if _, err := t.conn.Exec(ctx, "SAVEPOINT pgbridge"); err != nil {
		return stretch{}, fmt.Errorf("begin group: %w", err)
	}
	return stretch{t, true}, nil
}

func (s stretch) undo(ctx context.Context) error {
	if !s.nested {
		if err := s.rollback(ctx); err != nil {
			return err
		}
	} else if _, err := s.conn.Exec(ctx, "ROLLBACK TO SAVEPOINT pgbridge"); err != nil {
		return fmt.Errorf("undo group: %w", err)
	}
	s.functions.forget() // what the group defined
	return nil
}

// keepOpen ends a stretch within a transaction, which stays open until its last
// part.
func (s stretch) keepOpen(ctx context.Context) error {
	if !s.nested {
		return nil
	}
	if _, err := s.conn.Exec(ctx, "RELEASE SAVEPOINT pgbridge"); err != nil { // thousands of parts must not nest
		return fmt.Errorf("end group: %w", err)
	}
	return nil
}

// fast folds all records into their net effect and writes it with the progress.
func (s stretch) fast(ctx context.Context, records []opened) error {
	s.resetNets()
	more := false
	for i := 0; i < len(records) && !s.stopped; i++ {
		var err error
		if more, err = s.collect(ctx, &records[i]); err != nil {
			return err
		}
	}
	if err := errors.Join(s.runSegment(ctx), s.flushAll(ctx)); err != nil {
		return err
	}
	if more {
		return s.keepOpen(ctx)
	}
	return s.commit(ctx)
}

// fold applies the reader's transaction, number i of r, by its net effect.
func (s stretch) fold(ctx context.Context, r *opened, i int) error {
	s.resetNets()
	if err := s.collectTx(ctx, r, i); err != nil {
		return err
	}
	if err := errors.Join(s.runSegment(ctx), s.flushAll(ctx)); err != nil {
		return err
	}
	if s.reader.More() {
		return s.keepOpen(ctx)
	}
	s.applied(r, i+1)
	return s.commit(ctx)
}
