package applier

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// How rows are found in a table, and whether the order of changes can be seen.
func TestTables(t *testing.T) {
	g := newGround(t)
	const look = `CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; `
	for _, test := range []struct {
		name, tables string
		key          string
		target       string
		ordered      bool
	}{
		{"primary key", `CREATE TABLE item (a int, b int, PRIMARY KEY (b, a) INCLUDE (c), c int)`, "b a", `ONLY "work"."item"`, false},
		{"no key", `CREATE TABLE item (a int UNIQUE)`, "", `ONLY "work"."item"`, false},
		{"replica identity before primary key", `CREATE TABLE item (a int PRIMARY KEY, b int NOT NULL UNIQUE); ALTER TABLE item REPLICA IDENTITY USING INDEX item_b_key`, "b", `ONLY "work"."item"`, false},
		{"whole row, with a primary key", `CREATE TABLE item (a int PRIMARY KEY, b int); ALTER TABLE item REPLICA IDENTITY FULL`, "a", `ONLY "work"."item"`, false},
		{"deferrable key", `CREATE TABLE item (a int PRIMARY KEY DEFERRABLE)`, "", `ONLY "work"."item"`, false},
		{"partitioned", `CREATE TABLE item (a int PRIMARY KEY) PARTITION BY LIST (a); CREATE TABLE item_1 PARTITION OF item DEFAULT`, "a", `"work"."item"`, false},
		{"trigger", look + `CREATE TABLE item (a int); CREATE TRIGGER look AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION look()`, "", `ONLY "work"."item"`, false},
		{"trigger for replicas", look + `CREATE TABLE item (a int); CREATE TRIGGER look AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION look(); ALTER TABLE item ENABLE REPLICA TRIGGER look`, "", `ONLY "work"."item"`, true},
		{"trigger always, in a partition", look + `CREATE TABLE item (a int) PARTITION BY LIST (a); CREATE TABLE item_1 PARTITION OF item DEFAULT; CREATE TRIGGER look AFTER INSERT ON item_1 FOR EACH ROW EXECUTE FUNCTION look(); ALTER TABLE item_1 ENABLE ALWAYS TRIGGER look`, "", `"work"."item"`, true},
		{"foreign key", `CREATE TABLE item (a int PRIMARY KEY, b int REFERENCES item)`, "a", `ONLY "work"."item"`, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := g.rig(t, test.tables)
			conn := r.connect(t)
			ts := tables{conn: conn, runners: &runners{conn: conn}}
			got, err := ts.get(t.Context(), work("item"))
			if err != nil {
				t.Fatal(err)
			}
			if key := strings.Join(got.key, " "); key != test.key || got.target != test.target || got.ordered != test.ordered {
				t.Errorf("got key %q, target %s, ordered %v; want %q, %s, %v", key, got.target, got.ordered, test.key, test.target, test.ordered)
			}
			if again, err := ts.get(t.Context(), work("item")); err != nil || again != got {
				t.Errorf("asked again: got %p, %v, want the same table", again, err)
			}
			if _, err := ts.get(t.Context(), work("other")); !errors.Is(err, pgx.ErrNoRows) || !strings.Contains(err.Error(), "work.other") {
				t.Errorf("a table that is not there: got %v", err)
			}
		})
	}
}

// A value is read by the input of its type, whatever casts there are, and
// compared as the index of the key compares.
func TestColumnsAreReadAndCompared(t *testing.T) {
	g := newGround(t)
	r := g.rig(t, `CREATE TYPE pair AS (a int, b text); CREATE DOMAIN dpair AS pair; CREATE DOMAIN ddpair AS dpair; CREATE DOMAIN grid AS int[];
		CREATE FUNCTION lie(text) RETURNS pair LANGUAGE sql AS $$ SELECT ROW(0, 'cast')::work.pair $$; CREATE CAST (text AS pair) WITH FUNCTION lie(text);
		CREATE FUNCTION differ(pair, pair) RETURNS bool LANGUAGE sql AS 'SELECT false'; CREATE OPERATOR = (LEFTARG = pair, RIGHTARG = pair, FUNCTION = differ);
		CREATE TYPE mood AS ENUM ('sad')`)
	for i, test := range []struct{ typ, value, other string }{
		{"int", "1", "2"},
		{"pair", `(1,"x y")`, `(2,)`},
		{"dpair", `(1,"x y")`, `(2,)`},
		{"ddpair", `(1,"x y")`, `(2,)`},
		{"regclass", "4294967295", "pg_class"},
		{"regclass", "-", "4294967295"},
		{"int[]", "[0:1]={1,NULL}", "{}"},
		{"grid", "[0:1]={1,NULL}", "{{1},{2}}"},
		{"pair[]", `{"(1,\"x y\")",NULL}`, "{}"},
		{"char(4)", "a   ", "b   "},
		{"varchar(3)", "abc", ""},
		{"bit(3)", "101", "000"},
		{"numeric(9,3)", "1.500", "-2.000"},
		{`"char"`, "a", `"`},
		{"name", "n", ""},
		{"timestamptz(2)", "2024-01-02 03:04:05.67+00", "infinity"},
		{"mood", "sad", "sad"},
		{`text COLLATE "C"`, `{"\`, "NULL"},
	} {
		t.Run(fmt.Sprint(i, " ", test.typ), func(t *testing.T) {
			table := fmt.Sprint("t", i)
			r.exec(t, fmt.Sprintf(`CREATE TABLE %s (k %s PRIMARY KEY, v %[2]s, note text)`, table, test.typ))
			r := *r
			r.last.Seq, r.digest = 1, r.progress(t).Digest
			r.db.Exec(t, `UPDATE pgbridge.progress SET seq = 1`)
			err := r.target(t).apply(t.Context(), []opened{
				r.record(does(insert(table, []string{"k", "v"}, test.value, nil))),
				r.record(does(update(table, []string{"k"}, []string{"v", "note"}, test.value, test.other, "seen"))),
				r.record(does(update(table, []string{"k"}, []string{"k", "v"}, test.value, test.other, test.value))),
				r.record(does(update(table, []string{"k"}, []string{"note"}, test.other, "again"))),
			})
			if err != nil {
				t.Fatal(err)
			}
			got := fmt.Sprint(r.db.Query(t, "SELECT k, v, note FROM work."+table))
			if want := fmt.Sprintf("[[%s %s again]]", test.other, test.value); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}
