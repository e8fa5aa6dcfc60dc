package applier

import (
	"strings"
	"testing"
)

// Code of a user that runs when rows are written runs as the owner of the table, and can
// do there what the owner can.
func TestRowsRunCodeAsTheOwner(t *testing.T) {
	tests := []struct {
		name   string
		tables string // makes t (id int primary key, a text)
		// column is what else a row is given, and its value.
		column, value string
	}{
		{name: "check", tables: "CREATE TABLE t (id int PRIMARY KEY, a text CHECK (evil(a)))"},
		{name: "check with a query", tables: `CREATE TABLE t (id int PRIMARY KEY, a text CHECK (query_to_xml('SELECT work.harm()', false, false, '') IS NOT NULL))`},
		{name: "operator", tables: "CREATE OPERATOR !!! (rightarg = text, function = evil); CREATE TABLE t (id int PRIMARY KEY, a text CHECK (OPERATOR(work.!!!) a))"},
		{name: "generated column", tables: "CREATE TABLE t (id int PRIMARY KEY, a text, g int GENERATED ALWAYS AS (evil(id)) STORED)"},
		{name: "index", tables: "CREATE TABLE t (id int PRIMARY KEY, a text); CREATE INDEX ON t (evil(id))"},
		{name: "constant in an index", tables: "CREATE TABLE t (id int PRIMARY KEY, a text); CREATE INDEX ON t ((id + evil(7)))"},
		{name: "index predicate", tables: "CREATE TABLE t (id int PRIMARY KEY, a text); CREATE INDEX ON t (a) WHERE evil(a)"},
		{name: "statistics", tables: "CREATE TABLE t (id int PRIMARY KEY, a text); CREATE STATISTICS s ON (id + evil(7)), a FROM t"},
		{name: "domain", tables: "CREATE DOMAIN d AS text CHECK (evil(VALUE)); CREATE TABLE t (id int PRIMARY KEY, a d)"},
		{name: "domain in an array", tables: "CREATE DOMAIN d AS text CHECK (evil(VALUE)); CREATE TABLE t (id int PRIMARY KEY, a text, c d[])", column: "c", value: "{x}"},
		{name: "domain in a composite", tables: "CREATE DOMAIN d AS text CHECK (evil(VALUE)); CREATE TYPE k AS (v d); CREATE TABLE t (id int PRIMARY KEY, a text, c k)", column: "c", value: "(x)"},
		{name: "partition key", tables: "CREATE TABLE t (id int, a text) PARTITION BY RANGE (evil(id)); CREATE TABLE t_1 PARTITION OF t DEFAULT; ALTER TABLE t REPLICA IDENTITY FULL"},
		{name: "partition", tables: "CREATE TABLE t (id int PRIMARY KEY, a text) PARTITION BY LIST (id); CREATE TABLE t_1 PARTITION OF t DEFAULT; ALTER TABLE t_1 ADD CHECK (evil(a))"},
		{name: "trigger", tables: "CREATE TABLE t (id int PRIMARY KEY, a text); CREATE TRIGGER x BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION evil_trigger(); ALTER TABLE t ENABLE ALWAYS TRIGGER x"},
		{name: "deferred trigger", tables: "CREATE TABLE t (id int PRIMARY KEY, a text); CREATE CONSTRAINT TRIGGER x AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION evil_trigger(); ALTER TABLE t ENABLE REPLICA TRIGGER x"},
		{name: "default", tables: "CREATE TABLE t (id int PRIMARY KEY, a text, here int DEFAULT evil(3))"},
		{name: "forced row level security", tables: "CREATE TABLE t (id int PRIMARY KEY, a text CHECK (evil(a))); ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY"},
	}
	g := newGround(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newParish(t, g, test.tables)
			columns, one, two := []string{"id", "a"}, []any{1, "one"}, []any{2, nil}
			if test.column != "" {
				columns, one, two = append(columns, test.column), append(one, test.value), append(two, test.value)
			}
			key, old := []string{"id"}, []any{1}
			if test.name == "partition key" { // rows are found whole
				key, old = columns, one
			}
			err := p.apply(t,
				p.record(does(insert("t", columns, one...)), does(insert("t", columns, two...))),
				p.record(does(update("t", key, []string{"a"}, append(old, "o\"n\\e")...))))
			if err != nil {
				t.Fatal(err)
			}
			p.requireHarmless(t, test.name != "statistics") // these run where rows are read
			reader := p.alice
			if strings.HasPrefix(test.name, "forced") {
				reader = "postgres"
			}
			if got := p.rowsAs(t, reader, "SELECT id, a FROM work.t ORDER BY id"); got != `(1,"o""n\\e") (2,)` {
				t.Errorf("got %s", got)
			}
			if err := p.apply(t, p.record(does(clearOut("t"), insert("t", columns, two...))), p.record(does(remove("t", key, append([]any{2}, old[1:]...)...)))); test.name != "partition key" && err != nil {
				t.Fatal(err)
			}
		})
	}
}

// Tables without such code are written by the session itself.
func TestPlainTablesAreNotGuarded(t *testing.T) {
	p := newParish(t, newGround(t), `CREATE TYPE mood AS ENUM ('sad'); CREATE DOMAIN pos AS int CHECK (VALUE > 0);
		CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY CHECK (id > 0), a text CHECK (a IN ('x', 'y') AND length(a) < 9), at timestamptz DEFAULT now(),
			m mood DEFAULT 'sad' CHECK (m <> 'sad'), n pos, j jsonb DEFAULT '{}', u uuid DEFAULT gen_random_uuid(), g text GENERATED ALWAYS AS (lower(a)) STORED,
			CHECK (at < now() + interval '1 year' AND at::date > '2000-01-01'), CHECK ((id, n) < (5, 6)), r int4range, EXCLUDE USING gist (r WITH &&));
		CREATE INDEX ON t (lower(a)) WHERE id > 3;
		CREATE INDEX ON t USING gin (to_tsvector('english', a));
		CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION evil_trigger()`)
	to := p.targetAs(t)
	tab, err := to.tables.get(t.Context(), work("t"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range tab.code {
		if c.omitted == "" {
			t.Errorf("%s is taken for code of a user", c.what)
		}
	}
}
