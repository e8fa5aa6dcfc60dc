package postgres

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/ddl"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// watched is a writer's database, its schema watched, and a tape of what it
// publishes.
func watched(t *testing.T, scope Scope, tables ...action.Name) (*pgtest.DB, *pgx.Conn, *tape) {
	t.Helper()
	db := pgtest.New(t)
	conn, w := watchedIn(t, db, scope, tables...)
	return db, conn, w
}

// watchedIn is watched in a database that is there.
func watchedIn(t *testing.T, db *pgtest.DB, scope Scope, tables ...action.Name) (*pgx.Conn, *tape) {
	t.Helper()
	conn := connect(t, db.URL())
	if err := Install(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	d := Database{Role: RoleWriter, Stage: StageReady, Name: "app", Slot: "none", ID: action.Digest{1}, Genesis: []byte("record"), Scope: scope}
	if err := SaveDatabase(t.Context(), conn, d); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if ok, err := WatchSchema(t.Context(), conn); !ok || err != nil {
			t.Fatalf("WatchSchema: got %v, %v, want true", ok, err)
		}
	}
	if err := CreatePublication(t.Context(), conn, DefaultName, tables); err != nil {
		t.Fatal(err)
	}
	if err := MarkPublication(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	w := newTape(t, conn)
	w.publication = DefaultName
	return conn, w
}

// changes are what was read, flat: of a mark of a statement what peers would be
// given, with its search_path if that is not public alone.
func (w *tape) changes(t *testing.T) (all []string) {
	t.Helper()
	var script string
	for _, text := range slices.Concat(w.read(t)...) {
		kind, payload, _ := strings.Cut(text, " ")
		if kind == "s" {
			if text = statementOfMark(t, payload, &script); text == "" {
				continue
			}
		}
		all = append(all, text)
	}
	return all
}

func statementOfMark(t *testing.T, payload string, script *string) string {
	t.Helper()
	m := readMark(t, payload, script)
	one := m.statement
	if m.path != "public" && m.n+len(m.path) > 0 {
		one += " [" + m.path + "]"
	}
	return one
}

// mark is a mark of a statement as publisher reads it.
type mark struct {
	statement, path string
	n               int
	role            string
	object          []any
}

// readMark reads a mark. What peers would not run has no statement.
func readMark(t *testing.T, payload string, script *string) mark {
	t.Helper()
	var in struct {
		Statement *string
		In, Tag   string
		N         int
		Made      string
		Author    struct {
			User, Session, Role string
			Object, On          []any
			Unowned             bool
		}
		Settings map[string]string
	}
	if err := json.Unmarshal([]byte(payload), &in); err != nil {
		t.Fatalf("mark %s: %v", payload, err)
	}
	if in.Statement == nil {
		in.Statement = script
	}
	one, err := *in.Statement, error(nil)
	switch {
	case in.N == 0:
	case in.In == "text":
		one, err = ddl.FiredInside(*in.Statement, in.N, in.Tag)
	case in.In == "body":
		one, err = ddl.StatementOf(*in.Statement, in.N, in.Tag)
	default:
		*script = *in.Statement
		one, err = ddl.Fired(*in.Statement, in.N, in.Tag)
	}
	if err != nil {
		t.Errorf("mark %s: %v", payload, err)
	}
	by := in.Author
	if in.Made != "" && by.User != "" && in.Tag == "CREATE SCHEMA" {
		one = ddl.NameSchema(one, in.Made)
	}
	if by.User != "" {
		one = ddl.NameRoles(one, by.User, cmp.Or(by.Session, by.User))
	}
	if by.On != nil {
		var names []string
		for _, name := range by.On[1].([]any) {
			names = append(names, name.(string))
		}
		if one, err = ddl.GrantOn(one, by.On[0].(string), names); err != nil {
			t.Errorf("mark %s: %v", payload, err)
		}
	}
	if by.Unowned {
		without := ddl.WithoutOwners(one)
		if without == one {
			by.Object = nil
		} else if by.Object != nil {
			by.Role = ""
		}
		one = without
	}
	return mark{one, in.Settings["search_path"], in.N, by.Role, by.Object}
}

// send runs a string as psql would send it, whatever comes of it.
func send(t *testing.T, db *pgtest.DB, user string, strings ...string) {
	t.Helper()
	conn := connect(t, db.URLAs(user))
	mustExec(t, conn, "SET search_path = public")
	for _, s := range strings {
		_, _ = conn.PgConn().Exec(t.Context(), s).ReadAll()
	}
}

func wantChanges(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("in the WAL:\ngot  %s\nwant %s", strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

// Each statement of a string is marked by itself, in its place, if it came to be.
func TestSchemaMarks(t *testing.T) {
	const f = "CREATE FUNCTION f() RETURNS void LANGUAGE "
	for _, tt := range []struct {
		name string
		send []string
		want []string
	}{
		{"one", []string{"CREATE TABLE a (x int PRIMARY KEY) -- why"}, []string{"CREATE TABLE a (x int PRIMARY KEY)"}},
		{
			"several, with rows",
			[]string{`CREATE TABLE a (x int PRIMARY KEY); INSERT INTO a VALUES (1); /* ; */ ALTER TABLE a ADD "y;" text DEFAULT $$;'$$; UPDATE a SET x = 2`},
			[]string{"CREATE TABLE a (x int PRIMARY KEY)", "I public.a", `ALTER TABLE a ADD "y;" text DEFAULT $$;'$$`, "U public.a"},
		},
		{
			"made of temporary objects",
			[]string{
				`CREATE TEMP TABLE tmp (x int); CREATE DOMAIN many AS tmp[]; CREATE FUNCTION first() RETURNS tmp LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION first() STABLE; CREATE FUNCTION kept(a int) RETURNS int LANGUAGE sql AS 'SELECT 1'`,
				`DROP FUNCTION kept(int)`,
				`CREATE TEMP TABLE tmp (x int); CREATE FUNCTION one() RETURNS SETOF tmp LANGUAGE sql AS 'SELECT 1'; CREATE AGGREGATE two (tmp) (sfunc = array_append, stype = tmp[]); DROP FUNCTION one(); DROP AGGREGATE two (tmp); DROP TABLE tmp`,
			},
			[]string{"CREATE FUNCTION kept(a int) RETURNS int LANGUAGE sql AS 'SELECT 1'", "DROP FUNCTION kept(int)"},
		},
		{
			"rolled back",
			[]string{"BEGIN; CREATE TABLE a (); ROLLBACK; CREATE SCHEMA b; BEGIN; CREATE TABLE c (); SAVEPOINT s; DROP TABLE c; CREATE TABLE d (); ROLLBACK TO s; CREATE VIEW e AS SELECT 1; COMMIT"},
			[]string{"CREATE SCHEMA b", "CREATE TABLE c ()", "ALTER TABLE public.c REPLICA IDENTITY FULL", "CREATE VIEW e AS SELECT 1"},
		},
		{
			"a failing one",
			[]string{"BEGIN; CREATE SCHEMA a; COMMIT; CREATE SCHEMA b; CREATE SCHEMA a; CREATE SCHEMA c", "CREATE SCHEMA d; DROP TABLE IF EXISTS nothing; CREATE SCHEMA IF NOT EXISTS d; CREATE SCHEMA e"},
			[]string{"CREATE SCHEMA a", "CREATE SCHEMA d", "CREATE SCHEMA e"},
		},
		{
			"not for peers",
			[]string{"CREATE TEMP TABLE t (x int); CREATE INDEX ON t (x); COMMENT ON TABLE t IS 'x'; CREATE TRIGGER g AFTER INSERT ON t EXECUTE FUNCTION suppress_redundant_updates_trigger(); ALTER TABLE t ADD y int; DROP TRIGGER g ON t; DROP TABLE t; CREATE SCHEMA a; GRANT USAGE ON SCHEMA a TO PUBLIC; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC; CREATE PUBLICATION p; DROP PUBLICATION p; COMMENT ON SCHEMA a IS 'a'"},
			[]string{"CREATE SCHEMA a", "GRANT USAGE ON SCHEMA a TO PUBLIC", "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC", "COMMENT ON SCHEMA a IS 'a'"},
		},
		{
			"alone only",
			[]string{"CREATE TABLE a (x int PRIMARY KEY)", "CREATE INDEX CONCURRENTLY i ON a (x)", "REINDEX INDEX CONCURRENTLY i", "DROP INDEX CONCURRENTLY i"},
			[]string{"CREATE TABLE a (x int PRIMARY KEY)", "CREATE INDEX CONCURRENTLY i ON a (x)", "DROP INDEX CONCURRENTLY i"},
		},
		{
			"kinds",
			[]string{`CREATE TYPE e AS ENUM ('a'); ALTER TYPE e RENAME TO "E"; CREATE DOMAIN d AS int; CREATE SEQUENCE s; ALTER SEQUENCE s RESTART 5; CREATE VIEW v AS SELECT 1 AS x;
				CREATE MATERIALIZED VIEW m AS SELECT 1 AS x; REFRESH MATERIALIZED VIEW m; DROP VIEW v`, "ALTER TYPE \"E\" ADD VALUE 'b'"},
			[]string{"CREATE TYPE e AS ENUM ('a')", `ALTER TYPE e RENAME TO "E"`, "CREATE DOMAIN d AS int", "CREATE SEQUENCE s", "ALTER SEQUENCE s RESTART 5", "CREATE VIEW v AS SELECT 1 AS x", "CREATE MATERIALIZED VIEW m AS SELECT 1 AS x", "REFRESH MATERIALIZED VIEW m", "DROP VIEW v", "ALTER TYPE \"E\" ADD VALUE 'b'"},
		},
		{
			"extension",
			[]string{"CREATE SCHEMA a; CREATE EXTENSION hstore SCHEMA a; CREATE SCHEMA b; CREATE EXTENSION IF NOT EXISTS hstore; DROP EXTENSION hstore; CREATE SCHEMA c"},
			[]string{"CREATE SCHEMA a", "CREATE EXTENSION hstore SCHEMA a", "CREATE SCHEMA b", "DROP EXTENSION hstore", "CREATE SCHEMA c"},
		},
		{
			"block",
			[]string{"CREATE SCHEMA a; DO $$ BEGIN CREATE SCHEMA b; EXECUTE 'CREATE SCHEMA ' || quote_ident('c \"'); BEGIN CREATE SCHEMA d; PERFORM 1/0; EXCEPTION WHEN OTHERS THEN CREATE SCHEMA e; END; END $$; CREATE SCHEMA f"},
			[]string{"CREATE SCHEMA a", "CREATE SCHEMA b", `CREATE SCHEMA "c """`, "CREATE SCHEMA e", "CREATE SCHEMA f"},
		},
		{
			"functions in functions",
			[]string{f + "plpgsql AS $$ BEGIN CREATE VIEW\n\"v\n\" AS SELECT 'x\"\nSQL' AS y; PERFORM g(); CREATE SCHEMA last; END $$; CREATE FUNCTION g() RETURNS void LANGUAGE plpgsql SET search_path = pg_temp, \"A\", public AS 'BEGIN CREATE TABLE \"A\".a (x int PRIMARY KEY); END'; CREATE SCHEMA \"A\"", "SELECT f()"},
			[]string{f + "plpgsql AS $$ BEGIN CREATE VIEW\n\"v\n\" AS SELECT 'x\"\nSQL' AS y; PERFORM g(); CREATE SCHEMA last; END $$", "CREATE FUNCTION g() RETURNS void LANGUAGE plpgsql SET search_path = pg_temp, \"A\", public AS 'BEGIN CREATE TABLE \"A\".a (x int PRIMARY KEY); END'", `CREATE SCHEMA "A"`, "CREATE VIEW\n\"v\n\" AS SELECT 'x\"\nSQL' AS y", `CREATE TABLE "A".a (x int PRIMARY KEY) ["A", public]`, "CREATE SCHEMA last"},
		},
		{
			"function in SQL",
			[]string{f + "sql AS 'SELECT 1; CREATE SCHEMA a; CREATE SCHEMA b; SELECT'", "SELECT f()"},
			[]string{f + "sql AS 'SELECT 1; CREATE SCHEMA a; CREATE SCHEMA b; SELECT'", "CREATE SCHEMA a", "CREATE SCHEMA b"},
		},
		{
			"text of several",
			[]string{"DO $$ BEGIN FOR i IN 1..2 LOOP EXECUTE 'CREATE SCHEMA a; GRANT USAGE ON SCHEMA a TO PUBLIC; CREATE TEMP TABLE t (); DROP SCHEMA a; DROP TABLE t'; BEGIN EXECUTE 'CREATE SCHEMA b; SELECT 1/0'; EXCEPTION WHEN OTHERS THEN END; END LOOP; END $$"},
			[]string{
				"CREATE SCHEMA a", "GRANT USAGE ON SCHEMA a TO PUBLIC", "DROP SCHEMA a", "CREATE SCHEMA a", "GRANT USAGE ON SCHEMA a TO PUBLIC", "DROP SCHEMA a",
			},
		},
		{
			"text of several of one kind",
			[]string{"DO $$ BEGIN FOR i IN 1..2 LOOP EXECUTE 'CREATE VIEW a AS SELECT 1; CREATE VIEW b AS SELECT 1; DROP VIEW a; DROP VIEW b'; END LOOP; END $$"},
			[]string{"CREATE VIEW a AS SELECT 1", "CREATE VIEW b AS SELECT 1", "DROP VIEW a", "DROP VIEW b", "CREATE VIEW a AS SELECT 1", "CREATE VIEW b AS SELECT 1", "DROP VIEW a", "DROP VIEW b"},
		},
		{
			"old strings",
			[]string{"SET standard_conforming_strings = off; SET escape_string_warning = off", "DO $$ BEGIN EXECUTE 'CREATE SCHEMA a; CREATE SCHEMA b; GRANT USAGE ON SCHEMA a TO PUBLIC'; CREATE TEMP TABLE t (); CREATE SCHEMA c; END $$; CREATE SCHEMA d; DROP SCHEMA a; DISCARD PLANS"},
			[]string{"CREATE SCHEMA a", "CREATE SCHEMA b", "GRANT USAGE ON SCHEMA a TO PUBLIC", "CREATE SCHEMA c", "CREATE SCHEMA d", "DROP SCHEMA a"},
		},
		{
			"procedure",
			[]string{"CREATE PROCEDURE p() LANGUAGE plpgsql AS 'BEGIN CREATE SCHEMA a; COMMIT; CREATE SCHEMA b; ROLLBACK; CREATE SCHEMA c; END'", "CALL p()"},
			[]string{"CREATE PROCEDURE p() LANGUAGE plpgsql AS 'BEGIN CREATE SCHEMA a; COMMIT; CREATE SCHEMA b; ROLLBACK; CREATE SCHEMA c; END'", "CREATE SCHEMA a", "CREATE SCHEMA c"},
		},
		{
			"discarded memory",
			[]string{"CREATE SCHEMA a; DISCARD SEQUENCES; CREATE SCHEMA b", "DISCARD SEQUENCES", "CREATE SCHEMA c"},
			[]string{"CREATE SCHEMA c"},
		},
		{
			"temporary and not",
			[]string{"CREATE TEMP TABLE t (); CREATE TABLE a (x int PRIMARY KEY); DROP TABLE t, a"},
			[]string{"CREATE TABLE a (x int PRIMARY KEY)", "DROP TABLE IF EXISTS public.a CASCADE"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			db, _, w := watched(t, ScopeAll)
			send(t, db, "postgres", tt.send...)
			wantChanges(t, w.changes(t), tt.want...)
		})
	}
}

// Sessions count for themselves, also while the other is in the middle of a string.
func TestSchemaMarksOfSessionsAtOnce(t *testing.T) {
	db, conn, w := watched(t, ScopeAll)
	mustExec(t, conn, "SELECT pg_advisory_lock(1)")
	done := make(chan struct{})
	go func() {
		defer close(done)
		send(t, db, "postgres", "CREATE SCHEMA a; CREATE SCHEMA b", "BEGIN; CREATE SCHEMA c; COMMIT; SELECT pg_advisory_lock(1); CREATE SCHEMA d; CREATE VIEW d.v AS SELECT 1")
	}()
	db.Wait(t, "t", "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)")
	send(t, db, "postgres", "CREATE SCHEMA e; CREATE SCHEMA f; CREATE SCHEMA g; CREATE VIEW g.v AS SELECT 1; CREATE VIEW g.w AS SELECT 1")
	mustExec(t, conn, "SELECT pg_advisory_unlock(1)")
	<-done
	wantChanges(t, w.changes(t), "CREATE SCHEMA a", "CREATE SCHEMA b", "CREATE SCHEMA c", "CREATE SCHEMA e", "CREATE SCHEMA f", "CREATE SCHEMA g", "CREATE VIEW g.v AS SELECT 1",
		"CREATE VIEW g.w AS SELECT 1", "CREATE SCHEMA d", "CREATE VIEW d.v AS SELECT 1")
}

// A long script is in the WAL once, not with each of its statements.
func TestSchemaMarksOfALongScript(t *testing.T) {
	db, _, w := watched(t, ScopeAll)
	var script strings.Builder
	for i := range 200 {
		fmt.Fprintf(&script, "CREATE TABLE %q (x int PRIMARY KEY);\n", fmt.Sprint(strings.Repeat("t", 50), i))
	}
	send(t, db, "postgres", script.String())
	bytes, texts := 0, 0
	for _, text := range slices.Concat(w.read(t)...) {
		bytes += len(text)
		texts += strings.Count(text, "CREATE TABLE \\\"ttt")
	}
	if texts != 200 || bytes > 10*script.Len() {
		t.Errorf("got %d statements in %d bytes, want 200 in a few times %d", texts, bytes, script.Len())
	}
}

// Who changes the schema needs no right to anything of pgbridge, and it is his
// search_path that counts.
func TestSchemaMarksOfOthers(t *testing.T) {
	db, admin, w := watched(t, ScopeAll)
	role := newRole(t, admin, "LOGIN")
	owner := newRole(t, admin, "")
	quoted := action.QuoteIdent(role)
	mustExec(t, admin, "CREATE SCHEMA "+quoted+" AUTHORIZATION "+quoted)
	mustExec(t, admin, "GRANT CREATE ON DATABASE "+action.QuoteIdent(db.Name)+" TO "+quoted)
	w.read(t)
	conn := connect(t, db.URLAs(role))
	mustExec(t, conn, `SET search_path = "$user", hidden, public, pg_temp; SET timezone = 'Asia/Tokyo'; SET array_nulls = off; SET standard_conforming_strings = off`)
	mustExec(t, conn, `CREATE TABLE a (x int PRIMARY KEY)`)
	mustExec(t, conn, "INSERT INTO a VALUES (1)")
	mustExec(t, conn, "SET search_path = ''")
	mustExec(t, conn, "DROP TABLE "+quoted+".a")
	got := slices.Concat(w.read(t)...)
	want := []string{
		fmt.Sprintf(`s {"statement":"CREATE TABLE a (x int PRIMARY KEY)","n":1,"tag":"CREATE TABLE","author":{"user":%q,"role":%q},"settings":{ "search_path" : %q, "TimeZone" : "Asia/Tokyo", "DateStyle" : "ISO, YMD", "IntervalStyle" : "postgres", "standard_conforming_strings" : "off", "array_nulls" : "off" }}`, quoted, role, quoted+", public"),
		"I " + role + ".a",
		fmt.Sprintf(`s {"statement":%q,"n":1,"tag":"DROP TABLE","author":{"user":%q,"role":%q},"settings":{ "search_path" : "", "TimeZone" : "Asia/Tokyo", "DateStyle" : "ISO, YMD", "IntervalStyle" : "postgres", "standard_conforming_strings" : "off", "array_nulls" : "off" }}`, "DROP TABLE "+quoted+".a", quoted, role),
	}
	wantChanges(t, got, want...)

	mustExec(t, admin, "GRANT CREATE ON SCHEMA public TO "+action.QuoteIdent(owner))
	mustExec(t, admin, "SET ROLE "+action.QuoteIdent(owner))
	mustExec(t, admin, "CREATE TABLE public.b (x int PRIMARY KEY); CREATE FUNCTION public.f(int, text) RETURNS int LANGUAGE sql AS 'SELECT 1'")
	mustExec(t, admin, "RESET ROLE")
	mustExec(t, admin, "DROP OWNED BY "+action.QuoteIdent(owner))
	got = w.changes(t)
	wantChanges(t, got[len(got)-3:], "DROP TABLE IF EXISTS public.b CASCADE", "DROP FUNCTION IF EXISTS public.f(integer,pg_catalog.text) CASCADE",
		"REVOKE ALL ON SCHEMA public FROM "+action.QuoteIdent(owner)+" CASCADE [pg_catalog]")
}
