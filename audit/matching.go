package audit

import (
	"fmt"
	"maps"
	"slices"
)

const (
	// inMemory is the largest pile that is matched in memory.
	inMemory = 16 << 20
	// deepest is how often a pile is sorted again.
	deepest = 4
)

// fold matches the rows of the piles of a sorter, one pile at a time. A pile that
// does not fit in memory is sorted again.
func (r *comparing) fold(s *sorter, depth int) error {
	for i, p := range s.piles {
		if p.size <= r.room || depth == deepest {
			m := matching{comparing: r, rows: map[string]*there{}}
			if err := p.each(m.take); err != nil {
				return err
			}
			m.end()
			p.remove()
			continue
		}
		again, err := newSorter(r.dir, fmt.Sprintf("rows-%d-%d", depth, i), r.moved)
		if err != nil {
			return err
		}
		if err = p.each(again.add); err == nil {
			p.remove()
			err = r.fold(again, depth+1)
		}
		again.remove()
		if err != nil {
			return err
		}
	}
	return nil
}

// matching matches the rows of one pile.
type matching struct {
	*comparing
	rows map[string]*there
}

// there is what must be under one key, or how many equal rows.
type there struct {
	table int
	key   []byte
	row   []byte // nil: no row
	n     int    // of a table without a key
}

func (m *matching) take(e *entry) error {
	place := placeOf(e.table, e.key)
	t := m.rows[place]
	if t == nil && e.op != emptyRows && e.op != forgetRows {
		t = &there{table: e.table, key: slices.Clone(e.key)}
		m.rows[place] = t
	}
	switch e.op {
	case putRow:
		t.row = slices.Clone(e.cells)
		t.n++
	case setRow:
		t.row = merge(t.row, e.cells)
	case dropRow:
		t.row = nil
		t.n--
	case moveRow:
		all := cells(e.cells)
		to := slices.Clone(all[0].value)
		m.rows[placeOf(e.table, to)] = &there{table: e.table, key: to, row: merge(t.row, encode(all[1:]))}
		t.row = nil
	case emptyRows:
		for _, t := range m.rows {
			if t.table == e.table {
				t.row, t.n = nil, 0
			}
		}
	case forgetRows:
		for _, t := range m.rows {
			if t.table == e.table && t.row != nil {
				t.row = m.tables[e.table].keyOf(t.row)
			}
		}
	case liveRow:
		m.live(t, e)
	}
	if t != nil && len(m.tables[e.table].key) > 0 && t.row == nil && e.op != moveRow {
		delete(m.rows, place)
	}
	return nil
}

// live compares a row of the database with the one that must be there. What was
// compared is taken out: what is left is missing.
func (m *matching) live(t *there, e *entry) {
	table := m.tables[e.table]
	switch {
	case len(table.key) == 0:
		t.n--
		t.row = slices.Clone(e.cells)
	case t.row == nil:
		m.differ(Difference{Kind: "extra", Table: table.name.String(), Key: table.values(e.key)})
	default:
		if columns := m.compare(table, t.row, e.cells); len(columns) > 0 {
			m.differ(Difference{Kind: "differs", Table: table.name.String(), Key: table.values(e.key), Columns: columns})
		}
		t.row = nil
	}
}

// compare finds the columns that differ, among those that the database has.
func (m *matching) compare(t *expected, want, got []byte) (columns []Column) {
	here := map[int][]byte{}
	for _, c := range cells(got) {
		here[c.column] = c.value
	}
	for _, c := range cells(want) {
		value, ok := here[c.column]
		if ok && ((value == nil) != (c.value == nil) || string(value) != string(c.value)) {
			columns = append(columns, Column{Name: t.columns[c.column], Had: true, Old: textOf(c.value), Has: true, New: textOf(value)})
		}
	}
	return columns
}

// end reports the rows that the database lacks, and equal rows of which it has
// another number.
func (m *matching) end() {
	for _, place := range slices.Sorted(maps.Keys(m.rows)) {
		t := m.rows[place]
		table := m.tables[t.table]
		d := Difference{Kind: "missing", Table: table.name.String(), Key: table.values(t.key)}
		switch {
		case len(table.key) > 0:
			if t.row == nil {
				continue
			}
		case t.n == 0:
			continue
		case t.n > 0:
			d.Times = t.n
		default:
			d.Kind, d.Times = "extra", -t.n
		}
		m.differ(d)
	}
}
