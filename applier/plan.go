package applier

import (
	"slices"
	"strconv"
	"strings"

	"github.com/pgbridge/pgbridge/action"
)

// plan is how the rows of one shape are applied to one table: positions of
// values, and statements. Values arrive as arrays of text, one per column, and
// are cast by the server, whose own text they are.
type plan struct {
	shape *action.Shape
	table *table
	// key holds the positions, in a row, of the values of table.key; nil when
	// the shape cannot be keyed by it.
	key []int
	// newKey holds the positions of the values that table.key is set to; nil
	// when the shape leaves the key alone.
	newKey []int
	// keyColumns and keyAt are what the statement finds rows by: table.key
	// where possible, else all of shape.Key.
	keyColumns []string
	keyAt      []int
	params     []int // positions of the statement's parameters
	sql        string
	// role is who executes the statement: the owner of the table where code of users runs
	// in it. Then the values are one array of two dimensions. Empty: the session itself.
	role string
}

func newPlan(s *action.Shape, t *table) *plan {
	p := &plan{shape: s, table: t, role: t.guard(s)}
	if s.Op == action.Insert {
		p.key = positions(t.key, s.Set, 0)
		if p.role != "" {
			p.params, p.sql = upTo(len(s.Set)), p.insert()
			return p
		}
		p.sql = "COPY " + t.name.SQL() + copyColumns(s.Set) + " FROM STDIN"
		return p
	}
	p.key = positions(t.key, s.Key, 0)
	p.keyColumns, p.keyAt = t.key, p.key
	if p.key == nil {
		p.keyColumns, p.keyAt = s.Key, positions(s.Key, s.Key, 0)
	}
	if s.Op == action.Update && slices.ContainsFunc(t.key, func(c string) bool { return slices.Contains(s.Set, c) }) {
		p.newKey = make([]int, len(t.key))
		for i, c := range t.key {
			if at := slices.Index(s.Set, c); at >= 0 {
				p.newKey[i] = len(s.Key) + at
			} else {
				p.newKey[i] = p.keyAt[min(i, len(p.keyAt)-1)]
			}
		}
	}
	p.params = slices.Clone(p.keyAt)
	for i := range s.Set {
		p.params = append(p.params, len(s.Key)+i)
	}
	p.sql = p.statement()
	return p
}

// positions finds each of want in columns; nil when one is missing or none is wanted.
func positions(want, columns []string, offset int) []int {
	if len(want) == 0 {
		return nil
	}
	at := make([]int, len(want))
	for i, c := range want {
		if at[i] = slices.Index(columns, c); at[i] < 0 {
			return nil
		}
		at[i] += offset
	}
	return at
}

// copyColumns is the column list of COPY, which has no way to say none.
func copyColumns(columns []string) string {
	if len(columns) == 0 {
		return ""
	}
	return " (" + columnList("", columns) + ")"
}

// insert writes INSERT for rows that COPY, which no function can do, would insert.
// Parameters: an array of text per column.
func (p *plan) insert() string {
	if len(p.shape.Set) == 0 {
		return "INSERT INTO " + p.table.name.SQL() + " SELECT FROM generate_series(1, ($1)[1][1]::int)"
	}
	casts, from := p.unnested()
	return "INSERT INTO " + p.table.name.SQL() + " (" + columnList("", p.shape.Set) + ") OVERRIDING SYSTEM VALUE SELECT " + casts + " FROM unnest" + from
}

// param is parameter n of the statement, from 1: an array of text.
func (p *plan) param(n int) string {
	if p.role != "" {
		return element(n)
	}
	return "$" + strconv.Itoa(n) + "::text[]"
}

// element is row n, from 1, of an array of two dimensions.
func element(n int) string {
	i := strconv.Itoa(n)
	return "($1)[" + i + ":" + i + "]"
}

// keyed tells whether rows are found by a unique key of the table here.
func (p *plan) keyed() bool { return p.key != nil }

// statement writes UPDATE or DELETE. Parameters: an array of text per key
// column, then one per set column.
func (p *plan) statement() string {
	switch {
	case p.shape.Op == action.Delete && p.keyed():
		return "DELETE FROM " + p.table.target + " t USING " + p.source() + " WHERE " + p.match()
	case p.shape.Op == action.Delete:
		return p.deleteWhole()
	case len(p.shape.Set) == 0:
		return ""
	case p.setsAlways():
		return p.rewrite()
	case p.keyed():
		return "UPDATE " + p.table.target + " t SET " + p.assignments() + " FROM " + p.source() + " WHERE " + p.match()
	}
	return p.updateWhole()
}

// The columns of source: names that no table has.
const (
	keyPrefix = "pgbridge_key"
	setPrefix = "pgbridge_set"
)

// finder is a plan of a statement that finds rows by columns.
func (t *table) finder(columns []string) *plan {
	s := &action.Shape{Op: action.Delete}
	return &plan{table: t, shape: s, keyColumns: columns, role: t.guard(s)}
}

// written tells whether this transaction wrote a row.
const written = "(age(t.xmin) <= age(pg_current_xact_id()::xid))"

// look is the statement that finds rows by key, each with its number among the
// parameters, and tells of each whether this transaction wrote it.
func (t *table) look() string {
	p := t.finder(t.key)
	if p.role != "" {
		return "SELECT coalesce(json_agg(array_to_json(ARRAY[v.n::text, " + written + "::int::text" + textList("t.", t.columns) +
			"])), '[]')::text FROM " + t.target + " t JOIN " + p.numbered() + " ON " + p.match()
	}
	return "SELECT v.n, " + written + ", " + columnList("t.", t.columns) +
		" FROM " + t.target + " t JOIN " + p.numbered() + " ON " + p.match()
}

// missing is the statement that counts the whole rows, among the parameters,
// that the table has not.
func (t *table) missing() string {
	p := t.finder(t.columns)
	return "WITH want AS (SELECT " + p.wholeOfSource() + " AS w, count(*) AS n FROM " + p.source() + " GROUP BY 1), " +
		"here AS (SELECT " + p.wholeOfTable() + " AS w, count(*) AS n FROM " + t.target + " t GROUP BY 1) " +
		"SELECT coalesce(sum(greatest(want.n - coalesce(here.n, 0), 0)), 0)::text FROM want LEFT JOIN here USING (w)"
}

// source is the rows of the parameters, each value cast to its column's type; of
// those that a row is found by, to what that is a domain of.
func (p *plan) source() string {
	casts, from := p.unnested()
	return "(SELECT " + casts + " FROM unnest" + from + ") v"
}

// numbered is source with the number of each row.
func (p *plan) numbered() string {
	casts, from := p.unnested()
	from = strings.Replace(from, ") u (", ") WITH ORDINALITY u (", 1)
	return "(SELECT u.n, " + casts + " FROM unnest" + strings.TrimSuffix(from, ")") + ", n)) v"
}

func (p *plan) unnested() (casted, from string) {
	var params, names, casts []string
	add := func(prefix string, columns []string, read func(column, string) string) {
		for i, c := range columns {
			name := prefix + strconv.Itoa(i)
			params = append(params, p.param(len(params)+1))
			names = append(names, name)
			casts = append(casts, read(p.table.types[c], "u."+name)+" AS "+name)
		}
	}
	add(keyPrefix, p.keyColumns, column.readOld)
	if p.shape.Op == action.Update || p.shape.Op == action.Insert {
		add(setPrefix, p.shape.Set, column.read)
	}
	return strings.Join(casts, ", "), "(" + strings.Join(params, ", ") + ") u (" + strings.Join(names, ", ") + ")"
}

func (p *plan) match() string {
	var b []string
	for i, c := range p.table.key {
		b = append(b, "t."+action.QuoteIdent(c)+" "+p.table.equal[i]+" v."+keyPrefix+strconv.Itoa(i))
	}
	return strings.Join(b, " AND ")
}

func (p *plan) assignments() string {
	var b []string
	for i, c := range p.shape.Set {
		b = append(b, action.QuoteIdent(c)+" = v."+setPrefix+strconv.Itoa(i))
	}
	return strings.Join(b, ", ")
}

// whole is the text of a whole row, which is how rows without a key are told
// apart: exact for every type, also those without equality, and NULL is a value.
func whole(values []string) string { return "ROW(" + strings.Join(values, ", ") + ")::text" }

func (p *plan) wholeOfTable() string {
	return whole(strings.Split(columnList("t.", p.keyColumns), ", "))
}

func (p *plan) wholeOfSource() string {
	var values []string
	for i := range p.keyColumns {
		values = append(values, "v."+keyPrefix+strconv.Itoa(i))
	}
	return whole(values)
}

// deleteWhole deletes as many of equal rows as are named, no more.
func (p *plan) deleteWhole() string {
	return "WITH gone AS (SELECT " + p.wholeOfSource() + " AS w, count(*) AS n FROM " + p.source() + " GROUP BY 1), " +
		"here AS (SELECT t.tableoid AS o, t.ctid AS c, " + p.wholeOfTable() + " AS w, row_number() OVER (PARTITION BY " + p.wholeOfTable() + ") AS i FROM " + p.table.target + " t) " +
		"DELETE FROM " + p.table.target + " t USING here h JOIN gone g ON g.w = h.w AND h.i <= g.n WHERE t.tableoid = h.o AND t.ctid = h.c"
}

// sqlFor is the statement for n rows. Rows without columns are all alike, and
// bring no parameters that would say how many they are.
func (p *plan) sqlFor(n int) string {
	if p.shape.Op != action.Delete || len(p.keyColumns) > 0 {
		return p.sql
	}
	return "DELETE FROM " + p.table.target + " t WHERE (t.tableoid, t.ctid) IN (SELECT t.tableoid, t.ctid FROM " + p.table.target + " t LIMIT " + strconv.Itoa(n) + ")"
}

// updateWhole updates one of the rows that equal the old one. One row a statement.
func (p *plan) updateWhole() string {
	return "WITH one AS (SELECT t.tableoid AS o, t.ctid AS c, v.* FROM " + p.table.target + " t, " + p.source() +
		" WHERE " + p.wholeOfTable() + " = " + p.wholeOfSource() + " LIMIT 1) " +
		"UPDATE " + p.table.target + " t SET " + p.assignments() + " FROM one v WHERE t.tableoid = v.o AND t.ctid = v.c"
}

// rewrite replaces the row instead of updating it: the only way to give a
// GENERATED ALWAYS identity column a value. One row a statement.
func (p *plan) rewrite() string {
	var values []string
	for _, c := range p.table.columns {
		if i := slices.Index(p.shape.Set, c); i >= 0 {
			values = append(values, "o."+setPrefix+strconv.Itoa(i))
			continue
		}
		values = append(values, "o."+action.QuoteIdent(c))
	}
	find := p.match()
	if !p.keyed() {
		find = "(t.tableoid, t.ctid) = (SELECT t.tableoid, t.ctid FROM " + p.table.target + " t WHERE " + p.wholeOfTable() + " = " + p.wholeOfSource() + " LIMIT 1)"
	}
	return "WITH o AS (DELETE FROM " + p.table.target + " t USING " + p.source() + " WHERE " + find + " RETURNING t.*, v.*) " +
		"INSERT INTO " + p.table.name.SQL() + " (" + columnList("", p.table.columns) + ") OVERRIDING SYSTEM VALUE SELECT " + strings.Join(values, ", ") + " FROM o"
}

// single tells whether the statement takes one row at a time.
func (p *plan) single() bool {
	return p.shape.Op == action.Update && (!p.keyed() || p.setsAlways())
}

func (p *plan) setsAlways() bool {
	return slices.ContainsFunc(p.shape.Set, func(c string) bool { return p.table.types[c].always })
}
