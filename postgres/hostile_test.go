package postgres

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// traps makes, in the session of a login, an object of each name that the functions of
// schema pgbridge use: relations, types and functions in pg_temp, and functions and
// operators in schema evil. Each of them runs evil.trap, which notes as whom.
const traps = `CREATE FUNCTION pg_temp.try(statement text) RETURNS void LANGUAGE plpgsql AS $$
	BEGIN EXECUTE statement; EXCEPTION WHEN OTHERS THEN END $$;
	SELECT pg_temp.try(format('CREATE TEMP VIEW %I AS SELECT * FROM %s WHERE evil.trap(%L)', c.relname, c.oid::regclass, c.relname))
		FROM pg_class c WHERE c.relname = ANY ($1::text[]) AND c.relkind IN ('r', 'v') AND c.relnamespace IN ('pg_catalog'::regnamespace);
	SELECT pg_temp.try(format('CREATE TEMP VIEW %I AS SELECT evil.trap(%1$L)', name)) FROM unnest($1::text[]) AS name;
	SELECT pg_temp.try(format('CREATE DOMAIN pg_temp.%I AS %s CHECK (evil.trap(%1$L))', t.typname, t.oid::regtype))
		FROM pg_type t WHERE t.typname = ANY ($1::text[]) AND t.typnamespace = 'pg_catalog'::regnamespace;
	SELECT pg_temp.try(format('CREATE FUNCTION %s.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L', s, p.proname,
			pg_get_function_identity_arguments(p.oid), pg_get_function_result(p.oid), format('BEGIN PERFORM evil.trap(%L); RETURN NULL; END', p.proname)))
		FROM pg_proc p CROSS JOIN unnest(ARRAY['pg_temp', 'evil']) s WHERE p.proname = ANY ($1::text[]) AND p.pronamespace = 'pg_catalog'::regnamespace;
	SELECT pg_temp.try(format('CREATE FUNCTION evil.op(a %s, b %s) RETURNS %s LANGUAGE plpgsql AS %L', o.oprleft::regtype, o.oprright::regtype,
			o.oprresult::regtype, 'BEGIN PERFORM evil.trap(''operator''); RETURN NULL; END'))
		, pg_temp.try(format('CREATE OPERATOR evil.%s (leftarg = %s, rightarg = %s, function = evil.op)', o.oprname, o.oprleft::regtype, o.oprright::regtype))
		FROM pg_operator o WHERE $1::text[] IS NOT NULL AND o.oprnamespace = 'pg_catalog'::regnamespace AND o.oprleft <> 0
			AND o.oprname IN ('=', '<>', '||', '->', '->>', '-', '?&', '<', '>', '<=', '>=', '~', '!~', '&')
			AND o.oprleft IN ('text'::regtype, 'name'::regtype, 'oid'::regtype, 'int4'::regtype, 'int8'::regtype, 'jsonb'::regtype, 'json'::regtype, 'bool'::regtype, 'anyarray'::regtype)`

// lies are custom settings that functions of schema pgbridge read once, or still read, with
// values that would have meant something.
var lies = []string{
	"SET pgbridge.rewritten = 'app.kept'::regclass::oid || ':1'", "SET pgbridge.session_objects = '1255:1 2615:1'", "SET pgbridge.quiet = 'on'",
	"SET pgbridge.once = 'x'", `SET pgbridge.inner_counts = '{"x": 7}'`, `SET pgbridge.caller_path = '["nowhere"]'`,
	"SET pgbridge.caller_strings = 'off'", "SET pgbridge.caller_role = 'postgres'",
}

// life is what the login does then.
var life = []string{
	"CREATE TABLE app.a (x int PRIMARY KEY, y text)", "INSERT INTO app.a VALUES (1, 'x')",
	"ALTER TABLE app.a ADD z double precision DEFAULT random()", "ALTER TABLE app.a ALTER y TYPE text USING y || random()",
	"CREATE TABLE app.b (x int)", "CREATE INDEX ON app.b (x)", "ALTER TABLE app.b ADD PRIMARY KEY (x)",
	"CREATE SCHEMA app2; CREATE TABLE app2.t (x int PRIMARY KEY); DROP TABLE app2.t",
	"DO $$ BEGIN CREATE TABLE app.c (x int PRIMARY KEY); EXECUTE 'CREATE VIEW app.v AS SELECT 1 AS x; DROP VIEW app.v'; END $$",
	"CREATE FUNCTION app.f() RETURNS void LANGUAGE sql AS 'CREATE TABLE app.d (x int PRIMARY KEY)'", "SELECT app.f()",
	"CREATE TABLE app.e AS SELECT 1 AS x", "CREATE TABLE app.p (x int PRIMARY KEY) PARTITION BY RANGE (x)",
	"ALTER TABLE app.p ATTACH PARTITION app.c DEFAULT", "DROP TABLE app.b", "COMMENT ON TABLE app.a IS 'a'",
	`SELECT pgbridge.call('app.act', '{"id": 1, "at": "2020-02-02Z"}')`, `SELECT pgbridge.call('app.act', '{"id": 2}')`,
	`SELECT pgbridge."app.act"(3, '2020-02-02Z')`, `SELECT pgbridge.call('app.act', '{"nothing": 2}')`, "SELECT pgbridge.new_id()",
}

// Nothing of a login's, wherever it lies, is run as another role, and nothing that it sets
// changes what is published.
func TestHostileSessions(t *testing.T) {
	t.Parallel()
	clean, caught := lived(t, false)
	if len(caught) > 0 {
		t.Fatalf("without traps: got %q", caught)
	}
	got, caught := lived(t, true)
	if len(caught) > 0 {
		t.Errorf("run as another role than the login: %q", caught)
	}
	if !slices.Equal(got, clean) {
		t.Errorf("published beside traps and lies:\ngot  %s\nwant %s", strings.Join(got, "\n     "), strings.Join(clean, "\n     "))
	}
}

// lived is what a login's life publishes, and which traps ran as another role.
func lived(t *testing.T, hostile bool) (changes, caught []string) {
	t.Helper()
	db := pgtest.New(t)
	admin := connect(t, db.URL())
	if err := Install(t.Context(), admin); err != nil {
		t.Fatal(err)
	}
	role := newRole(t, admin, "LOGIN")
	login := action.QuoteIdent(role)
	mustExec(t, admin, `CREATE SCHEMA app AUTHORIZATION `+login+`; CREATE SCHEMA evil AUTHORIZATION `+login+`; GRANT CREATE, TEMP ON DATABASE `+action.QuoteIdent(db.Name)+` TO `+login+`;
		CREATE SCHEMA log; GRANT USAGE ON SCHEMA log TO PUBLIC; CREATE UNLOGGED TABLE log.caught (who name, what text); GRANT INSERT ON log.caught TO PUBLIC`)
	conn := connect(t, db.URLAs(role))
	mustExec(t, conn, `CREATE TABLE app.kept (x int PRIMARY KEY); GRANT USAGE ON SCHEMA evil, app TO PUBLIC;
		CREATE FUNCTION app.act(id int, at timestamptz DEFAULT '2020-01-01Z') RETURNS int LANGUAGE plpgsql SET search_path = app, pg_temp AS 'BEGIN RETURN $1; END';
		REVOKE ALL ON FUNCTION app.act FROM PUBLIC;
		CREATE FUNCTION evil.trap(what text) RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS `+
		`'BEGIN IF current_user <> session_user THEN INSERT INTO log.caught VALUES (current_user, what); END IF; RETURN true; END'`)
	mustExec(t, admin, "SELECT pgbridge.register_action('app.act(int,timestamptz)')")
	if hostile {
		for statement := range strings.SplitSeq(traps, ";\n\tSELECT") {
			if statement = strings.TrimSpace(statement); !strings.HasPrefix(statement, "CREATE FUNCTION pg_temp.try") {
				mustExec(t, conn, "SELECT "+statement, pgx.QueryExecModeExec, usedNames())
				continue
			}
			mustExec(t, conn, statement)
		}
	}
	_, w := watchedIn(t, db, ScopeAll)
	w.read(t)
	mustExec(t, conn, "SET search_path = evil, public, pg_temp")
	if hostile {
		for _, lie := range lies {
			if strings.Contains(lie, "regclass") {
				lie = "DO $$ BEGIN PERFORM pg_catalog.set_config('pgbridge.rewritten', 'app.kept'::regclass::oid::pg_catalog.text OPERATOR(pg_catalog.||) ':1', false); END $$"
			}
			mustExec(t, conn, lie)
		}
	}
	for _, statement := range life {
		_, _ = conn.Exec(t.Context(), statement, pgx.QueryExecModeSimpleProtocol)
	}
	// An action that the administrator calls in such a session finds nothing of the login's.
	mustExec(t, admin, "SET search_path = evil, public")
	for _, call := range []string{`SELECT pgbridge.call('app.act', '{"id": 4}')`, `SELECT pgbridge."app.act"(5)`} {
		_, err := admin.Exec(t.Context(), call, pgx.QueryExecModeSimpleProtocol)
		if err != nil {
			t.Errorf("%s as the administrator: %v", call, err)
		}
	}
	mustExec(t, admin, "RESET search_path")
	random := regexp.MustCompile(`^v .*`)
	for _, change := range w.changes(t) {
		changes = append(changes, random.ReplaceAllString(change, "v"))
	}
	rows, err := admin.Query(t.Context(), "SELECT DISTINCT who || ' ran ' || what FROM log.caught ORDER BY 1")
	if err != nil {
		t.Fatal(err)
	}
	caught, err = pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return changes, caught
}

// usedNames are all words in the functions of schema pgbridge.
func usedNames() []string {
	var all []string
	for _, s := range append(slices.Clone(ours.functions), ours.tables...) {
		all = append(all, regexp.MustCompile(`\b[a-z_][a-z0-9_]*`).FindAllString(s.text, -1)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
