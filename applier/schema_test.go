package applier

import (
	"errors"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
)

const oneTable = `CREATE TABLE t (id int PRIMARY KEY, a text)`

var idA = []string{"id", "a"}

// altered are records in which the schema changes in every way that a cache
// could miss.
func altered(r *rig) []opened {
	return []opened{
		r.record(does(insert("t", idA, 1, "one")), does(insert("t", idA, 2, "two"))),
		r.record(
			does(insert("t", idA, 3, "three"), statement("ALTER TABLE t ADD b int DEFAULT 5"), insert("t", []string{"id", "a", "b"}, 4, "four", 4), update("t", []string{"id"}, []string{"b"}, 1, 11)),
			does(statement("ALTER TABLE t ALTER b TYPE text USING b || '!'"), update("t", []string{"id"}, []string{"b"}, 2, "text")),
			does(statement("CREATE TYPE mood AS ENUM ('sad')"), statement("CREATE TABLE fresh (id int PRIMARY KEY, m mood)"), insert("fresh", []string{"id", "m"}, 1, "sad")),
			does(statement("ALTER TYPE mood ADD VALUE 'glad'")),
			does(insert("fresh", []string{"id", "m"}, 2, "glad")),
			does(statement("ALTER TABLE t RENAME a TO z"), statement("ALTER TABLE t RENAME TO u"), update("u", []string{"id"}, []string{"z"}, 3, "drei")),
		),
		r.record(does(insert("fresh", []string{"id", "m"}, 3, "glad"))),
		r.record(
			does(statement("ALTER TABLE fresh ADD r float8 DEFAULT random()"), clearOut("fresh"), insert("fresh", []string{"id", "m", "r"}, 1, "sad", "0.5"), insert("fresh", []string{"id", "m", "r"}, 2, nil, "0.25")),
			does(statement("CREATE TABLE swap (id int PRIMARY KEY, u int UNIQUE)"), insert("swap", []string{"id", "u"}, 1, 1), insert("swap", []string{"id", "u"}, 2, 2),
				update("swap", []string{"id"}, []string{"u"}, 1, 3), update("swap", []string{"id"}, []string{"u"}, 2, 1), update("swap", []string{"id"}, []string{"u"}, 1, 2)),
			does(statement("DROP TABLE swap")),
		),
		r.record(does(update("fresh", []string{"id"}, []string{"r"}, 2, "1"))),
	}
}

const (
	alteredU     = "(1,one,11!) (2,two,text) (3,drei,5!) (4,four,4!)"
	alteredFresh = "(1,sad,0.5) (2,,1)"
)

func (r *rig) requireAltered(t *testing.T) {
	t.Helper()
	if got := r.rows(t, "SELECT * FROM work.u ORDER BY id"); got != alteredU {
		t.Errorf("got %s, want %s", got, alteredU)
	}
	if got := r.rows(t, "SELECT * FROM work.fresh ORDER BY id"); got != alteredFresh {
		t.Errorf("got %s, want %s", got, alteredFresh)
	}
	if got := r.progress(t).Schema; got != r.last.Schema {
		t.Errorf("the schema here is %s, want %s", got, r.last.Schema)
	}
	if got := r.rows(t, "SELECT table_name FROM pgbridge.fingerprint ORDER BY 1"); got != "(work.fresh) (work.u)" {
		t.Errorf("the tables that are remembered: got %s", got)
	}
	if err := checkTables(t.Context(), r.connect(t)); err != nil {
		t.Error(err)
	}
}

func TestSchemaChanges(t *testing.T) {
	g := newGround(t)
	t.Run("as one group", func(t *testing.T) {
		r := g.rig(t, oneTable)
		if err := r.target(t).apply(t.Context(), altered(r)); err != nil {
			t.Fatal(err)
		}
		r.requireAltered(t)
	})
	t.Run("with a start before each record", func(t *testing.T) {
		r := g.rig(t, oneTable)
		for _, x := range altered(r) {
			if err := r.target(t).apply(t.Context(), []opened{x}); err != nil {
				t.Fatal(err)
			}
		}
		r.requireAltered(t)
	})
	t.Run("row by row", func(t *testing.T) {
		r := g.rig(t, oneTable)
		to := r.target(t)
		if err := to.exact(t.Context(), altered(r)); err != nil {
			t.Fatal(err)
		}
		r.requireAltered(t)
	})
	t.Run("from the middle of a record", func(t *testing.T) {
		r := g.rig(t, oneTable)
		records := altered(r)
		half := r.target(t)
		half.until = archive.Moment{Place: archive.Place{Writer: r.writer, Epoch: 1, Seq: records[1].Header.Seq, Tx: 2}}
		if err := half.apply(t.Context(), records); err != nil || !half.stopped {
			t.Fatalf("got %v, stopped %v", err, half.stopped)
		}
		if got := r.rows(t, "SELECT * FROM work.fresh"); got != "(1,sad)" {
			t.Errorf("in the middle: got %s", got)
		}
		if err := r.target(t).apply(t.Context(), r.rest(t, records)); err != nil {
			t.Fatal(err)
		}
		r.requireAltered(t)
	})
}

// A transaction in parts changes the schema in its middle.
func TestSchemaChangeInParts(t *testing.T) {
	r := newRig(t, oneTable)
	records := []opened{
		r.record(does(insert("t", idA, 1, "one")), does(insert("t", idA, 2, "two")).goesOn()),
		r.record(does(statement("ALTER TABLE t ADD b int"), insert("t", []string{"id", "a", "b"}, 3, "three", 3)).continues(2).goesOn()),
		r.record(does(update("t", []string{"id"}, []string{"b"}, 1, 7)).continues(3), does(insert("t", []string{"id", "a", "b"}, 4, "four", 4))),
	}
	to := r.target(t)
	for _, x := range records {
		if err := to.apply(t.Context(), []opened{x}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := r.rows(t, "SELECT * FROM work.t ORDER BY id"), "(1,one,7) (2,two,) (3,three,3) (4,four,4)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := r.progress(t).Schema; got != r.last.Schema {
		t.Errorf("the schema here is %s, want %s", got, r.last.Schema)
	}
}

// Settings are those of the statement while it runs, and those of the session
// afterwards.
func TestSettingsOfStatements(t *testing.T) {
	r := newRig(t, oneTable)
	err := r.target(t).apply(t.Context(), []opened{r.record(
		does(statementUnder("CREATE TABLE d (id int PRIMARY KEY, at timestamptz DEFAULT '02/01/2020 03:00')", `{"search_path":"work","DateStyle":"SQL, DMY","TimeZone":"Asia/Tokyo"}`),
			insert("d", []string{"id", "at"}, 1, "2020-01-02 03:00:00+00")),
		does(statement("CREATE FUNCTION later() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*)::int FROM not_yet'")),
	)})
	if err != nil {
		t.Fatal(err)
	}
	r.exec(t, "INSERT INTO d VALUES (2)")
	got := r.rows(t, "SELECT id, extract(epoch FROM at)::bigint FROM work.d ORDER BY id")
	if want := "(1,1577934000) (2,1577901600)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if acl := r.db.Value(t, "SELECT proacl::text FROM pg_proc WHERE proname = 'later'"); strings.Contains(acl, "{=X") || strings.Contains(acl, ",=X") {
		t.Errorf("everybody may execute a function with its owner's rights: %s", acl)
	}
}

func TestSchemaRefused(t *testing.T) {
	g := newGround(t)
	first := func(r *rig) opened { return r.record(does(insert("t", idA, 1, "one"))) }
	for _, test := range []struct {
		name    string
		records func(r *rig) []opened
		tamper  func(t *testing.T, r *rig)
		want    string
	}{
		{"another schema", func(r *rig) []opened {
			x := first(r)
			x.Header.Schema = action.Digest{9}
			return []opened{x}
		}, nil, "record 2 is against 09"},
		{"a statement that was skipped", func(r *rig) []opened {
			x := r.record(does(statement("ALTER TABLE t ADD b int")))
			y := first(r)
			y.Header.Schema = x.Header.Schema
			return []opened{x, y}
		}, nil, "record 3 is against 00"},
		{"not the owner", func(r *rig) []opened {
			x := r.record(does(statement("ALTER TABLE t ADD b int")))
			x.Header.Writer = action.Writer{2}
			return []opened{x}
		}, nil, "is not the owner"},
		{"a column changed here", func(r *rig) []opened { return []opened{r.record(does(statement("ALTER TABLE t ADD b int")))} }, func(t *testing.T, r *rig) {
			if err := checkTables(t.Context(), r.connect(t)); err != nil {
				t.Fatal(err)
			}
			r.exec(t, "ALTER TABLE t ALTER a TYPE varchar(9)")
		}, "the columns of work.t were changed here"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := g.rig(t, oneTable)
			if test.tamper != nil {
				test.tamper(t, r)
			}
			err := r.target(t).apply(t.Context(), test.records(r))
			if !errors.Is(err, ErrSchema) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %v that says %q", err, ErrSchema, test.want)
			}
			if got := r.rows(t, "SELECT * FROM work.t"); got != "" {
				t.Errorf("something was applied: %s", got)
			}
		})
	}
}

func TestSchemaStuck(t *testing.T) {
	g := newGround(t)
	for _, test := range []struct{ name, statement, settings, want string }{
		{"a statement that fails", "ALTER TABLE nothing ADD a int", "{}", "nothing"},
		{"two statements", "CREATE TABLE a (); DROP TABLE t", "{}", "multiple commands"},
		{"the end of the transaction", "COMMIT", "{}", "not a statement that changes a schema"},
		{"something else", "COPY t FROM PROGRAM 'true'", "{}", "not a statement that changes a schema"},
		{"a setting of a later version", "CREATE TABLE a ()", `{"session_replication_role":"origin"}`, "not known to this pgbridge"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := g.rig(t, oneTable)
			records := []opened{
				r.record(does(insert("t", idA, 1, "one")), does(statementUnder(test.statement, test.settings), insert("t", idA, 2, "two")), does(insert("t", idA, 3, "three"))),
				r.record(does(insert("t", idA, 4, "four"))),
			}
			var stuck *Stuck
			err := r.target(t).apply(t.Context(), records)
			if !errors.As(err, &stuck) || stuck.Tx != 1 || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want transaction 1 stuck, and %q", err, test.want)
			}
			if got := r.rows(t, "SELECT id FROM work.t ORDER BY id"); got != "(1)" {
				t.Errorf("applied: %s", got)
			}
			if err := quarantine(t.Context(), r.connect(t), stuck); err != nil {
				t.Fatal(err)
			}
			r.decide(t, Skip)
			if err := r.target(t).apply(t.Context(), r.rest(t, records)); err != nil {
				t.Fatal(err)
			}
			if got := r.rows(t, "SELECT id FROM work.t ORDER BY id"); got != "(1) (3) (4)" {
				t.Errorf("after it was skipped: %s", got)
			}
			if got := r.progress(t).Schema; got != r.last.Schema {
				t.Errorf("the schema here is %s, want %s", got, r.last.Schema)
			}
		})
	}
}

// What came with a checkpoint is not executed, but counts.
func TestSchemaLoaded(t *testing.T) {
	r := newRig(t, oneTable+"; ALTER TABLE t ADD b int")
	records := []opened{
		r.record(does(statement("ALTER TABLE t ADD b int"), insert("t", idA, 1, "one"))),
		r.record(does(insert("t", []string{"id", "b"}, 2, 2))),
	}
	to := r.target(t)
	to.pos.Skip = 17
	if err := to.apply(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	if got := r.rows(t, "SELECT * FROM work.t"); got != "(2,,2)" {
		t.Errorf("got %s", got)
	}
}

// What was prepared before a statement is of no use after it: the rows that a
// call wrote are compared with those of a table that is another.
func TestSchemaBetweenCalls(t *testing.T) {
	r := newRig(t, oneTable+`; CREATE FUNCTION add(id int, a text) RETURNS void LANGUAGE plpgsql AS 'BEGIN INSERT INTO work.t VALUES (id, a); END'`)
	add := func(id int, text string) tx {
		return does(call("add", idA, []any{id, text}, insert("t", idA, id, text)))
	}
	err := r.target(t).apply(t.Context(), []opened{
		r.record(does(define("add", "function", idA, []string{"integer", "text"}))),
		r.record(add(1, "one"), does(statement("ALTER TABLE t ALTER a TYPE varchar(9)")), add(2, "two"), does(statement("ALTER TABLE t RENAME TO u"), statement("CREATE VIEW t AS SELECT * FROM u")),
			does(call("add", idA, []any{3, "three"}, insert("u", idA, 3, "three")))),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := r.rows(t, "SELECT * FROM work.u ORDER BY id"), "(1,one) (2,two) (3,three)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// What is done to all rows of a table is not done to partitions on other servers:
// their rows are not the stream's.
func TestAllRowsButForeignOnes(t *testing.T) {
	g := newGround(t)
	for _, test := range []struct {
		name string
		does deed
	}{{"clear", clearOut("p")}, {"truncate", truncate("p")}} {
		t.Run(test.name, func(t *testing.T) {
			r := g.rig(t, `CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE TABLE p (id int, a text) PARTITION BY RANGE (id);
				CREATE FOREIGN TABLE far PARTITION OF p FOR VALUES FROM (0) TO (10) SERVER s; CREATE TABLE near PARTITION OF p FOR VALUES FROM (10) TO (20); INSERT INTO p VALUES (11, 'x')`)
			t.Cleanup(func() { r.db.Exec(t, "DROP FOREIGN DATA WRAPPER w CASCADE") })
			if err := r.target(t).apply(t.Context(), []opened{r.record(does(test.does, insert("p", idA, 12, "y")))}); err != nil {
				t.Fatal(err)
			}
			if got := r.rows(t, "SELECT * FROM work.near"); got != "(12,y)" {
				t.Errorf("got %s, want (12,y)", got)
			}
			r.db.Exec(t, "DROP TABLE work.near")
			if err := r.target(t).apply(t.Context(), []opened{r.record(does(test.does))}); err != nil {
				t.Errorf("without a partition that is here: %v", err)
			}
		})
	}
}
