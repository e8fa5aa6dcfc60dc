package audit

import (
	"context"
	"errors"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/postgres"
)

// Diff is what changed between two moments, in sum: a row that was inserted and
// deleted again is not in it, nor one that has its old values again. The chain is
// read three times at most. Memory grows with the rows that were written in
// between, about a kilobyte for each and its values, and with all rows of a table
// that was truncated or rewritten.
type Diff struct {
	Chain   Chain
	Genesis *postgres.Genesis
	From    archive.Moment
	To      archive.Moment
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
