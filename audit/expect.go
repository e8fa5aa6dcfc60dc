package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/checkpoint"
	"github.com/pgbridge/pgbridge/sql"
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
	live    map[action.Name]*sql.Table
	tail    *pile
	rows    *sorter
	moved   map[string]string
	floors  map[string]floor
	last    Position // the last transaction that was taken in
	reached uint64   // the last record that was read
}

// expected is a table that the database must have.
type expected struct {
	name    action.Name
	columns []string // by number
	numbers map[string]int
	key     []string
	touched bool                   // something happened to it since the base
	altered bool                   // its columns were changed since
	base    *checkpoint.TableState // what it was in the base, if that says it
	live    *sql.Table
}

// floor is how far a sequence must be at least.
type floor struct {
	value  int64
	called bool
}

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

// number is the number of a column.
func (t *expected) number(column string) int {
	n, ok := t.numbers[column]
	if !ok {
		n = len(t.columns)
		t.numbers[column] = n
		t.columns = append(t.columns, column)
	}
	return n
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
			ok, err := x.alter(ctx, statement)
			if !ok {
				changed = append(changed, sql.Tag(statement))
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

func (x *expecting) raise(c *change) error {
	name, _ := c.values[0].Text()
	text, _ := c.values[1].Text()
	var value int64
	if _, err := fmt.Sscan(text, &value); err != nil {
		return fmt.Errorf("value of sequence %s: %w", name, err)
	}
	x.floors[name] = floor{value, true}
	return nil
}

// happened puts a change on the pile.
func (x *expecting) happened(c *change) error {
	t := x.table(c.shape.Table)
	t.touched = true
	at := x.byName[t.name]
	s := c.shape
	old, set := x.cellsOf(t, s.Key, c.values), x.cellsOf(t, s.Set, c.values[min(len(s.Key), len(c.values)):])
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

// cellsOf are the values of columns, in the order of their numbers.
func (x *expecting) cellsOf(t *expected, columns []string, values []action.Value) []byte {
	all := make([]cell, len(columns))
	for i, name := range columns {
		all[i].column = t.number(name)
		if values[i] != nil {
			all[i].value = values[i].AppendText([]byte{})
		}
	}
	return encode(all)
}

// encode writes cells in the order of their numbers.
func encode(all []cell) []byte {
	slices.SortFunc(all, func(a, b cell) int { return a.column - b.column })
	var b []byte
	for _, c := range all {
		b = appendCell(b, c)
	}
	return b
}

// keyOf is the key of a row: the cells of its key columns, or all.
func (t *expected) keyOf(row []byte) []byte {
	if len(t.key) == 0 {
		return row
	}
	var b []byte
	for _, c := range cells(row) {
		if slices.Contains(t.key, t.columns[c.column]) {
			b = appendCell(b, c)
		}
	}
	return b
}

// sortRows sorts the rows of the base, and what happened to them, by key. Only
// tables that are wanted have rows.
func (x *expecting) sortRows(ctx context.Context, wanted []bool) error {
	if x.Base != nil {
		if err := x.sortBase(ctx, wanted); err != nil {
			return err
		}
	}
	return x.tail.each(func(e *entry) error {
		if !wanted[e.table] {
			return nil
		}
		if e.op == moveRow {
			from := placeOf(e.table, e.key)
			if known, ok := x.moved[from]; ok {
				from = known
			}
			defer func() { x.moved[placeOf(e.table, cells(e.cells)[0].value)] = from }()
		}
		return x.rows.add(e)
	})
}

// sortBase sorts the rows of the checkpoint.
func (x *expecting) sortBase(ctx context.Context, wanted []bool) error {
	var text []byte
	for _, f := range x.Base.Files {
		at, ok := x.tableOf(f.Table)
		if !ok {
			return fmt.Errorf("checkpoint %d has rows of %s, which this database has not, by itself or as a partition", x.Base.Number, f.Table)
		}
		if !wanted[at] {
			continue
		}
		for _, chunk := range f.Chunks {
			var err error
			if text, err = x.Library.Chunk(ctx, chunk, text[:0]); err != nil {
				return err
			}
			if err := x.sortText(at, f.Columns, text); err != nil {
				return fmt.Errorf("chunk %d of %s: %w", chunk.Seq, f.Table, err)
			}
		}
	}
	return nil
}

func (x *expecting) sortText(at int, columns []string, text []byte) error {
	t := x.tables[at]
	r := sql.NewCopyReader(bytes.NewReader(text), len(columns))
	for r.Next() {
		row := t.row(columns, r.Values())
		if err := x.rows.add(&entry{op: putRow, table: at, key: t.keyOf(row), cells: row}); err != nil {
			return err
		}
	}
	return r.Err()
}

// row is a row of the server's text.
func (t *expected) row(columns []string, values [][]byte) []byte {
	all := make([]cell, len(columns))
	for i, name := range columns {
		all[i] = cell{t.number(name), values[i]}
	}
	return encode(all)
}

// tableOf is the table that a file's rows belong to: itself, or the one that it is
// a partition of.
func (x *expecting) tableOf(name action.Name) (int, bool) {
	if at, ok := x.byName[name]; ok {
		return at, true
	}
	for at, t := range x.tables {
		if t.live != nil && slices.ContainsFunc(t.live.Leaves, func(l sql.Leaf) bool { return l.Name == name }) {
			return at, true
		}
	}
	return 0, false
}
