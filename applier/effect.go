package applier

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pgbridge/pgbridge/action"
)

// effect is what function actions are to have done to one table, in the end:
// per key the row as it is to be, and how many rows were written on the way.
// Values are not copied: the bodies they point into must live until it is checked.
type effect struct {
	table  *table
	counts counts
	rows   []image
	index  map[string]int
	loose  map[string]*looseRow // of a table without a key, by the whole row
	key    []byte
}

// counts are rows written, as the server counts them.
type counts struct{ inserted, updated, deleted int64 }

func (c *counts) add(op action.Op) {
	switch op {
	case action.Insert:
		c.inserted++
	case action.Update:
		c.updated++
	case action.Delete:
		c.deleted++
	}
}

func (c counts) sub(d counts) counts {
	return counts{c.inserted - d.inserted, c.updated - d.updated, c.deleted - d.deleted}
}

func (c counts) String() string {
	var parts []string
	for _, p := range []struct {
		n    int64
		verb string
	}{{c.inserted, "inserted"}, {c.updated, "updated"}, {c.deleted, "deleted"}} {
		if p.n != 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.verb))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// image is a row as it is to be: the columns that are known of it, in the
// order of the table.
type image struct {
	gone   bool
	values []action.Value
	known  []bool
}

// looseRow is a whole row, and how many more of it there are to be.
type looseRow struct {
	values []action.Value
	more   int
}

func newEffect(t *table) *effect {
	return &effect{table: t, index: map[string]int{}, loose: map[string]*looseRow{}}
}

// add takes in one row change.
func (e *effect) add(s *action.Shape, values []action.Value) {
	e.counts.add(s.Op)
	if len(e.table.key) == 0 {
		e.addLoose(s, values)
		return
	}
	row := e.blank()
	if s.Op != action.Insert {
		e.fill(&row, s.Key, values)
		at := e.find(&row)
		old := e.rows[at]
		e.rows[at] = image{gone: true, values: row.values, known: row.known}
		if s.Op == action.Delete {
			return
		}
		row = e.blank()
		copy(row.values, old.values)
		copy(row.known, old.known)
	}
	e.fill(&row, s.Set, values[len(s.Key):])
	e.rows[e.find(&row)] = row
}

func (e *effect) blank() image {
	n := len(e.table.columns)
	return image{values: make([]action.Value, n), known: make([]bool, n)}
}

// fill sets columns of the row.
func (e *effect) fill(row *image, columns []string, values []action.Value) {
	for i, c := range columns {
		at := e.table.position[c]
		row.values[at], row.known[at] = values[i], true
	}
}

// find is the place of the row with the same key; the row itself if it is new.
func (e *effect) find(row *image) int {
	e.key = e.key[:0]
	for _, c := range e.table.key {
		e.key = append(append(e.key, row.values[e.table.position[c]]...), '"')
	}
	at, ok := e.index[string(e.key)]
	if !ok {
		at = len(e.rows)
		e.index[string(e.key)] = at
		e.rows = append(e.rows, *row)
	}
	return at
}

// addLoose counts whole rows: under REPLICA IDENTITY FULL every change carries
// the old one.
func (e *effect) addLoose(s *action.Shape, values []action.Value) {
	row := e.blank()
	if s.Op != action.Insert {
		e.fill(&row, s.Key, values)
		e.count(row, -1)
	}
	if s.Op != action.Delete {
		e.fill(&row, s.Set, values[len(s.Key):])
		e.count(row, 1)
	}
}

func (e *effect) count(row image, more int) {
	e.key = e.key[:0]
	for _, v := range row.values {
		if v != nil {
			e.key = append(append(e.key, '"'), v...)
		}
		e.key = append(e.key, '"')
	}
	known := e.loose[string(e.key)]
	if known == nil {
		known = &looseRow{values: slices.Clone(row.values)}
		e.loose[string(e.key)] = known
	}
	known.more += more
}
