package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// exhibit is a species with its tables.
type exhibit struct {
	species
	n       int    // values, without NULL
	name    string // of the type, for those of the tables
	keyed   string // id and value, and an array of values
	keyless string // value twice, REPLICA IDENTITY FULL, every row doubled
	asKey   string // value as primary key; empty if it cannot be one
}

func newExhibits(all []species) []exhibit {
	var out []exhibit
	seen := map[string]int{}
	for _, s := range all {
		name := s.typ
		if seen[name]++; seen[name] > 1 {
			name += fmt.Sprint(" ", seen[name])
		}
		e := exhibit{species: s, n: len(s.values), name: name, keyed: zooName(name, "keyed"), keyless: zooName(name, "keyless")}
		if s.key {
			e.asKey = zooName(name, "key")
		}
		out = append(out, e)
	}
	return out
}

func zooName(typ, role string) string {
	return action.Name{Schema: "zoo", Name: typ + " " + role}.SQL()
}

// base is the type without its collation.
func (e exhibit) base() string { typ, _, _ := strings.Cut(e.typ, " COLLATE "); return typ }

func (e exhibit) array() string {
	if e.lone {
		return "int[]"
	}
	return e.base() + "[]"
}

// rows is a VALUES list: number, value, array; the last value is NULL.
func (e exhibit) rows() string {
	var b strings.Builder
	for i, v := range append(e.values, "NULL") {
		next := e.values[(i+1)%e.n]
		array := fmt.Sprintf("ARRAY[%s, NULL, %s]::%s", e.cast(v), e.cast(next), e.array())
		if e.lone {
			array = fmt.Sprintf("ARRAY[%d, NULL]", i)
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "(%d, %s, %s)", i+1, e.cast(v), array)
	}
	return "(VALUES " + b.String() + ") o (n, v, a)"
}

func (e exhibit) cast(v string) string { return "(" + v + ")::" + e.base() }

// create makes the tables and fills them.
func (e exhibit) create() string {
	sql := script(
		fmt.Sprintf("CREATE TABLE %s (id int PRIMARY KEY, v %s, a %s, note text)", e.keyed, e.typ, e.array()),
		fmt.Sprintf("CREATE TABLE %s (v %s, n int, w %[2]s); ALTER TABLE %[1]s REPLICA IDENTITY FULL", e.keyless, e.typ),
		fmt.Sprintf("INSERT INTO %s SELECT n, v, a FROM %s", e.keyed, e.rows()),
		fmt.Sprintf("INSERT INTO %s SELECT v, n, v FROM %s, generate_series(1, 2)", e.keyless, e.rows()),
		"",
	)
	if e.asKey != "" {
		sql += script(
			fmt.Sprintf("CREATE TABLE %s (k %s PRIMARY KEY, n int, note text)", e.asKey, e.typ),
			fmt.Sprintf("INSERT INTO %s SELECT v, n FROM %s WHERE v IS NOT NULL ON CONFLICT DO NOTHING", e.asKey, e.rows()),
			"",
		)
	}
	return sql
}

// change inserts every value, updates from and to every value, and deletes.
// Each statement is a transaction of its own but where it says otherwise.
func (e exhibit) change() []string {
	rotate := fmt.Sprintf("UPDATE %s t SET v = o.v, a = o.a FROM %[1]s o WHERE t.id <= %d AND o.id = t.id %% %[2]d + 1", e.keyed, e.n+1)
	sql := []string{
		fmt.Sprintf("INSERT INTO %s SELECT n + 100, v, a FROM %s", e.keyed, e.rows()),
		rotate,
		// Two updates of a row in one transaction, with an insert, and a delete of it.
		script("BEGIN", rotate, rotate, fmt.Sprintf("INSERT INTO %s SELECT n + 200, v, a FROM %s", e.keyed, e.rows()),
			fmt.Sprintf("UPDATE %s t SET v = o.v, note = 'new' FROM %[1]s o WHERE t.id > 200 AND o.id = t.id - 100", e.keyed),
			fmt.Sprintf("DELETE FROM %s WHERE id > 200 AND id %% 2 = 0", e.keyed), "COMMIT"),
		fmt.Sprintf("DELETE FROM %s WHERE id > 100 AND id %% 3 = 0", e.keyed),
		// One of two equal rows.
		fmt.Sprintf("DELETE FROM %s WHERE ctid IN (SELECT min(ctid) FROM %[1]s GROUP BY n)", e.keyless),
		fmt.Sprintf("INSERT INTO %s SELECT v, n, v FROM %s", e.keyless, e.rows()),
		fmt.Sprintf("UPDATE %s SET w = NULL WHERE ctid IN (SELECT min(ctid) FROM %[1]s GROUP BY n)", e.keyless),
		fmt.Sprintf("UPDATE %s t SET v = o.v FROM %s WHERE t.n = o.n %% %d + 1", e.keyless, e.rows(), e.n+1),
		fmt.Sprintf("DELETE FROM %s WHERE n = 1", e.keyless),
	}
	if e.asKey != "" {
		first, last := e.cast(e.values[0]), e.cast(e.values[e.n-1])
		sql = append(sql,
			fmt.Sprintf("UPDATE %s SET note = 'touched'", e.asKey),
			script("BEGIN", fmt.Sprintf("DELETE FROM %s WHERE n %% 2 = 1", e.asKey),
				fmt.Sprintf("INSERT INTO %s SELECT v, n, 'again' FROM %s WHERE v IS NOT NULL ON CONFLICT DO NOTHING", e.asKey, e.rows()), "COMMIT"),
			fmt.Sprintf("DELETE FROM %s WHERE n = 1", e.asKey),
			fmt.Sprintf("UPDATE %s SET k = %s WHERE n = %d AND n > 1", e.asKey, first, e.n),
			fmt.Sprintf("UPDATE %s SET k = %s, note = 'back' WHERE n = %d AND n > 1", e.asKey, last, e.n),
			fmt.Sprintf("DELETE FROM %s WHERE n = 2", e.asKey),
		)
	}
	return sql
}

// plain are the settings under which the statements of the zoo mean what they
// say.
const plain = `SET datestyle = 'ISO, YMD'; SET intervalstyle = 'postgres'; SET timezone = 'UTC'; SET search_path = public; SET standard_conforming_strings = on;
	SET xmloption = 'content'; SET extra_float_digits = 1; SET lc_monetary = 'C'; SET default_transaction_read_only = off;
	SET default_transaction_isolation = 'read committed'; SET statement_timeout = 0; SET array_nulls = on; SET synchronous_commit = off; `

// stockZoo makes the zoo at the source.
func stockZoo(t *testing.T, source *pgtest.DB) []exhibit {
	t.Helper()
	exhibits := newExhibits(zooSpecies(t, source))
	source.Exec(t, plain+zooTypes)
	for extension := range contrib {
		if hasExtension(t, source, extension) {
			source.Exec(t, fmt.Sprintf("CREATE EXTENSION %s SCHEMA public", extension))
		}
	}
	for _, e := range exhibits {
		if err := source.ExecErr(plain + e.create()); err != nil {
			t.Fatalf("stock %s: %v", e.name, err)
		}
	}
	return exhibits
}

// liveInZoo changes everything in the zoo.
func liveInZoo(t *testing.T, source *pgtest.DB, exhibits []exhibit) {
	t.Helper()
	for _, e := range exhibits {
		conn := source.Connect(t)
		if err := conn.PgConn().Exec(t.Context(), plain).Close(); err != nil {
			t.Fatal(err)
		}
		for _, sql := range e.change() {
			if err := conn.PgConn().Exec(t.Context(), sql).Close(); err != nil {
				t.Fatalf("change %s: %v\n%s", e.name, err, sql)
			}
		}
		conn.Close(t.Context())
	}
}

// Every type with its edges: copied, inserted, updated from and to, deleted,
// with a key, without one, and as the key.
func TestZoo(t *testing.T) {
	t.Parallel()
	source, follower := pgtest.New(t), pgtest.New(t)
	exhibits := stockZoo(t, source)
	p := newPipe(t, source)
	publishing, following := p.publish(t), p.follow(t, follower)
	liveInZoo(t, source, exhibits)
	p.caughtUp(t, follower, publishing, following)
	want := pgtest.Dump(t, source)
	pgtest.RequireEqual(t, pgtest.Dump(t, follower), want)
	pgtest.RequireEqual(t, pgtest.Dump(t, p.restore(t)), want)
}
