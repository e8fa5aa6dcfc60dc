package audit

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/pgbridge/pgbridge/action"
)

// fold is the net effect of what happened between the moments.
type fold struct {
	*Diff
	tables  map[action.Name]*folded
	learned bool // of a table whose rows were taken for rows without a key

	from, to   *Position
	statements []string
}

// folded is the net effect on one table.
type folded struct {
	key []string
	// known: the key is that of the genesis, or was seen in a change.
	known   bool
	emptied bool              // it was truncated or rewritten: every row counts
	rows    map[string]*twice // by key
	loose   map[string]*count // by whole row, of a table without a key
	// moves are changes of keys before the first moment: what a row was under
	// another key is needed where a change does not say all of it.
	moves []move
}

// twice is a row at both moments; nil: it is not there.
type twice struct{ before, after image }

// count is how many rows of the same values there are more than before.
type count struct {
	row image
	n   int
}

func newFold(d *Diff) *fold {
	f := &fold{Diff: d, tables: map[action.Name]*folded{}}
	for _, t := range d.Genesis.Tables {
		f.tables[t.Name] = &folded{key: t.Key, known: true}
	}
	f.again()
	return f
}

func (f *fold) again() {
	f.learned, f.from, f.to, f.statements = false, nil, nil, nil
	for _, t := range f.tables {
		t.moves = nil
		t.rows, t.loose, t.emptied = map[string]*twice{}, map[string]*count{}, false
	}
}

func (f *fold) table(s *action.Shape) *folded {
	t := f.tables[s.Table]
	if t == nil {
		t = &folded{rows: map[string]*twice{}, loose: map[string]*count{}}
		f.tables[s.Table] = t
	}
	if !t.known && (s.Op == action.Update || s.Op == action.Delete) && len(s.Key) > 0 {
		t.known = true
		if t.key = s.Key; len(t.loose) > 0 {
			f.learned = true
		}
	}
	return t
}

// moved notes a change of a key.
func (t *folded) moved(c *change) {
	if c.shape.Op != action.Update || !slices.ContainsFunc(t.key, func(k string) bool { return slices.Contains(c.shape.Set, k) }) {
		return
	}
	old := c.old()
	t.moves = append(t.moves, move{old: old.key(t.key), new: old.over(c.set()).key(t.key)})
}

// earlier are the keys that rows which count had before.
func (t *folded) earlier() map[string]bool {
	keys := map[string]bool{}
	for _, m := range slices.Backward(t.moves) {
		if keys[m.new] || t.rows[m.new] != nil {
			keys[m.old] = true
		}
	}
	return keys
}

// wanted tells whether the table is asked for.
func (f *fold) wanted(name action.Name) bool {
	return len(f.Tables) == 0 || slices.Contains(f.Tables, name)
}

// read takes in what happened between the moments. What a row was before is not
// known yet.
func (f *fold) read(ctx context.Context) error {
	inside := false
	begin := func(at Position, tx action.Tx) error {
		if f.To.Passed(at.place(), tx) {
			if !inside && !f.From.Passed(at.place(), tx) {
				return ErrOrder
			}
			return errStop
		}
		if !inside && f.From.Passed(at.place(), tx) {
			inside = true
		}
		if !inside {
			f.from = &at
		}
		f.to = &at
		return nil
	}
	do := func(c *change) error {
		if !inside {
			if c.shape.Op == action.Update || c.shape.Op == action.Delete {
				f.table(c.shape).moved(c)
			}
			return nil
		}
		return f.take(c)
	}
	return tell(ctx, f.Chain, begin, do)
}

func (f *fold) take(c *change) error {
	if c.shape.Op == action.Schema {
		statement, _ := c.values[0].Text()
		f.statements = append(f.statements, statement)
		return nil
	}
	if c.shape.Op == action.Sequences || !f.wanted(c.shape.Table) {
		return nil
	}
	t := f.table(c.shape)
	switch c.shape.Op {
	case action.Truncate, action.Clear:
		t.empty()
	case action.Insert:
		t.put(c.set(), 1)
	case action.Update:
		old := c.old()
		t.update(old, old.over(c.set()))
	case action.Delete:
		t.put(c.old(), -1)
	}
	return nil
}

// empty takes all rows out.
func (t *folded) empty() {
	t.emptied = true
	for _, row := range t.rows {
		row.after = nil
	}
	clear(t.loose)
}

// put adds or removes a row.
func (t *folded) put(row image, n int) {
	if len(t.key) == 0 {
		t.putLoose(row, n)
		return
	}
	key := row.key(t.key)
	if t.rows[key] == nil {
		t.rows[key] = &twice{}
	}
	t.rows[key].after = nil
	if n > 0 {
		t.rows[key].after = row
	}
}

func (t *folded) putLoose(row image, n int) {
	key := row.key(slices.Sorted(maps.Keys(row)))
	if t.loose[key] == nil {
		t.loose[key] = &count{row: row}
	}
	if t.loose[key].n += n; t.loose[key].n == 0 {
		delete(t.loose, key)
	}
}

// update moves a row from old, which may be its key only, to what it is then.
func (t *folded) update(old, set image) {
	if len(t.key) == 0 {
		t.putLoose(old, -1)
		t.putLoose(set, 1)
		return
	}
	from, to := old.key(t.key), set.key(t.key)
	for _, key := range []string{from, to} {
		if t.rows[key] == nil {
			t.rows[key] = &twice{}
		}
	}
	was := t.rows[from].after
	t.rows[from].after = nil
	if was == nil { // as it was before the first moment: what that is comes later
		was = image{origin: value{text: from}}
	}
	t.rows[to].after = was.over(set)
}

// origin is, in an image that begins with what a row was before the first moment,
// the key of that row. No column has such a name.
const origin = "\x00"

// changes are the rows that differ, by table and key.
func (f *fold) changes() *Changes {
	all := &Changes{From: f.from, To: f.to, Statements: f.statements, Rows: []Row{}}
	for _, name := range slices.SortedFunc(maps.Keys(f.tables), func(a, b action.Name) int { return strings.Compare(a.String(), b.String()) }) {
		t := f.tables[name]
		for _, key := range slices.Sorted(maps.Keys(t.rows)) {
			row := t.rows[key]
			delete(row.after, origin)
			r := Row{Table: name, Columns: columns(row.before, row.after)}
			switch {
			case len(r.Columns) == 0:
				continue
			case row.before == nil:
				r.Operation, r.Key = "inserted", row.after.values(t.key)
			case row.after == nil:
				r.Operation, r.Key = "deleted", row.before.values(t.key)
			default:
				r.Operation, r.Key = "updated", row.after.values(t.key)
			}
			all.Rows = append(all.Rows, r)
		}
		for _, key := range slices.Sorted(maps.Keys(t.loose)) {
			all.Rows = append(all.Rows, t.loose[key].rows(name))
		}
	}
	return all
}

// rows is the difference of equal rows.
func (c *count) rows(table action.Name) Row {
	r := Row{Table: table, Operation: "inserted", Key: []Value{}, Columns: columns(nil, c.row), Times: c.n}
	if c.n < 0 {
		r.Operation, r.Times, r.Columns = "deleted", -c.n, columns(c.row, nil)
	}
	if r.Times == 1 {
		r.Times = 0
	}
	return r
}
