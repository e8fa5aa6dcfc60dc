package audit

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/postgres"
)

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
			return fmt.Errorf("checkpoint %d has rows of %s, which is no table or partition here: if it was dropped or renamed by hand, restore a copy", x.Base.Number, f.Table)
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
	r := postgres.NewCopyReader(bytes.NewReader(text), len(columns))
	for r.Next() {
		row := t.row(columns, r.Values())
		if err := x.rows.add(&entry{op: putRow, table: at, key: t.keyOf(row), cells: row}); err != nil {
			return err
		}
	}
	return r.Err()
}

// tableOf is the table that a file's rows belong to: itself, or the one that it is
// a partition of.
func (x *expecting) tableOf(name action.Name) (int, bool) {
	if at, ok := x.byName[name]; ok {
		return at, true
	}
	for at, t := range x.tables {
		if t.live != nil && slices.ContainsFunc(t.live.Leaves, func(l postgres.Leaf) bool { return l.Name == name }) {
			return at, true
		}
	}
	return 0, false
}
