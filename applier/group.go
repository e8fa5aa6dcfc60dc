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
// otherwise on one of theirs. What is before a transaction in parts has one of its
// own: it must not wait for an end that may never come.
func (t *target) group(ctx context.Context, records []opened) error {
	if t.decided.any(records) {
		return t.exact(ctx, records)
	}
	for len(records) > 0 && !t.stopped {
		n, txs := t.beforeParts(records)
		if err := t.together(ctx, records[:n], txs); err != nil {
			return err
		}
		if !t.stopped && !t.pos.Complete && t.tx == nil { // the rest of the last one follows
			t.at = cursorAt(t.pos)
			n--
		}
		records = records[n:]
	}
	return nil
}

// beforeParts counts the records, and the transactions of the last of them, before
// the first transaction that begins behind others and goes on in another record.
func (t *target) beforeParts(records []opened) (n, txs int) {
	for i := range records {
		r := &records[i]
		if !action.EndsInPart(r.body) {
			continue
		}
		before := r.Header.Txs - 1
		switch {
		case before > 0 && i == 0 && t.at.again && t.pos.Txs == before: // it is the next
		case before > 0:
			return i + 1, before
		case i > 0 && beginsPart(r):
			return i, records[i-1].Header.Txs
		}
	}
	return len(records), records[len(records)-1].Header.Txs
}

// beginsPart tells whether the first transaction of a record begins there.
func beginsPart(r *opened) bool {
	reader := action.NewReader(r.body)
	return reader.Tx() && reader.Head().Part == 1
}

// together applies records, but of the last only so many transactions, in one
// target transaction, or one by one if it must.
func (t *target) together(ctx context.Context, records []opened, txs int) error {
	pos, at := t.pos, t.at
	s, err := t.open(ctx)
	if err != nil {
		return err
	}
	err = s.fast(ctx, records, txs)
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

// fast folds records, and of the last one txs transactions, into their net effect
// and writes it with the progress.
func (s stretch) fast(ctx context.Context, records []opened, txs int) error {
	s.resetNets()
	more := false
	for i := 0; i < len(records) && !s.stopped; i++ {
		r, limit := &records[i], records[i].Header.Txs
		if i == len(records)-1 {
			limit = txs
		}
		var err error
		if more, err = s.collect(ctx, r, limit); err != nil {
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
