package pgtest

import (
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/internal/server"
)

const ground = `
	CREATE SCHEMA app;
	CREATE TABLE app."Odd name" (id int PRIMARY KEY, v text);
	CREATE TABLE b (id serial, parent int REFERENCES app."Odd name", bytes bytea);
	CREATE TABLE part (k int, v text) PARTITION BY LIST (k);
	CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
	CREATE SCHEMA pgbridge; CREATE TABLE pgbridge.secret AS SELECT gen_random_uuid();
	CREATE FUNCTION pgbridge.ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
	CREATE EVENT TRIGGER pgbridge_ddl ON ddl_command_end
		EXECUTE FUNCTION pgbridge.ddl();`

func TestDumpDependsOnDataOnly(t *testing.T) {
	t.Parallel()
	a, b := New(t), New(t)
	for _, db := range []*DB{a, b} {
		db.Exec(t, ground)
	}
	a.Exec(t, `INSERT INTO app."Odd name" VALUES (1, E'tab\t, line\n, \\.'), (2, NULL), (3, 'COPY x FROM stdin;');
		INSERT INTO b VALUES (5, 1, '\x00ff'); INSERT INTO part VALUES (1, 'one')`)
	b.Exec(t, `INSERT INTO app."Odd name" VALUES (3, 'COPY x FROM stdin;'), (2, 'x'); UPDATE app."Odd name" SET v = NULL WHERE id = 2;
		INSERT INTO app."Odd name" VALUES (1, E'tab\t, line\n, \\.');
		INSERT INTO b VALUES (5, 1, '\x00ff'); INSERT INTO part VALUES (1, 'one'); SELECT nextval('b_id_seq')`)
	want := `COPY app."Odd name" (id, v) FROM stdin;
1	tab\t, line\n, \\.
2	\N
3	COPY x FROM stdin;
\.
COPY public.b (id, parent, bytes) FROM stdin;
5	1	\\x00ff
\.
COPY public.part_1 (k, v) FROM stdin;
1	one
\.
`
	RequireEqual(t, Dump(t, a), want)
	RequireEqual(t, Dump(t, b), want)
	RequireEqual(t, DumpSchema(t, a), DumpSchema(t, b))
	RequireEqual(t, Sequences(t, a), "public.b_id_seq NULL\n")
	RequireEqual(t, Sequences(t, b), "public.b_id_seq 1\n")
	if got := Dump(t, a, "--table=part*"); strings.Contains(got, "Odd") || !strings.Contains(got, "one") {
		t.Errorf("dump of part only: got\n%s", got)
	}
}

func TestDumpSchemaHasStatementsOnly(t *testing.T) {
	t.Parallel()
	db := New(t)
	db.Exec(t, ground)
	got := DumpSchema(t, db)
	for _, noise := range []string{"restrict", "\n\n", "--", "SET default", "set_config", "pgbridge", "PUBLICATION"} {
		if strings.Contains(got, noise) {
			t.Errorf("schema contains %q:\n%s", noise, got)
		}
	}
	for _, want := range []string{`CREATE TABLE app."Odd name" (`, "ADD CONSTRAINT", "PARTITION BY LIST (k)"} {
		if !strings.Contains(got, want) {
			t.Errorf("schema lacks %q:\n%s", want, got)
		}
	}
}

func TestDiff(t *testing.T) {
	long := strings.Repeat("x", 500)
	tests := []struct{ name, got, want, diff string }{
		{"equal", "COPY a;\n1\n\\.\n", "COPY a;\n1\n\\.\n", ""},
		{
			"a row is missing among many", "COPY a;\n1\n3\n4\n\\.\nCOPY b;\n1\n\\.\n", "COPY a;\n1\n2\n3\n4\n\\.\nCOPY b;\n1\n\\.\n",
			"COPY a;\n- 2",
		},
		{"a row twice", "COPY a;\n1\n1\n\\.\n", "COPY a;\n1\n\\.\n", "COPY a;\n+ 1"},
		{"a value changed", "COPY a;\n1 x\n\\.\n", "COPY a;\n1 y\n\\.\n", "COPY a;\n- 1 y\n+ 1 x"},
		{"a table is missing", "", "COPY a;\n1\n\\.\n", "COPY a;\n- COPY a;\n- 1\n- \\."},
		{"no tables", "x 1\n", "x 2\n", "- x 2\n+ x 1"},
		{"order", "a\nb\n", "b\na\n", "same lines, other order, from line 1\n- b\n+ a"},
		{"the last line break", "a", "a\n", "got 1 lines, want 2"},
		{"long lines", "COPY a;\n" + long + "\n", "COPY a;\n", "COPY a;\n+ " + long[:158] + "…"},
		{"many lines", strings.Repeat("x\n", 30), "", strings.Repeat("+ x\n", 24) + "… and 6 more lines"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := diff(test.got, test.want); got != test.diff {
				t.Errorf("got\n%s\nwant\n%s", got, test.diff)
			}
		})
	}
}

func TestClients(t *testing.T) {
	t.Parallel()
	db := New(t)
	if got := db.Run(t, "psql", "-XAtc", "SELECT current_database()"); got != db.Name+"\n" {
		t.Errorf("psql: got %q, want %q", got, db.Name)
	}
	db.Run(t, "pgbench", "--initialize", "--scale=1", "--quiet")
	db.Run(t, "pgbench", "--client=2", "--transactions=5")
	if got := db.Value(t, "SELECT count(*) FROM pgbench_history"); got != "10" {
		t.Errorf("pgbench: got %s rows, want 10", got)
	}
	if _, err := db.run("psql", "-c", "SELECT nonsense"); err == nil || !strings.Contains(err.Error(), `column "nonsense" does not exist`) {
		t.Errorf("psql with an error: got %v", err)
	}
}

// A container brings its own clients; binaries without clients say so.
func TestWithoutClients(t *testing.T) {
	db := New(t)
	db.Exec(t, `CREATE TABLE t AS SELECT 'grüße' AS v`)
	t.Setenv(server.EnvClientDir, t.TempDir())
	got, err := db.run("pg_dump", "--data-only", "--table=t")
	if db.Cluster.BinDir() != "" {
		if err == nil || !strings.Contains(err.Error(), "install the clients") {
			t.Errorf("got %v, want what to install", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	RequireEqual(t, sortCopies(got), "COPY public.t (v) FROM stdin;\ngrüße\n\\.\n")
	if _, err := db.run("psql", "-c", "SELECT nonsense"); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("psql with an error: got %v", err)
	}
}
