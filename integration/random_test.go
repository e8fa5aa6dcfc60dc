package integration

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// randomTable is a table of a random schema. Its values are made by SQL out of
// an integer x, so that statements can be about many rows.
type randomTable struct {
	name    string
	key     []string // columns of the primary key
	columns []randomColumn
	create  string
}

type randomColumn struct{ name, typ, value string }

// randomKinds of columns; the first three can be keys. $ stands for x.
var randomKinds = []randomColumn{
	{"", "int", "$"},
	{"", "text", "'k' || $"},
	{"", "numeric", "round($ / 4.0, $ % 3)"},
	{"", "int", "nullif($ % 7, 0)"},
	{"", "text", `CASE $ % 5 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN E'\t\\N\n"' ELSE 'text ' || $ END`},
	{"", "text", "repeat(chr(97 + $ % 26), 3000)"}, // in TOAST
	{"", "jsonb", "jsonb_build_object('x', $, 'l', jsonb_build_array($, NULL))"},
	{"", "timestamptz", "'2020-01-01 00:00+00'::timestamptz + $ * interval '1 hour 0.000001 sec'"},
	{"", "bytea", "decode(md5($::text), 'hex')"},
	{"", "text[]", "ARRAY['a', NULL, $::text]"},
	{"", "float8", "$ / 3.0"},
}

func (c randomColumn) of(x string) string { return strings.ReplaceAll(c.value, "$", x) }

func randomSchema(r *rand.Rand) []randomTable {
	var tables []randomTable
	for i := range 5 {
		tables = append(tables, newRandomTable(r, fmt.Sprintf(`"Table %d"`, i)))
	}
	return tables
}

func newRandomTable(r *rand.Rand, name string) randomTable {
	t := randomTable{name: name}
	add := func(kind randomColumn) string {
		kind.name = fmt.Sprintf("c%d", len(t.columns))
		t.columns = append(t.columns, kind)
		return kind.name
	}
	for range r.IntN(3) {
		add(randomKinds[r.IntN(len(randomKinds))])
	}
	var constraints []string
	if r.IntN(4) > 0 {
		for range 1 + r.IntN(2) {
			t.key = append(t.key, add(randomKinds[r.IntN(3)]))
		}
		r.Shuffle(len(t.key), func(i, j int) { t.key[i], t.key[j] = t.key[j], t.key[i] })
		constraints = append(constraints, "PRIMARY KEY ("+strings.Join(t.key, ", ")+")")
	}
	for range 1 + r.IntN(4) {
		add(randomKinds[r.IntN(len(randomKinds))])
	}
	if r.IntN(3) == 0 {
		constraints = append(constraints, "UNIQUE ("+add(randomKinds[0])+")"+[]string{"", " DEFERRABLE INITIALLY DEFERRED"}[r.IntN(2)])
	}
	var list []string
	for _, c := range t.columns {
		list = append(list, c.name+" "+c.typ)
	}
	alter := ""
	switch {
	case len(t.key) == 0 || r.IntN(4) == 0:
		alter = "REPLICA IDENTITY FULL"
	case r.IntN(4) == 0: // another index
		unique := add(randomKinds[r.IntN(3)])
		list = append(list, unique+" "+t.columns[len(t.columns)-1].typ+" NOT NULL")
		constraints = append(constraints, "CONSTRAINT "+unquoted(name)+"_id UNIQUE ("+unique+")")
		alter = "REPLICA IDENTITY USING INDEX " + unquoted(name) + "_id"
	}
	t.create = fmt.Sprintf("CREATE TABLE %s (%s);\n", name, strings.Join(append(list, constraints...), ", "))
	if alter != "" {
		t.create += fmt.Sprintf("ALTER TABLE %s %s;\n", name, alter)
	}
	for _, c := range t.columns {
		if strings.HasPrefix(c.value, "repeat") {
			t.create += fmt.Sprintf("ALTER TABLE %s ALTER %s SET STORAGE EXTERNAL;\n", name, c.name)
		}
	}
	return t
}

func unquoted(name string) string { return strings.ReplaceAll(strings.Trim(name, `"`), " ", "_") }

// statement is a random one about t. It may fail: then it had no effect.
func (t *randomTable) statement(r *rand.Rand) string {
	switch n := r.IntN(20); {
	case n < 7:
		return t.insert(r)
	case n < 14:
		return fmt.Sprintf("UPDATE %s SET %s WHERE %s", t.name, t.assignments(r), t.some(r))
	case n < 17:
		return fmt.Sprintf("DELETE FROM %s WHERE %s", t.name, t.some(r))
	case n < 19 && len(t.key) > 0:
		c := t.columns[r.IntN(len(t.columns))]
		return t.insert(r) + fmt.Sprintf(" ON CONFLICT (%s) DO UPDATE SET %s = excluded.%[2]s", strings.Join(t.key, ", "), c.name)
	case n == 19 && r.IntN(6) == 0:
		return "TRUNCATE " + t.name
	}
	return fmt.Sprintf("DELETE FROM %s WHERE ctid = (SELECT min(ctid) FROM %[1]s)", t.name)
}

func (t *randomTable) insert(r *rand.Rand) string {
	var names, values []string
	for _, c := range t.columns {
		names = append(names, c.name)
		values = append(values, c.of("x"))
	}
	from := r.IntN(300)
	return fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM generate_series(%d, %d, %d) s (x)",
		t.name, strings.Join(names, ", "), strings.Join(values, ", "), from, from+r.IntN(40), 1+r.IntN(5))
}

// assignments sets some columns: to one value for all rows, to their own, or,
// for numbers, to one that is higher or lower.
func (t *randomTable) assignments(r *rand.Rand) string {
	var set []string
	for _, i := range r.Perm(len(t.columns))[:1+r.IntN(min(3, len(t.columns)))] {
		c := t.columns[i]
		value := c.of(fmt.Sprint("(", r.IntN(300), ")"))
		switch {
		case r.IntN(4) == 0:
			value = c.name
		case c.typ == "int" && r.IntN(2) == 0:
			value = fmt.Sprintf("%s %s %d", c.name, []string{"+", "-"}[r.IntN(2)], 1+r.IntN(200))
		case c.typ == "text" && r.IntN(2) == 0:
			value = fmt.Sprintf("left(%s || '%d', 4000)", c.name, r.IntN(10))
		}
		set = append(set, c.name+" = "+value)
	}
	return strings.Join(set, ", ")
}

// some chooses rows: one, some, or all.
func (t *randomTable) some(r *rand.Rand) string {
	c := t.columns[r.IntN(len(t.columns))].name
	switch r.IntN(6) {
	case 0:
		return "true"
	case 1:
		return fmt.Sprintf("ctid = (SELECT max(ctid) FROM %s)", t.name)
	}
	m := 2 + r.IntN(40)
	return fmt.Sprintf("abs(hashtext(coalesce(%s::text, 'null'))::bigint) %% %d = %d", c, m, r.IntN(m))
}
