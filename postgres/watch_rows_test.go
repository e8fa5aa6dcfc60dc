package postgres

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pgbridge/pgbridge/action"
)

// Rows that a peer cannot make by running the statement follow it; others do not.
func TestRewrittenRows(t *testing.T) {
	const two = "CREATE TABLE a (x int PRIMARY KEY, y text); INSERT INTO a VALUES (1, 'p'), (2, NULL); "
	const any = `[^"]+`
	for _, tt := range []struct {
		name, before, send string
		want               string // after the statement, as a pattern
	}{
		{"serial", two, "ALTER TABLE a ADD z bigserial", `w ["public.a",["x","y","z"]] v [["1", "p", "1"],["2", null, "2"]]`},
		{"identity", two, "ALTER TABLE a ADD z int GENERATED ALWAYS AS IDENTITY", `w ["public.a",["x","y","z"]] v [["1", "p", "1"],["2", null, "2"]]`},
		{"random", two, "ALTER TABLE a ADD z uuid DEFAULT gen_random_uuid()", `w ["public.a",["x","y","z"]] v [["1", "p", "` + any + `"],["2", null, "` + any + `"]]`},
		{"time", two, "ALTER TABLE a ADD z timestamptz DEFAULT now()", `w ["public.a",["x","y","z"]] v [["1", "p", "` + any + `"],["2", null, "` + any + `"]]`},
		{"time, and next", two + "ALTER TABLE a ADD z timestamptz DEFAULT now(); INSERT INTO a VALUES (3)", "ALTER TABLE a ADD zz int", ""},
		{"keyword", two, "ALTER TABLE a ADD z date DEFAULT CURRENT_DATE", `w ["public.a",["x","y","z"]] v [["1", "p", "` + any + `"],["2", null, "` + any + `"]]`},
		{"domain", two + "CREATE DOMAIN d AS uuid DEFAULT gen_random_uuid(); ", "ALTER TABLE a ADD z d", `w ["public.a",["x","y","z"]] v [["1", "p", "` + any + `"],["2", null, "` + any + `"]]`},
		{"two defaults", two, "ALTER TABLE a ADD z float8 DEFAULT random(), ALTER z SET DEFAULT 0", `w ["public.a",["x","y","z"]] v [["1", "p", "` + any + `"],["2", null, "` + any + `"]]`},
		{"two defaults, of which one is computed once", two, "ALTER TABLE a ADD z timestamptz DEFAULT now(), ALTER z SET /* */ DEFAULT '2000-01-01'", `w ["public.a",["x","y","z"]] v [["1", "p", "` + any + `"],["2", null, "` + any + `"]]`},
		{
			"a lie", two + "CREATE FUNCTION f() RETURNS float8 LANGUAGE sql IMMUTABLE AS 'SELECT random()'; ", "ALTER TABLE a ADD z float8 DEFAULT f()",
			`w ["public.a",["x","y","z"]] v [["1", "p", "` + any + `"],["2", null, "` + any + `"]]`,
		},
		{"constant", two, "ALTER TABLE a ADD z timestamptz DEFAULT '2020-01-01', ADD zz bigint NOT NULL DEFAULT 5 + 1", ""},
		{"generated", two, "ALTER TABLE a ADD z text GENERATED ALWAYS AS (y || 'x') STORED", ""},
		{"cast", two, "ALTER TABLE a ALTER x TYPE bigint, ALTER y TYPE varchar(5)", ""},
		{"plain using", two, `ALTER TABLE a ALTER x TYPE text USING "x"::text`, ""},
		{"using", two, `ALTER TABLE a ALTER y TYPE text USING y || random()`, `w ["public.a",["x","y"]] v [["1", "p` + any + `"],["2", null]]`},
		{"using, of none", two + "TRUNCATE a; ", `ALTER TABLE a ALTER y TYPE text USING y || random()`, `w ["public.a",["x","y"]]`},
		{
			"inherited", two + "CREATE TABLE b (z int PRIMARY KEY) INHERITS (a); INSERT INTO b VALUES (3, 'q', 4); ", "ALTER TABLE a ADD t timestamptz DEFAULT now()",
			`w ["public.a",["x","y","t"]] v [["1", "p", "` + any + `"],["2", null, "` + any + `"]] w ["public.b",["x","y","z","t"]] v [["3", "q", "4", "` + any + `"]]`,
		},
		{
			"partitions that are elsewhere", `CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw; CREATE TABLE a (x int) PARTITION BY LIST (x);
				CREATE FOREIGN TABLE a0 PARTITION OF a FOR VALUES IN (0) SERVER far; CREATE TABLE a1 (y text, x int); ALTER TABLE a1 DROP y; ALTER TABLE a ATTACH PARTITION a1 FOR VALUES IN (1); INSERT INTO a VALUES (1);
				CREATE UNLOGGED TABLE a2 PARTITION OF a FOR VALUES IN (2); INSERT INTO a VALUES (2); CREATE UNLOGGED TABLE a3 PARTITION OF a DEFAULT; `,
			"ALTER TABLE a ADD z serial", `w ["public.a",["x","z"]] v [["1", "1"]]`,
		},
		{
			"partitions", "CREATE TABLE a (x int PRIMARY KEY) PARTITION BY LIST (x); CREATE TABLE a1 PARTITION OF a FOR VALUES IN (1); CREATE TABLE a2 PARTITION OF a DEFAULT; INSERT INTO a VALUES (1), (2); ",
			"ALTER TABLE a ADD z serial", `w ["public.a",["x","z"]] v [["1", "1"],["2", "2"]]`,
		},
		{
			"table as", two, `CREATE TABLE b AS SELECT x, y COLLATE "C" AS "Y y", 1.50::numeric(5,2) AS n, 'a'::char(3) AS c, true AS t, ROW(NULL, '"')::a AS r FROM a WHERE x = 1`,
			`ALTER TABLE public.b REPLICA IDENTITY FULL w ["public.b",["x","Y y","n","c","t","r"]] v [["1", "p", "1.50", "a  ", "t", "(,"""")"]]`,
		},
		{"select into", two, "SELECT x, now() AS t INTO b FROM a WHERE x = 1", `ALTER TABLE public.b REPLICA IDENTITY FULL w ["public.b",["x","t"]] v [["1", "` + any + `"]]`},
		{"unlogged as", two, "CREATE UNLOGGED TABLE b AS SELECT * FROM a", ""},
		{"logged", "CREATE UNLOGGED TABLE a (x int PRIMARY KEY); INSERT INTO a VALUES (1); ", "ALTER TABLE a SET LOGGED", `w ["public.a",["x"]] v [["1"]]`},
		{"row security", two + "ALTER TABLE a ENABLE ROW LEVEL SECURITY; ALTER TABLE a FORCE ROW LEVEL SECURITY; ", "ALTER TABLE a ADD z bigserial", `w ["public.a",["x","y","z"]] v [["1", "p", "1"],["2", null, "2"]]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db, _, w := watched(t, ScopeAll)
			send(t, db, "postgres", tt.before)
			w.read(t)
			send(t, db, "postgres", "SET timezone = 'Asia/Tokyo'; SET datestyle = 'German'", tt.send)
			got := w.changes(t)
			if len(got) == 0 {
				t.Fatal("nothing is marked")
			}
			want := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(tt.want), regexp.QuoteMeta(any), any) + "$")
			if rest := strings.ReplaceAll(strings.Join(got[1:], " "), `\"`, `"`); !want.MatchString(rest) {
				t.Errorf("after %s:\ngot  %s\nwant %s", got[0], rest, tt.want)
			}
		})
	}
}

// Many rows come in several marks, none of them much over a megabyte.
func TestRewrittenRowsComeInPieces(t *testing.T) {
	db, conn, w := watched(t, ScopeAll)
	mustExec(t, conn, "CREATE TABLE public.a (x int PRIMARY KEY, y text); INSERT INTO public.a SELECT i, repeat('y', 10000) FROM generate_series(1, 350) i")
	w.read(t)
	send(t, db, "postgres", "ALTER TABLE a ADD z serial")
	marks, rows := 0, 0
	for _, text := range w.changes(t) {
		if !strings.HasPrefix(text, "v ") {
			continue
		}
		if len(text) > 1100000 {
			t.Errorf("a mark of %d bytes, want a megabyte", len(text))
		}
		marks++
		rows += strings.Count(text, "],[") + 1
	}
	if marks != 4 || rows != 350 {
		t.Errorf("got %d marks with %d rows, want 4 with 350", marks, rows)
	}
}

// Of a table that is not published no rows follow.
func TestRewrittenRowsOfListedTables(t *testing.T) {
	db, conn, w := watched(t, ScopeListed)
	mustExec(t, conn, "CREATE TABLE public.a (x int); INSERT INTO public.a VALUES (1)")
	send(t, db, "postgres", "ALTER TABLE a ADD z serial; CREATE TABLE b AS SELECT 1 AS x")
	wantChanges(t, w.changes(t), "CREATE TABLE public.a (x int) [pg_catalog]", "ALTER TABLE a ADD z serial", "CREATE TABLE public.b (x integer)")
}

// The effect of an action is rows, so it may change no schema.
func TestActionsChangeNoSchema(t *testing.T) {
	_, conn, w := watched(t, ScopeAll)
	mustExec(t, conn, `CREATE SCHEMA app; CREATE FUNCTION app.f(x int) RETURNS void LANGUAGE plpgsql SET search_path = app, pg_temp AS
		'BEGIN CREATE TEMP TABLE t (); ALTER TABLE t ADD y int; DROP TABLE t; IF x > 1 THEN CREATE TABLE app.t (); END IF; END';
		REVOKE ALL ON FUNCTION app.f FROM PUBLIC; SELECT pgbridge.register_action('app.f(int)')`)
	w.read(t)
	mustExec(t, conn, `SELECT pgbridge.call('app.f', '{"x": 1}')`)
	wantChanges(t, w.changes(t), `c ["app.f",["x"],["1"]]`, "e")
	for _, call := range []string{`SELECT pgbridge.call('app.f', '{"x": 2}')`, `SET search_path = pgbridge; SELECT "app.f"(2)`} {
		_, err := conn.Exec(t.Context(), call, pgx.QueryExecModeSimpleProtocol)
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Message != "action app.f changes the schema" || refused.Hint == "" {
			t.Errorf("%s: got %v, want a refusal with a hint", call, err)
		}
	}
	mustExec(t, conn, "SELECT app.f(2)")
	wantChanges(t, w.changes(t), "CREATE TABLE app.t () [app]", "ALTER TABLE app.t REPLICA IDENTITY FULL")
	mustExec(t, conn, "SELECT pgbridge.drop_action('app.f')")
	wantChanges(t, w.changes(t), `d ["app.f",null]`)
}

// What peers run can be written by the owner alone: not with the right, or the
// token, of an action.
func TestStatementsCannotBeForged(t *testing.T) {
	db, admin, w := watched(t, ScopeAll)
	role := newRole(t, admin, "LOGIN")
	mustExec(t, admin, "CREATE SCHEMA app AUTHORIZATION "+action.QuoteIdent(role))
	conn := connect(t, db.URLAs(role))
	mustExec(t, conn, "CREATE FUNCTION app.f() RETURNS void LANGUAGE plpgsql SET search_path = app, pg_temp AS 'BEGIN END'; REVOKE ALL ON FUNCTION app.f FROM PUBLIC")
	mustExec(t, admin, "SELECT pgbridge.register_action('app.f()')")
	w.read(t)
	for _, f := range []string{"write_mark('s', '{}')", "mark_generated('DROP TABLE x', 'DROP TABLE', NULL)", "mark_all_owners()", "watch_schema()", "note('quiet', '', 1)", "take_lock('run', true)", "mark_publication()", "set_identity(0, 'FULL')"} {
		if _, err := conn.Exec(t.Context(), "SELECT pgbridge."+f); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: got %v, want permission denied", f, err)
		}
	}
	mustExec(t, conn, `SELECT pg_logical_emit_message(true, 'pgbridge', pgbridge."mark app.f"('[]') || 's{}')`)
	mustExec(t, conn, "BEGIN; SET LOCAL pgbridge.quiet = 'on'; CREATE TABLE app.a (x int PRIMARY KEY); COMMIT")
	wantChanges(t, w.changes(t), `c ["app.f",[],[]]`, "forged", "CREATE TABLE app.a (x int PRIMARY KEY) [pg_catalog]")
}
