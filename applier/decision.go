package applier

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/postgres"
)

// Decision is what a person decided on a transaction that could not be applied:
// the column decision of pgbridge.quarantine.
type Decision string

// The decisions.
const (
	Skip    Decision = "skip"     // nothing of it is applied
	UseRows Decision = "use-rows" // its rows are written, its functions are not called
)

// place is where a transaction is in the chain of its writer.
type place struct {
	epoch uint32
	seq   uint64
	tx    int
}

// decisions are those on the transactions of one writer.
type decisions map[place]Decision

// errPart: one of several parts cannot be left out, and the parts before it may
// be applied already.
var errPart = errors.New("it is part of a transaction that fills several records, which cannot be skipped in part: pgbridge quarantine retry")

// loadDecisions reads what was decided on transactions of w. It is read when a
// chain begins to be followed, not later.
func loadDecisions(ctx context.Context, q postgres.Querier, w action.Writer) (decisions, error) {
	rows, err := q.Query(ctx, "SELECT epoch, seq, tx, decision FROM pgbridge.quarantine WHERE writer = $1 AND decision IS NOT NULL", w.String())
	if err != nil {
		return nil, fmt.Errorf("read decisions: %w", err)
	}
	all := decisions{}
	var epoch, seq int64
	var tx int
	var d Decision
	_, err = pgx.ForEachRow(rows, []any{&epoch, &seq, &tx, &d}, func() error {
		if d != Skip && d != UseRows {
			return fmt.Errorf("decision %q is not known to this pgbridge: update it", d)
		}
		all[place{uint32(epoch), uint64(seq), tx}] = d
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read decisions: %w", err)
	}
	return all, nil
}

// of is the decision on transaction n of r, or empty.
func (d decisions) of(r *opened, n int) Decision {
	return d[place{r.Header.Epoch, r.Header.Seq, n}]
}

// any tells whether something was decided on any transaction of the records.
func (d decisions) any(records []opened) bool {
	for i := range records {
		h := &records[i].Header
		for at := range d {
			if at.epoch == h.Epoch && at.seq == h.Seq {
				return true
			}
		}
	}
	return false
}

// skip moves the progress past transaction n of r, and applies nothing of it.
func (t *target) skip(ctx context.Context, r *opened, n int) error {
	if inParts(r, n, t.reader.Head()) {
		return errors.Join(errPart, t.rollback(ctx))
	}
	for t.reader.Action() {
		if t.reader.Shape().Op == action.Schema {
			t.passSchema() // the writer went on from there
		}
	}
	if err := t.reader.Err(); err != nil {
		return err
	}
	if err := t.begin(ctx); err != nil {
		return err
	}
	t.applied(r, n+1)
	return t.commit(ctx)
}
