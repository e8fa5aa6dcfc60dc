package integration

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// evolution makes random statements about whatever tables there are: their rows
// and their definitions. It looks at the database for what there is, so that one
// seed makes one history.
type evolution struct {
	r  *rand.Rand
	db *pgtest.DB
	n  int // for new names
}

// grown is a table as it is now.
type grown struct {
	schema, name string
	kind         string // r or p
	parent       string // qualified; empty of what is no partition
	columns      []grownColumn
}

type grownColumn struct{ name, typ string }

func (g *grown) sql() string { return g.schema + "." + g.name }

// look finds the tables, in an order that the seed makes.
func (e *evolution) look(t testing.TB) []*grown {
	t.Helper()
	var all []*grown
	for _, row := range e.db.Query(t, `SELECT n.nspname, c.relname, c.relkind::text, coalesce((SELECT i.inhparent::regclass::text FROM pg_inherits i WHERE i.inhrelid = c.oid), ''),
			coalesce((SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, NULL), '|' ORDER BY a.attnum) FROM pg_attribute a
				WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity = ''), '')
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p') AND n.nspname LIKE 'ev%' ORDER BY 1, 2`) {
		g := &grown{schema: row[0], name: row[1], kind: row[2], parent: row[3]}
		for _, c := range strings.Split(row[4], "|") {
			if name, typ, ok := strings.Cut(c, " "); ok {
				g.columns = append(g.columns, grownColumn{name, typ})
			}
		}
		all = append(all, g)
	}
	return all
}

func (e *evolution) name(prefix string) string { e.n++; return fmt.Sprintf("%s%d", prefix, e.n) }

func pick[T any](r *rand.Rand, all ...T) T { return all[r.IntN(len(all))] }

// one is a random statement, or a few that are one string. It may fail.
func (e *evolution) one(t testing.TB) string {
	tables := e.look(t)
	if len(tables) < 3 {
		return e.create(tables)
	}
	g := pick(e.r, tables...)
	switch n := e.r.IntN(100); {
	case n < 25:
		return e.insert(g)
	case n < 40:
		return e.update(g)
	case n < 46:
		return fmt.Sprintf("DELETE FROM %s WHERE %s", g.sql(), e.some(g))
	case n < 47:
		return "TRUNCATE " + e.whole(tables).sql()
	case n < 56:
		return e.addColumn(g)
	case n < 60 && len(g.columns) > 2:
		return fmt.Sprintf("ALTER TABLE %s DROP COLUMN %s", g.sql(), e.column(g).name)
	case n < 63:
		return fmt.Sprintf("ALTER TABLE %s RENAME COLUMN %s TO %s", g.sql(), e.column(g).name, e.name("c"))
	case n < 69:
		return e.retype(g)
	case n < 76:
		return e.create(tables)
	case n < 78 && len(tables) > 6:
		return fmt.Sprintf("DROP TABLE %s CASCADE", g.sql())
	case n < 80:
		return fmt.Sprintf("ALTER TABLE %s RENAME TO %s", g.sql(), e.name("t"))
	case n < 88:
		return e.partition(tables)
	case n < 92:
		return e.label()
	case n < 96:
		return e.index(g)
	}
	return e.other(g)
}

// whole is a table that is no partition: the server does not publish a TRUNCATE
// of one.
func (e *evolution) whole(tables []*grown) *grown {
	roots := slices.DeleteFunc(slices.Clone(tables), func(g *grown) bool { return g.parent != "" })
	return pick(e.r, roots...)
}

func (e *evolution) column(g *grown) grownColumn {
	if len(g.columns) == 0 {
		return grownColumn{"none", "int"}
	}
	return pick(e.r, g.columns...)
}

var grownTypes = []string{"integer", "bigint", "text", "numeric", "double precision", "timestamptz", "evolving_mood", "jsonb", "boolean", "uuid", "varchar(4000)"}

// value is an expression of a type, out of the integer x.
func value(typ, x string) string {
	switch typ {
	case "integer", "bigint", "numeric":
		return x
	case "double precision":
		return x + " / 3.0"
	case "timestamp with time zone", "timestamptz":
		return "'2020-01-01 00:00+00'::timestamptz + " + x + " * interval '1 hour 0.000001 sec'"
	case "public.evolving_mood", "evolving_mood":
		return "(enum_range(NULL::public.evolving_mood))[1 + " + x + " % array_length(enum_range(NULL::public.evolving_mood), 1)]"
	case "jsonb":
		return "jsonb_build_object('x', " + x + ")"
	case "boolean":
		return x + " % 2 = 0"
	case "uuid":
		return "md5((" + x + ")::text)::uuid"
	}
	return `CASE ` + x + ` % 5 WHEN 0 THEN NULL WHEN 1 THEN repeat('long ', 600) ELSE 'text ' || ` + x + ` END`
}

func (e *evolution) insert(g *grown) string {
	var names, values []string
	for _, c := range g.columns {
		if c.name != "id" && e.r.IntN(6) == 0 {
			continue // its default
		}
		names, values = append(names, c.name), append(values, value(c.typ, "x"))
	}
	from := e.r.IntN(400)
	return fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM generate_series(%d, %d) x ON CONFLICT DO NOTHING",
		g.sql(), strings.Join(names, ", "), strings.Join(values, ", "), from, from+e.r.IntN(40))
}

func (e *evolution) update(g *grown) string {
	c := e.column(g)
	return fmt.Sprintf("UPDATE %s SET %s = %s WHERE %s", g.sql(), c.name, value(c.typ, fmt.Sprint(e.r.IntN(300))), e.some(g))
}

// some chooses rows by their values only, for their places are not of the seed.
func (e *evolution) some(g *grown) string {
	if e.r.IntN(8) == 0 {
		return "true"
	}
	m := 2 + e.r.IntN(20)
	return fmt.Sprintf("abs(hashtext(coalesce(%s::text, 'null'))::bigint) %% %d = %d", e.column(g).name, m, e.r.IntN(m))
}

func (e *evolution) addColumn(g *grown) string {
	name, typ := e.name("c"), pick(e.r, grownTypes...)
	rest := pick(e.r, "", "DEFAULT NULL", "DEFAULT "+value(typ, "7"), "DEFAULT "+value(typ, "8")+" NOT NULL")
	switch e.r.IntN(5) {
	case 0:
		typ, rest = "double precision", "DEFAULT random()"
	case 1:
		typ, rest = pick(e.r, "serial", "uuid DEFAULT gen_random_uuid()", "text DEFAULT clock_timestamp()::text"), ""
	}
	add := fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s %s %s", g.sql(), name, typ, rest)
	if e.r.IntN(3) == 0 {
		add += fmt.Sprintf(", ADD COLUMN %s int DEFAULT %d", e.name("c"), e.r.IntN(9))
	}
	return add
}

func (e *evolution) retype(g *grown) string {
	c := e.column(g)
	to := pick(e.r,
		"text USING left("+c.name+"::text, 40)", "text", "varchar(3900)", "bigint USING coalesce(length("+c.name+"::text), 0)",
		"numeric USING length("+c.name+"::text)", "double precision USING length("+c.name+"::text) + random()", "jsonb USING to_jsonb("+c.name+")")
	return fmt.Sprintf("ALTER TABLE %s ALTER COLUMN %s DROP DEFAULT, ALTER COLUMN %[2]s TYPE %s", g.sql(), c.name, to)
}

func (e *evolution) create(tables []*grown) string {
	name := pick(e.r, "ev_a", "ev_b") + "." + e.name("t")
	switch e.r.IntN(6) {
	case 0:
		return fmt.Sprintf("CREATE TABLE %s (id int, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id); CREATE TABLE %[1]s_low PARTITION OF %[1]s FOR VALUES FROM (MINVALUE) TO (100); "+
			"CREATE TABLE %[1]s_high PARTITION OF %[1]s FOR VALUES FROM (200) TO (MAXVALUE); INSERT INTO %[1]s SELECT n, 'first' FROM generate_series(90, 99) n", name)
	case 1:
		return fmt.Sprintf("CREATE TABLE %s (a int, b text); INSERT INTO %[1]s SELECT n %% 3, 'same' FROM generate_series(1, 9) n", name)
	case 2:
		if len(tables) > 0 {
			return fmt.Sprintf("CREATE TABLE %s AS SELECT *, random() AS made FROM %s", name, pick(e.r, tables...).sql())
		}
	case 3:
		if len(tables) > 0 {
			return fmt.Sprintf("CREATE TABLE %s (LIKE %s INCLUDING ALL)", name, pick(e.r, tables...).sql())
		}
	}
	return fmt.Sprintf("CREATE TABLE %s (id int PRIMARY KEY, m public.evolving_mood, v %s DEFAULT %s)", name, "text", "'new'")
}

// partition makes, attaches, detaches or drops one.
func (e *evolution) partition(tables []*grown) string {
	roots := slices.DeleteFunc(slices.Clone(tables), func(g *grown) bool { return g.kind != "p" })
	if len(roots) == 0 {
		return e.create(tables)
	}
	root := pick(e.r, roots...)
	from := 100 + e.r.IntN(100)
	bounds := fmt.Sprintf("FOR VALUES FROM (%d) TO (%d)", from, from+1+e.r.IntN(60))
	var parts []*grown
	for _, g := range tables {
		if g.parent == root.sql() {
			parts = append(parts, g)
		}
	}
	name := root.schema + "." + e.name("p")
	switch n := e.r.IntN(8); {
	case n < 2:
		return fmt.Sprintf("CREATE TABLE %s PARTITION OF %s %s", name, root.sql(), bounds)
	case n < 4:
		return fmt.Sprintf("CREATE TABLE %[1]s (LIKE %[2]s INCLUDING DEFAULTS); INSERT INTO %[1]s (id) VALUES (%[3]d); ALTER TABLE %[2]s ATTACH PARTITION %[1]s %[4]s", name, root.sql(), from, bounds)
	case n < 6 && len(parts) > 0:
		return fmt.Sprintf("ALTER TABLE %s DETACH PARTITION %s", root.sql(), pick(e.r, parts...).sql())
	case n < 7 && len(parts) > 0:
		return fmt.Sprintf("DROP TABLE %s", pick(e.r, parts...).sql())
	}
	return fmt.Sprintf("CREATE TABLE %s PARTITION OF %s DEFAULT", name, root.sql())
}

func (e *evolution) label() string {
	if e.r.IntN(3) == 0 {
		return fmt.Sprintf("DO $$ BEGIN EXECUTE format('ALTER TYPE public.evolving_mood RENAME VALUE %%L TO ''%s''', (enum_range(NULL::public.evolving_mood))[1]); END $$", e.name("l"))
	}
	return fmt.Sprintf("ALTER TYPE public.evolving_mood ADD VALUE '%s'%s", e.name("l"), pick(e.r, "", " BEFORE 'fixed'"))
}

func (e *evolution) index(g *grown) string {
	c := e.column(g)
	return pick(e.r,
		fmt.Sprintf("CREATE INDEX ON %s (%s)", g.sql(), c.name), fmt.Sprintf("CREATE INDEX CONCURRENTLY %s ON %s (md5(%s::text))", e.name("i"), g.sql(), c.name),
		fmt.Sprintf("CREATE UNIQUE INDEX %s ON %s (%s)", e.name("i"), g.sql(), c.name), fmt.Sprintf("ALTER TABLE %s ADD CHECK (%s IS NULL OR true)", g.sql(), c.name))
}

func (e *evolution) other(g *grown) string {
	c := e.column(g)
	return pick(e.r,
		"ALTER SCHEMA ev_a RENAME TO ev_c; ALTER SCHEMA ev_b RENAME TO ev_a; ALTER SCHEMA ev_c RENAME TO ev_b",
		fmt.Sprintf("ALTER TABLE %s SET SCHEMA %s", g.sql(), pick(e.r, "ev_a", "ev_b")), fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL", g.sql()),
		fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s_pkey CASCADE", g.sql(), g.name), fmt.Sprintf("ALTER TABLE %s ADD PRIMARY KEY (%s)", g.sql(), c.name),
		fmt.Sprintf("ALTER TABLE %s ALTER %s SET NOT NULL", g.sql(), c.name), fmt.Sprintf("ALTER TABLE %s ALTER %s DROP NOT NULL", g.sql(), c.name),
		fmt.Sprintf("COMMENT ON TABLE %s IS 'it''s; %d'", g.sql(), e.r.IntN(9)))
}
