package postgres

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// application makes schema app with a table and the functions of a test, which
// nobody but their owner may execute.
func application(t *testing.T, conn Querier, functions string) {
	t.Helper()
	mustExec(t, conn, `CREATE SCHEMA app;
		CREATE TABLE app.posts (id uuid PRIMARY KEY, title text NOT NULL, slug text, n integer);
		CREATE TYPE app.mood AS ENUM ('calm', 'Very cross');
		`+functions+`;
		REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA app FROM PUBLIC`)
}

// refusal is what the server said, with its hint.
func refusal(err error) (message, hint string) {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Message, refused.Hint
	}
	return "", ""
}

const body = ` LANGUAGE plpgsql SET search_path = app, pg_temp AS 'BEGIN END'`

func TestRegisterRefuses(t *testing.T) {
	tests := []struct{ name, make, function, want, hint string }{
		{"PUBLIC", `CREATE FUNCTION app.f() RETURNS void` + body, "app.f()", "others than its owner may execute it: PUBLIC", "REVOKE EXECUTE ON FUNCTION app.f() FROM PUBLIC"},
		{
			"another role", `CREATE FUNCTION app.f() RETURNS void` + body + `; GRANT EXECUTE ON FUNCTION app.f() TO pg_monitor, pg_read_all_data`,
			"app.f()", "others than its owner may execute it: PUBLIC, pg_monitor, pg_read_all_data", "REVOKE EXECUTE ON FUNCTION app.f() FROM PUBLIC, pg_monitor, pg_read_all_data",
		},
		{"no name", `CREATE FUNCTION app.f(a int, text) RETURNS void` + body, "app.f(int,text)", "a parameter has no name", "with a name for each"},
		{"no names", `CREATE FUNCTION app.f(int) RETURNS void` + body, "app.f(int)", "a parameter has no name", "DROP FUNCTION app.f(integer)"},
		{"variadic", `CREATE FUNCTION app.f(VARIADIC a int[]) RETURNS void` + body, "app.f(int[])", "OUT, INOUT, TABLE or VARIADIC", "an array does"},
		{"out", `CREATE FUNCTION app.f(a int, OUT b int)` + body, "app.f(int)", "OUT, INOUT, TABLE or VARIADIC", "IN parameters only"},
		{"set", `CREATE FUNCTION app.f() RETURNS SETOF int` + body, "app.f()", "it returns a set", "one value"},
		{"table", `CREATE FUNCTION app.f() RETURNS TABLE (a int)` + body, "app.f()", "it returns a set", "one value"},
		{"procedure", `CREATE PROCEDURE app.f()` + body, "app.f()", "it is a procedure", "CREATE FUNCTION"},
		{"aggregate", `CREATE AGGREGATE app.f(int) (SFUNC = int4pl, STYPE = int)`, "app.f(int)", "it is an aggregate", "CREATE FUNCTION"},
		{"polymorphic", `CREATE FUNCTION app.f(a anyelement) RETURNS void` + body, "app.f(anyelement)", "polymorphic or pseudo type", "concrete type"},
		{"record", `CREATE FUNCTION app.f() RETURNS record` + body, "app.f()", "it returns record", "concrete type"},
		{"trigger", `CREATE FUNCTION app.f() RETURNS trigger` + body, "app.f()", "it returns trigger", "concrete type"},
		{"stable", `CREATE FUNCTION app.f() RETURNS void STABLE` + body, "app.f()", "it is not VOLATILE", "ALTER FUNCTION app.f() VOLATILE"},
		{"catalog", ``, "pg_catalog.lo_unlink(oid)", "not part of the application", "schema of your own"},
		{"long", `CREATE FUNCTION app.` + strings.Repeat("f", 55) + `() RETURNS void` + body, "app." + strings.Repeat("f", 55) + "()", "longer than 58 bytes", "RENAME"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, conn := migrated(t)
			mustExec(t, conn, "CREATE SCHEMA app;"+test.make)
			_, err := conn.Exec(t.Context(), "SELECT pgbridge.register_action($1::text::regprocedure)", test.function)
			message, hint := refusal(err)
			if !strings.Contains(message, test.want) || !strings.Contains(hint, test.hint) {
				t.Errorf("got %v, hint %q, want %q, hint %q", err, hint, test.want, test.hint)
			}
			for _, statement := range []string{"REVOKE", "ALTER FUNCTION app.f() VOLATILE"} {
				if strings.HasPrefix(hint, statement) { // it is the statement that mends
					mustExec(t, conn, "REVOKE ALL ON FUNCTION app.f() FROM PUBLIC;"+hint)
					mustExec(t, conn, "SELECT pgbridge.register_action('app.f()')")
				}
			}
		})
	}
}

func TestRegisterWarns(t *testing.T) {
	tests := []struct{ name, function, want string }{
		{"volatile", `LANGUAGE plpgsql SET search_path = app AS 'BEGIN PERFORM Now(), random (), current_user; PERFORM app.nextval_of(1); END'`, "it uses current_user, now, random: a replay"},
		{"volatile in an SQL body", `BEGIN ATOMIC SELECT gen_random_uuid(); END`, "it uses gen_random_uuid: a replay"},
		{"comments", `LANGUAGE plpgsql SET search_path = app AS E'BEGIN -- now()\n /* random()\n */ PERFORM 1; END'`, ""},
		{"exception", `LANGUAGE plpgsql SET search_path = app AS 'BEGIN PERFORM 1; EXCEPTION WHEN others THEN NULL; END'`, "it catches exceptions"},
		{"raise exception", `LANGUAGE plpgsql SET search_path = app AS 'BEGIN RAISE EXCEPTION ''when''; END'`, ""},
		{"search_path", `LANGUAGE plpgsql AS 'BEGIN END'`, "ALTER FUNCTION app.f() SET search_path = app, pg_temp"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			db, admin := migrated(t)
			application(t, admin, "CREATE FUNCTION app.f() RETURNS void "+test.function)
			conn, heard := hearing(t, db.URL())
			mustExec(t, conn, "SELECT pgbridge.register_action('app.f()')")
			got := heard()
			if test.want == "" && len(got) > 0 || test.want != "" && (len(got) != 1 || !strings.Contains(got[0], test.want)) {
				t.Errorf("got warnings %q, want %q", got, test.want)
			}
			problems, err := ActionProblems(t.Context(), conn)
			if err != nil || len(problems) != len(got) {
				t.Errorf("problems: got %v, %v, want the warnings", problems, err)
			}
		})
	}
}

func TestRegister(t *testing.T) {
	_, conn := migrated(t)
	application(t, conn, `CREATE FUNCTION app."Rename it"(post uuid, "New title" text, moods app.mood[], n numeric(5,2)) RETURNS void`+body+
		`; CREATE FUNCTION app.tick() RETURNS int`+body)
	w := newTape(t, conn)
	mustExec(t, conn, `SELECT pgbridge.register_action('app."Rename it"(uuid,text,app.mood[],numeric)', replay => 'rows')`)
	mustExec(t, conn, `SELECT pgbridge.register_action('app.tick()')`)
	const (
		rename = `{"action":"app.\"Rename it\"","function":"app.\"Rename it\"(uuid,text,app.mood[],numeric)","params":[{"name":"post","type":"uuid"},` +
			`{"name":"New title","type":"text"},{"name":"moods","type":"app.mood[]"},{"name":"n","type":"numeric"}],"replay":"rows","rules":[]}`
		tick = `{"action":"app.tick","function":"app.tick()","params":[],"replay":"function","rules":[]}`
	)
	w.want(t, []string{`d ["app.\"Rename it\"",` + rename + `]`}, []string{`d ["app.tick",` + tick + `]`})
	all, err := LoadActions(t.Context(), conn)
	if err != nil || len(all) != 2 {
		t.Fatalf("got %v, %v, want two actions", all, err)
	}
	a := all[0]
	if a.Name != `app."Rename it"` || a.Function != `app."Rename it"(uuid,text,app.mood[],numeric)` || a.Replay != "rows" || !a.Callable ||
		a.Parameters != "post uuid, New title text, moods app.mood[], n numeric" || string(a.Definition) != rename || len(a.Rules) > 0 {
		t.Errorf("got %+v", a)
	}

	if _, err := conn.Exec(t.Context(), "SELECT pgbridge.register_action('app.tick()', 'sql')"); err == nil {
		t.Error("registered with replay sql, want an error")
	}
	mustExec(t, conn, "CREATE FUNCTION app.tick(n int) RETURNS int"+body+"; REVOKE EXECUTE ON FUNCTION app.tick(int) FROM PUBLIC")
	_, err = conn.Exec(t.Context(), "SELECT pgbridge.register_action('app.tick(int)')")
	if message, hint := refusal(err); !strings.Contains(message, "taken by app.tick()") {
		t.Errorf("the same name again: got %v, want it refused", err)
	} else {
		mustExec(t, conn, hint)
	}
	mustExec(t, conn, "SELECT pgbridge.register_action('app.tick(int)')")
	mustExec(t, conn, `SELECT pgbridge.drop_action('app."Rename it"'), pgbridge.drop_action('app.tick(int)'::regprocedure)`)
	w.want(t, []string{`d ["app.tick",null]`}, []string{`d ["app.tick",` + strings.NewReplacer("()", "(integer)", `"params":[]`, `"params":[{"name":"n","type":"integer"}]`).Replace(tick) + `]`},
		[]string{`d ["app.\"Rename it\"",null]`, `d ["app.tick",null]`})
	if left := queryText(t, conn, "SELECT count(*)::text FROM pg_proc WHERE pronamespace = 'pgbridge'::regnamespace AND proname ~ '[. ]'"); left != "0" {
		t.Errorf("%s generated functions are left, want none", left)
	}
	if _, err := conn.Exec(t.Context(), "SELECT pgbridge.drop_action('app.tick(int)')"); err == nil {
		t.Error("dropped what is no action, want an error")
	}
	if _, err := LoadAction(t.Context(), conn, "app.tick"); !errors.Is(err, ErrNoAction) {
		t.Errorf("got %v, want ErrNoAction", err)
	}
}

// The function was dropped and made anew with other parameters.
func TestRegisterAfterTheFunctionChanged(t *testing.T) {
	db, admin := migrated(t)
	application(t, admin, "CREATE FUNCTION app.f(id uuid) RETURNS void"+body)
	conn, heard := hearing(t, db.URL())
	mustExec(t, conn, "SELECT pgbridge.register_action('app.f(uuid)')")
	mustExec(t, conn, "SELECT pgbridge.map_action('app.f(uuid)', 'app.posts', 'delete')")
	mustExec(t, conn, "DROP FUNCTION app.f(uuid); CREATE FUNCTION app.f(id uuid, m app.mood) RETURNS void"+body+
		"; REVOKE EXECUTE ON FUNCTION app.f(uuid, app.mood) FROM PUBLIC")
	problems, err := ActionProblems(t.Context(), conn)
	if err != nil || len(problems) != 1 || problems[0].Severity != Fatal || !strings.Contains(problems[0].Problem, "app.f(uuid) is gone") {
		t.Errorf("problems: got %v, %v, want that the function is gone", problems, err)
	}
	heard()
	mustExec(t, conn, "SELECT pgbridge.register_action('app.f(uuid,app.mood)')")
	if got := heard(); len(got) != 1 || !strings.Contains(got[0], "its mappings with it") {
		t.Errorf("got warnings %q, want one of the mappings", got)
	}
	mustExec(t, conn, `SELECT pgbridge.call('app.f', '{"id": null, "m": "calm"}')`)
	mustExec(t, conn, "DROP FUNCTION app.f(uuid, app.mood); DROP TYPE app.mood CASCADE")
	if problems, err = ActionProblems(t.Context(), conn); err != nil || len(problems) != 1 {
		t.Errorf("problems without the type: got %v, %v, want that the function is gone", problems, err)
	}
	mustExec(t, conn, "SELECT pgbridge.drop_action('app.f')")
}

// Before the slot is there nothing can be said in the stream.
func TestRegisterBeforeInit(t *testing.T) {
	_, conn := migrated(t)
	application(t, conn, "CREATE FUNCTION app.f() RETURNS void"+body)
	if err := SaveDatabase(t.Context(), conn, Database{Role: RoleWriter, Stage: StageInit, Name: "app"}); err != nil {
		t.Fatal(err)
	}
	_, err := conn.Exec(t.Context(), "SELECT pgbridge.register_action('app.f()')")
	if message, hint := refusal(err); !strings.Contains(message, "init has not finished") || hint != "pgbridge init" {
		t.Errorf("got %v, want it refused", err)
	}
}

func TestDefinitionsOfAFollower(t *testing.T) {
	_, conn := migrated(t)
	application(t, conn, "CREATE FUNCTION app.f() RETURNS void"+body)
	if err := SaveDatabase(t.Context(), conn, Database{Role: RoleFollower, Stage: StageInit, Name: "app"}); err != nil {
		t.Fatal(err)
	}
	_, err := conn.Exec(t.Context(), "SELECT pgbridge.register_action('app.f()')")
	if message, _ := refusal(err); !strings.Contains(message, "follows another") {
		t.Errorf("register: got %v, want it refused", err)
	}
	mustExec(t, conn, "GRANT EXECUTE ON FUNCTION app.f() TO PUBLIC") // as pg_restore without rights leaves it
	definition := `{"action":"app.f","function":"app.f()","params":[],"replay":"function","rules":[]}`
	if err := SaveDefinition(t.Context(), conn, "app.f", "app.f()", &definition); err != nil {
		t.Fatal(err)
	}
	a, err := LoadAction(t.Context(), conn, "app.f")
	if err != nil || !a.Callable || string(a.Definition) != definition || !json.Valid(a.Definition) {
		t.Errorf("got %+v, %v, want it as saved, and callable: another action may call it", a, err)
	}
	mustExec(t, conn, `SELECT pgbridge.call('app.f'), pgbridge."app.f"()`)
	var open bool
	if err := conn.QueryRow(t.Context(), "SELECT has_function_privilege('public', 'app.f()', 'EXECUTE')").Scan(&open); err != nil || open {
		t.Errorf("everybody may execute app.f: %v, %v, want that only its owner may", open, err)
	}
	if problems, err := ActionProblems(t.Context(), conn); err != nil || len(problems) > 0 {
		t.Errorf("problems: got %v, %v, want none", problems, err)
	}

	if err := SaveDefinition(t.Context(), conn, "app.f", "", nil); err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(t.Context(), `SELECT pgbridge."app.f"()`)
	if message, _ := refusal(err); !strings.Contains(message, "does not exist") {
		t.Errorf("dropped: got %v, want that it does not exist", err)
	}
	if err := SaveDefinition(t.Context(), conn, "app.g", "app.g(app.nothing)", &definition); err != nil {
		t.Errorf("of a function that is not here: %v", err)
	}
}
