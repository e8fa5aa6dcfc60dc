package audit

import (
	"context"
	"errors"
	"time"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/sql"
)

// Moment is a state of the database: after every transaction that is not after
// the moment. Of several conditions the one that is met first counts. The zero
// Moment is the end of the chain.
type Moment struct {
	Time   time.Time  // before the first transaction that was committed later
	Before action.LSN // before the first transaction at or after this position
	// Epoch and Seq are a record, and Tx a transaction in it; a negative Tx is the
	// last. It is the state after it.
	Epoch uint32
	Seq   uint64
	Tx    int
}

// passed tells whether a transaction comes after the moment. A part goes with the
// transaction that it is part of.
func (m *Moment) passed(at Position, tx action.Tx) bool {
	switch {
	case tx.Part > 1:
		return false
	case !m.Time.IsZero() && at.At.After(m.Time):
		return true
	case m.Before > 0 && tx.LSN >= m.Before:
		return true
	case m.Seq == 0 || at.Epoch < m.Epoch:
		return false
	case at.Epoch > m.Epoch || at.Seq > m.Seq:
		return true
	}
	return at.Seq == m.Seq && m.Tx >= 0 && at.Tx > m.Tx
}

// Diff is what changed between two moments, in sum: a row that was inserted and
// deleted again is not in it, nor one that has its old values again. The chain is
// read three times at most. Memory grows with the rows that were written in
// between, about a kilobyte for each and its values, and with all rows of a table
// that was truncated or rewritten.
type Diff struct {
	Chain   Chain
	Genesis *sql.Genesis
	From    Moment
	To      Moment
	Tables  []action.Name // only these, if any
}

// Changes is what Diff finds.
type Changes struct {
	From *Position `json:"from"` // the last transaction of the first state; nil: none
	To   *Position `json:"to"`   // the last transaction of the second
	// Statements changed the schema in between. What they did to rows by
	// themselves, a default of a new column say, is not in Rows.
	Statements []string `json:"statements,omitempty"`
	Rows       []Row    `json:"rows"`
}

// Row is the difference of one row, or of equal rows of a table without a key.
type Row struct {
	Table     action.Name `json:"table"`
	Operation string      `json:"operation"` // inserted, updated, deleted
	Key       []Value     `json:"key"`
	Columns   []Column    `json:"columns"`
	Times     int         `json:"times,omitempty"` // how many equal rows, if more than one
}

// ErrOrder: the second moment is before the first.
var ErrOrder = errors.New("the second moment is before the first")

// Run finds the difference.
func (d *Diff) Run(ctx context.Context) (*Changes, error) {
	f := newFold(d)
	for {
		if err := f.read(ctx); err != nil {
			return nil, err
		}
		if !f.learned {
			break
		}
		f.again() // with the keys that are known now
	}
	if err := f.before(ctx); err != nil {
		return nil, err
	}
	return f.changes(), nil
}
