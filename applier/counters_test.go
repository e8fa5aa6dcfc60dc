package applier

import "testing"

// What a call wrote is counted in the tables that are there when it runs: those
// that statements made after the first call, too.
func TestCountersAfterStatements(t *testing.T) {
	g := newGround(t)
	add := func(table string, id int) tx {
		return does(call("add", idA, []any{id, "x"}, insert(table, idA, id, "x")))
	}
	for _, test := range []struct {
		name, schema string
		statements   []deed
		table        string // that the function writes then
	}{
		{"a table that is another", oneTable, []deed{statement("DROP TABLE t"), statement("CREATE TABLE t (id int PRIMARY KEY, a text)")}, "t"},
		{
			"a new partition", "CREATE TABLE t (id int PRIMARY KEY, a text) PARTITION BY RANGE (id); CREATE TABLE one PARTITION OF t FOR VALUES FROM (1) TO (2)",
			[]deed{statement("CREATE TABLE two PARTITION OF t FOR VALUES FROM (2) TO (3)")},
			"t",
		},
		{
			"a table that became a partition", `CREATE TABLE t (id int PRIMARY KEY, a text) PARTITION BY RANGE (id); CREATE TABLE one PARTITION OF t FOR VALUES FROM (1) TO (2);
				CREATE TABLE two (id int PRIMARY KEY, a text)`,
			[]deed{statement("ALTER TABLE t ATTACH PARTITION two FOR VALUES FROM (2) TO (3)")},
			"t",
		},
		{
			"a new table", oneTable,
			[]deed{statement("CREATE TABLE u (id int PRIMARY KEY, a text)"), statement("CREATE OR REPLACE FUNCTION add(id int, a text) RETURNS void LANGUAGE sql AS 'INSERT INTO work.u VALUES (id, a)'")},
			"u",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := g.rig(t, test.schema+"; CREATE FUNCTION add(id int, a text) RETURNS void LANGUAGE plpgsql AS 'BEGIN INSERT INTO work.t VALUES (id, a); END'")
			records := []opened{
				r.record(does(define("add", "function", idA, []string{"integer", "text"}))),
				r.record(add("t", 1), does(test.statements...), add(test.table, 2)),
			}
			if err := r.target(t).apply(t.Context(), records); err != nil {
				t.Fatal(err)
			}
			if got := r.rows(t, "SELECT id FROM work."+test.table+" WHERE id = 2"); got != "(2)" {
				t.Errorf("got %s, want the second row", got)
			}
		})
	}
}
