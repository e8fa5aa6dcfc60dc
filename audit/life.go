package audit

import (
	"slices"
	"strings"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/ddl"
)

// life follows a row.
type life struct {
	*History
	columns []string // of the key; nil: rows are found by any of their values
	key     string
	spans   []span
	emit    func(*Event) error

	at      int // changes of the table so far
	moves   []move
	now     map[string]bool // other keys that the row has got since
	rows    map[string]image
	pattern image
}

func newLife(h *History, columns []string, spans []span) *life {
	l := &life{History: h, columns: columns, spans: spans, now: map[string]bool{}, rows: map[string]image{}, pattern: image{}}
	for _, v := range h.Key {
		if v.Text == nil {
			l.pattern[v.Name] = value{null: true}
			continue
		}
		l.pattern[v.Name] = value{text: *v.Text}
	}
	l.key = l.pattern.key(columns)
	return l
}

// change looks at one change.
func (l *life) change(c *change) error {
	if c.shape.Op == action.Schema {
		return l.schema(c)
	}
	if c.shape.Table != l.Table {
		return nil
	}
	l.at++
	switch {
	case c.shape.Op == action.Truncate || c.shape.Op == action.Clear:
		return l.emptied(c)
	case l.columns == nil:
		return l.loose(c)
	}
	return l.row(c)
}

// mine tells whether key is one of the row's at this time.
func (l *life) mine(key string) bool {
	return key == l.key || l.now[key] || slices.ContainsFunc(l.spans, func(s span) bool { return s.key == key && s.from <= l.at && l.at <= s.until })
}

func (l *life) row(c *change) error {
	old, set := c.old(), c.set()
	before, after := old.key(l.columns), old.over(set).key(l.columns)
	if c.shape.Op == action.Insert {
		before = after
	}
	moved := c.shape.Op == action.Update && before != after
	if moved {
		l.moves = append(l.moves, move{l.at, before, after})
	}
	if before == "" || !l.mine(before) {
		if !moved || !l.mine(after) {
			return nil
		}
	}
	known := l.rows[before].over(old)
	e := l.event(c)
	e.Key = known.values(l.columns)
	switch c.shape.Op {
	case action.Insert:
		e.Key = set.values(l.columns)
		e.Columns = columns(nil, set)
		l.rows[after] = set
	case action.Update:
		e.Columns = columns(known, known.over(set))
		delete(l.rows, before)
		l.rows[after] = known.over(set)
		if moved {
			delete(l.now, before)
			l.now[after] = true
		}
	case action.Delete:
		e.Columns = columns(known, nil)
		delete(l.rows, before)
		delete(l.now, before)
	}
	return l.emit(e)
}

// loose looks for the values in a row of a table without a key.
func (l *life) loose(c *change) error {
	old, set := c.old(), c.set()
	after := old.over(set)
	if c.shape.Op == action.Delete {
		after = nil
	}
	if !l.pattern.in(old) && !l.pattern.in(after) {
		return nil
	}
	e := l.event(c)
	e.Key = l.Key
	e.Columns = columns(old, after)
	return l.emit(e)
}

// in tells whether row has all the values.
func (pattern image) in(row image) bool {
	for name, v := range pattern {
		if has, ok := row[name]; !ok || has != v {
			return false
		}
	}
	return true
}

// emptied tells of a truncate, if the row was there.
func (l *life) emptied(c *change) error {
	if len(l.rows) == 0 && l.columns != nil {
		return nil
	}
	e := l.event(c)
	e.Key = l.Key
	clear(l.rows)
	if c.shape.Op == action.Truncate {
		clear(l.now)
	}
	return l.emit(e)
}

// schema tells of a statement about tables that names this one, while the row is
// there. What is known of the row may be different after it.
func (l *life) schema(c *change) error {
	statement, _ := c.values[0].Text()
	named := strings.Contains(ddl.Tag(statement), "TABLE") && strings.Contains(strings.ToLower(statement), strings.ToLower(l.Table.Name))
	if !named || len(l.rows) == 0 && l.columns != nil {
		return nil
	}
	for key, row := range l.rows {
		kept := image{}
		for _, name := range l.columns {
			if v, ok := row[name]; ok {
				kept[name] = v
			}
		}
		l.rows[key] = kept
	}
	e := l.event(c)
	e.Statement = statement
	return l.emit(e)
}

func (l *life) event(c *change) *Event {
	e := &Event{Position: c.Position, Copied: c.copied, Operation: c.shape.Op.String()}
	switch {
	case c.call != nil:
		e.Action, e.Params = c.call.shape.Action(), params(c.call.shape, c.call.values)
	case c.shape.Function != (action.Name{}):
		e.Action, e.Params = c.shape.Action(), params(c.shape, c.values)
	}
	return e
}
