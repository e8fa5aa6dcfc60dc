package audit

import (
	"slices"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/checkpoint"
	"github.com/pgbridge/pgbridge/postgres"
)

// expected is a table that the database must have.
type expected struct {
	name    action.Name
	columns []string // by number
	numbers map[string]int
	key     []string
	touched bool                   // something happened to it since the base
	altered bool                   // its columns were changed since
	base    *checkpoint.TableState // what it was in the base, if that says it
	live    *postgres.Table
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

// cellsOf are the values of columns, in the order of their numbers.
func (t *expected) cellsOf(columns []string, values []action.Value) []byte {
	all := make([]cell, len(columns))
	for i, name := range columns {
		all[i].column = t.number(name)
		if values[i] != nil {
			all[i].value = values[i].AppendText([]byte{})
		}
	}
	return encode(all)
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

// row is a row of the server's text.
func (t *expected) row(columns []string, values [][]byte) []byte {
	all := make([]cell, len(columns))
	for i, name := range columns {
		all[i] = cell{t.number(name), values[i]}
	}
	return encode(all)
}

// values are cells for people.
func (t *expected) values(row []byte) (all []Value) {
	for _, c := range cells(row) {
		all = append(all, Value{t.columns[c.column], textOf(c.value)})
	}
	return all
}

func textOf(b []byte) *string {
	if b == nil {
		return nil
	}
	text := string(b)
	return &text
}
