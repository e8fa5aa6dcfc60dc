package postgres

import (
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
)

// shop makes an application that belongs to a role of its own, with an action,
// and a public function that calls it.
func shop(t *testing.T, conn Querier, owner, customer string) {
	t.Helper()
	application(t, conn, `
		CREATE FUNCTION app.sell_owner(id uuid, buyer text) RETURNS uuid LANGUAGE sql SET search_path = app, pg_temp AS 'INSERT INTO posts VALUES ($1, $2) RETURNING id';
		CREATE FUNCTION app.buy() RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = app, pg_temp AS
			$$ BEGIN RETURN pgbridge.call('app.sell_owner', jsonb_build_object('id', pgbridge.new_id(), 'buyer', session_user)) #>> '{}'; END $$`)
	as, to := action.QuoteIdent(owner), action.QuoteIdent(customer)
	mustExec(t, conn, `ALTER TABLE app.posts OWNER TO `+as+`; ALTER FUNCTION app.sell_owner OWNER TO `+as+`; ALTER FUNCTION app.buy OWNER TO `+as+`;
		GRANT USAGE ON SCHEMA app TO `+as+`, `+to+`; GRANT EXECUTE ON FUNCTION app.buy TO `+to)
}

const register = "SELECT pgbridge.register_action('app.sell_owner(uuid,text)')"

func TestRolesOfAnAction(t *testing.T) {
	db, admin := migrated(t)
	owner, customer := newRole(t, admin, "LOGIN"), newRole(t, admin, "LOGIN")
	shop(t, admin, owner, customer)
	mustExec(t, admin, register)
	w := newTape(t, admin)

	as := map[string]Querier{owner: connect(t, db.URLAs(owner)), customer: connect(t, db.URLAs(customer))}
	tests := []struct {
		name, statement string
		owner           bool // whether the owner of the action may
	}{
		{"call", `SELECT pgbridge.call('app.sell_owner', '{"id": null, "buyer": "x"}')`, true},
		{"generated", `SELECT pgbridge."app.sell_owner"(NULL, 'x')`, true},
		{"generated for JSON", `SELECT pgbridge."call app.sell_owner"('{"id": null, "buyer": "x"}')`, true},
		{"twin", `SELECT app.sell_owner(gen_random_uuid(), 'x')`, true},
		{"new id", `SELECT pgbridge.new_id()`, true},
		{"mark", `SELECT pgbridge."mark app.sell_owner"('[]')`, true},
		{"any mark", `SELECT pgbridge.write_mark('d', '[]')`, false},
		{"register", register, false},
		{"map", `SELECT pgbridge.map_action('app.sell_owner(uuid,text)', 'app.posts', 'insert')`, false},
		{"drop", `SELECT pgbridge.drop_action('app.sell_owner')`, false},
		{"define", `SELECT pgbridge.define('app.sell_owner', 'app.sell_owner(uuid,text)', '{}')`, false},
		{"secret", `SELECT secret FROM pgbridge.secret`, false},
		{"change the secret", `UPDATE pgbridge.secret SET secret = repeat('0', 64)`, false},
		{"change an action", `UPDATE pgbridge.action SET statement = 'SELECT 1'`, false},
		{"actions", `SELECT FROM pgbridge.actions`, false},
		{"outbox", `SELECT FROM pgbridge.outbox`, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := as[customer].Exec(t.Context(), test.statement)
			if message, _ := refusal(err); !strings.Contains(message, "permission denied") {
				t.Errorf("another role: got %v, want permission denied", err)
			}
			_, err = as[owner].Exec(t.Context(), test.statement)
			if message, _ := refusal(err); strings.Contains(message, "permission denied") == test.owner {
				t.Errorf("the owner of the action: got %v, want allowed %v", err, test.owner)
			}
		})
	}
	w.read(t)

	id := queryText(t, as[customer], "SELECT app.buy()")
	w.want(t, []string{`c ["app.sell_owner",["id","buyer"],["` + id + `", ` + `"` + customer + `"]]`, "I app.posts", "e"})

	// The customer saw the token of a transaction, and guesses.
	token := queryText(t, as[owner], `SELECT pgbridge."mark app.sell_owner"('[]')`)
	w.read(t)
	for _, guess := range []string{token, strings.Repeat("0", 64), ""} {
		mustExec(t, as[customer], "SELECT pg_logical_emit_message(true, 'pgbridge', $1 || 'd[\"app.sell_owner\",null]')", guess)
	}
	w.want(t, []string{"forged"}, []string{"forged"}, []string{"forged"})
}

// The owner of an action can mark its calls, and nothing else: it defines nothing,
// and names no action of another.
func TestOwnersOfActionsCannotForge(t *testing.T) {
	db, admin := migrated(t)
	owner, other := newRole(t, admin, "LOGIN"), newRole(t, admin, "LOGIN")
	application(t, admin, "CREATE FUNCTION app.f(id uuid) RETURNS void"+body+"; CREATE FUNCTION app.g(id uuid) RETURNS void"+body+`;
		CREATE FUNCTION app."G ""g"(id uuid) RETURNS void`+body)
	mustExec(t, admin, `ALTER FUNCTION app.f OWNER TO `+action.QuoteIdent(owner)+`; ALTER FUNCTION app.g OWNER TO `+action.QuoteIdent(other))
	mustExec(t, admin, `SELECT pgbridge.register_action(f) FROM unnest(ARRAY['app.f(uuid)', 'app.g(uuid)', 'app."G ""g"(uuid)']::regprocedure[]) f`)
	w := newTape(t, admin)
	conn := connect(t, db.URLAs(owner))

	if _, err := conn.Exec(t.Context(), `SELECT pgbridge."mark app.g"('[null]')`); sqlState(err) != "42501" {
		t.Errorf("a mark of another's action: got %v, want permission denied", err)
	}
	const token = `pgbridge."mark app.f"('[null]')`
	mustExec(t, conn, "SELECT pgbridge.end_mark("+token+")")
	w.want(t, []string{`c ["app.f",["id"],[null]]`, "e"})
	for _, mark := range []string{`d["app.f",null]`, `d["app.g",null]`, `c["app.g",["id"],[null]]`, `k["1","x"]`, `s{"statement":"DROP TABLE app.posts","n":0,"tag":"DROP TABLE","settings":{}}`} {
		mustExec(t, conn, "SELECT pg_logical_emit_message(true, 'pgbridge', "+token+" || $1)", mark)
		w.want(t, []string{`c ["app.f",["id"],[null]]`, "forged"})
	}
	mustExec(t, admin, `SELECT pgbridge.call('app."G ""g"', '{"id": null}')`)
	w.want(t, []string{`c ["app.\"G \"\"g\"",["id"],[null]]`, "e"})
}

// Nobody has a right to anything in the schema but its owner, whatever the
// database grants by default, and whoever may use the schema.
func TestNothingIsGranted(t *testing.T) {
	_, conn := newDatabase(t)
	other := newRole(t, conn, "LOGIN")
	mustExec(t, conn, `ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO `+action.QuoteIdent(other)+`, PUBLIC;
		ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO `+action.QuoteIdent(other)+`, PUBLIC`)
	if err := Install(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	mustExec(t, conn, "GRANT USAGE ON SCHEMA pgbridge TO "+action.QuoteIdent(other))
	application(t, conn, "CREATE FUNCTION app.f(id uuid) RETURNS void"+body)
	mustExec(t, conn, "REVOKE ALL ON FUNCTION app.f FROM "+action.QuoteIdent(other))
	mustExec(t, conn, "SELECT pgbridge.register_action('app.f(uuid)')")
	for _, query := range []string{
		"SELECT coalesce(string_agg(oid::regprocedure::text, ' '), '') FROM pg_proc WHERE pronamespace = 'pgbridge'::regnamespace AND has_function_privilege($1, oid, 'EXECUTE')",
		`SELECT coalesce(string_agg(oid::regclass::text, ' '), '') FROM pg_class WHERE relnamespace = 'pgbridge'::regnamespace AND relkind IN ('r', 'v')
			AND relname IN ('secret', 'action', 'actions', 'action_problems', 'chain', 'database', 'outbox') AND has_table_privilege($1, oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')`,
	} {
		if got := queryText(t, conn, query, other); got != "" {
			t.Errorf("%s has rights to %s, want none", other, got)
		}
	}
}

// pgbridge's role need not be a superuser, nor the owner of the application.
func TestActionsWithoutSuperuser(t *testing.T) {
	db, admin := newDatabase(t)
	bridge, owner, customer := newRole(t, admin, "LOGIN"), newRole(t, admin, "NOLOGIN"), newRole(t, admin, "LOGIN")
	mustExec(t, admin, "GRANT CREATE ON DATABASE "+action.QuoteIdent(db.Name)+" TO "+action.QuoteIdent(bridge))
	conn := connect(t, db.URLAs(bridge))
	if err := Install(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	shop(t, admin, owner, customer)
	mustExec(t, admin, "GRANT USAGE ON SCHEMA app TO "+action.QuoteIdent(bridge))
	_, err := conn.Exec(t.Context(), register)
	message, hint := refusal(err)
	if !strings.Contains(message, "only its owner defines an action") {
		t.Fatalf("not a member of the owner: got %v, want it refused", err)
	}
	mustExec(t, admin, hint)
	mustExec(t, conn, register)
	mustExec(t, conn, "SELECT pgbridge.map_action('app.sell_owner(uuid,text)', 'app.posts', 'insert', params => '{\"id\": \"id\", \"buyer\": \"title\"}')")
	w := newTape(t, admin)
	id := queryText(t, connect(t, db.URLAs(customer)), "SELECT app.buy()")
	w.want(t, []string{`c ["app.sell_owner",["id","buyer"],["` + id + `", "` + customer + `"]]`, "I app.posts", "e"})
	mustExec(t, conn, `SELECT pgbridge.call('app.sell_owner', '{"id": "`+id1+`", "buyer": "x"}')`)

	// Superusers may define as well, and the schema's owner can still change it.
	mustExec(t, admin, register)
	mustExec(t, conn, register)
	mustExec(t, conn, "SELECT pgbridge.drop_action('app.sell_owner')")
}
