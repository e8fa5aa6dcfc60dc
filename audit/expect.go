package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/ddl"
	"github.com/pgbridge/pgbridge/postgres"
)

// Held is the position of a database: which transactions it must hold.
type Held struct {
	// Before: all whose position is before it, and no others; or as well, where Seq
	// is there too.
	Before action.LSN
	// Seq: all of the records before it, and the first Txs transactions of it; all
	// of it if Whole.
	Seq   uint64
	Txs   int
	Whole bool
}

// holds tells whether a database at h holds a transaction.
func (h *Held) holds(at Position, tx action.Tx) bool {
	return tx.LSN < h.Before || at.Seq < h.Seq || at.Seq == h.Seq && (h.Whole || at.Tx < h.Txs)
}

// ErrSchema: the rows cannot be told from the log alone, because the schema was
// changed after the last checkpoint.
var ErrSchema = errors.New("the schema was changed since the state that the comparison begins with: make a checkpoint (pgbridge checkpoint create) and compare what is past it, or restore a copy")

// expecting collects what a database must hold.
type expecting struct {
	*Compare
	dir     string
	tables  []*expected
	byName  map[action.Name]int
	live    map[action.Name]*postgres.Table
	tail    *pile
	rows    *sorter
	moved   map[string]string
	floors  map[string]floor
	last    Position // the last transaction that was taken in
	reached uint64   // the last record that was read
}

// table is the table of that name, which is listed if it was not.
func (x *expecting) table(name action.Name) *expected {
	at, ok := x.byName[name]
	if !ok {
		at = len(x.tables)
		x.byName[name] = at
		t := &expected{name: name, numbers: map[string]int{}}
		if t.live = x.live[name]; t.live != nil { // what is made since the base has no other definition
			t.key = t.live.Key
			if len(t.key) == 0 {
				t.key = t.live.PrimaryKey
			}
		}
		x.tables = append(x.tables, t)
	}
	return x.tables[at]
}

// readTail takes in what happened since the base. The chain must begin after it.
func (x *expecting) readTail(ctx context.Context) error {
	var in bool
	var changed []string
	begin := func(at Position, tx action.Tx) error {
		x.reached = at.Seq
		in = x.Held.holds(at, tx) && !(x.Base != nil && tx.LSN < x.Base.LSN)
		if in {
			x.last = at
		}
		return nil
	}
	err := tell(ctx, x.Chain, begin, func(c *change) error {
		if !in {
			return nil
		}
		if c.shape.Op == action.Schema {
			statement, _ := c.values[0].Text()
			if leaves(statement) {
				return nil
			}
			ok, err := x.alter(ctx, ddl.WithoutOwners(statement))
			if !ok {
				changed = append(changed, ddl.Tag(statement))
			}
			return err
		}
		if c.shape.Op == action.Sequences {
			return x.raise(c)
		}
		return x.happened(c)
	})
	if err == nil && len(changed) > 0 {
		err = fmt.Errorf("%w (%s)", ErrSchema, strings.Join(slices.Compact(slices.Sorted(slices.Values(changed))), ", "))
	}
	return err
}

// happened puts a change on the pile.
func (x *expecting) happened(c *change) error {
	t := x.table(c.shape.Table)
	t.touched = true
	at := x.byName[t.name]
	s := c.shape
	old, set := t.cellsOf(s.Key, c.values), t.cellsOf(s.Set, c.values[min(len(s.Key), len(c.values)):])
	switch s.Op {
	case action.Truncate, action.Clear:
		return x.tail.add(&entry{op: emptyRows, table: at})
	case action.Insert:
		return x.put(at, t, set)
	case action.Delete:
		return x.tail.add(&entry{op: dropRow, table: at, key: t.keyOf(old)})
	}
	row := merge(old, set)
	if len(t.key) == 0 {
		if err := x.tail.add(&entry{op: dropRow, table: at, key: old}); err != nil {
			return err
		}
		return x.put(at, t, row)
	}
	from, to := t.keyOf(old), t.keyOf(row)
	switch {
	case bytes.Equal(from, to):
		return x.tail.add(&entry{op: setRow, table: at, key: from, cells: row})
	case len(cells(row)) >= len(t.columns):
		if err := x.tail.add(&entry{op: dropRow, table: at, key: from}); err != nil {
			return err
		}
		return x.put(at, t, row)
	}
	moved := appendCell(nil, cell{0, to}) // and some of its columns are not in the record
	return x.tail.add(&entry{op: moveRow, table: at, key: from, cells: append(moved, row...)})
}

func (x *expecting) put(at int, t *expected, row []byte) error {
	return x.tail.add(&entry{op: putRow, table: at, key: t.keyOf(row), cells: row})
}
