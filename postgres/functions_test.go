package postgres

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
)

// definers are the SECURITY DEFINER functions of schema pgbridge, and why each is one.
var definers = map[string]string{
	"schema_changed":  "writes marks, which only the owner may, for whoever changes the schema",
	"table_rewritten": "notes a rewrite for schema_changed",
	"begin_extension": "notes for schema_changed that statements are of an extension",
	"begin_rights":    "notes for schema_changed what there was before rights change",
	"end_mark":        "emits the end of a call also where PUBLIC may emit no message",
	"partial_call":    "reads the catalogue of functions of this schema for the owner of an action",
	"take_lock":       "writes the table of locks for the service role, which has no right to lock tables",
	"is_locked":       "sees sessions as the owner of this schema",
	"mark app.act":    "reads the secret for the owner of an action",

	"run_as":            "calls runners, which belong to the authors of statements",
	"admit_author":      "makes runners that belong to others",
	"dismiss_author":    "drops runners that belong to others",
	"change_owner":      "gives an object away as a superuser of the source did",
	"object_owner":      "reads pg_shdepend by functions of this schema for the service role",
	"follow_definition": "writes definitions, and makes what calls them, for the service role",
	"close_actions":     "takes rights to functions of others away for the service role",
	"lend_schemas":      "gives the service role, for a statement, what a superuser of the source had",
	"return_rights":     "takes rights back that the administrator has lent",
	"refuse_pending":    "looks for deferred triggers of tables of others",
	"open_origin":       "calls functions of the server that are for superusers",
	"user_code":         "reads expressions of tables by functions of this schema for the service role",
	"replica_role":      "sets what before 15 only a superuser may set",
	"begin_definition":  "notes for the role that makes objects that it is making one",
}

// open are the functions that others than the owner of the schema may execute here: the
// owner of an action may call it.
var open = []string{
	"app.act", "call app.act", "mark app.act", "call", "partial_call", "end_mark", "printed", "printed_time", "new_id",
}

// unpinned are the functions without a search_path of their own: each costs a caller of an
// action time, or must see that of the caller. Their bodies have no unqualified name.
var unpinned = []string{"app.act", "call app.act", "mark app.act", "call", "end_mark", "printed_time", "new_id", "note_caller", "run_as"}

type function struct {
	oid                    uint32
	name, owner, signature string
	definer                bool
	path                   string // the setting, or empty
	grantees               []string
	body                   string
}

func schemaFunctions(t *testing.T, conn Querier) []function {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT p.oid, p.proname::text, p.proowner::regrole::text, p.oid::regprocedure::text, p.prosecdef,
			coalesce((SELECT c FROM unnest(p.proconfig) c WHERE c LIKE 'search_path=%'), ''),
			ARRAY(SELECT a.grantee::regrole::text FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee <> p.proowner),
			coalesce(pg_get_function_sqlbody(p.oid), p.prosrc)
		FROM pg_proc p WHERE p.pronamespace = 'pgbridge'::regnamespace ORDER BY p.proname`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (f function, err error) {
		err = row.Scan(&f.oid, &f.name, &f.owner, &f.signature, &f.definer, &f.path, &f.grantees, &f.body)
		return f, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// withAction is a database with schema app of a login, who has action app.act.
func withAction(t *testing.T) (owner *pgx.Conn, admin *pgx.Conn, name string) {
	t.Helper()
	db, admin := migrated(t)
	name = newRole(t, admin, "LOGIN")
	mustExec(t, admin, "CREATE SCHEMA app AUTHORIZATION "+action.QuoteIdent(name)+"; GRANT CREATE, TEMP ON DATABASE "+action.QuoteIdent(db.Name)+" TO "+action.QuoteIdent(name))
	owner = connect(t, db.URLAs(name))
	mustExec(t, owner, `CREATE TABLE app.note (id int PRIMARY KEY, at timestamptz);
		CREATE FUNCTION app.act(id int, at timestamptz DEFAULT '2020-01-01Z') RETURNS int LANGUAGE plpgsql SET search_path = app, pg_temp AS
			'BEGIN INSERT INTO note VALUES ($1, $2); RETURN $1; END';
		REVOKE ALL ON FUNCTION app.act FROM PUBLIC`)
	mustExec(t, admin, "SELECT pgbridge.register_action('app.act(int,timestamptz)')")
	return owner, admin, name
}

// Each function of the schema is of its owner, can be executed by its owner, and finds
// nothing of the session's before it finds the system's.
func TestFunctionsOfTheSchema(t *testing.T) {
	t.Parallel()
	_, admin, caller := withAction(t)
	owner := queryText(t, admin, "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = 'pgbridge'")
	found := map[string]bool{}
	for _, f := range schemaFunctions(t, admin) {
		found[f.name] = true
		if f.owner != owner {
			t.Errorf("%s belongs to %s, want %s", f.signature, f.owner, owner)
		}
		var want []string
		if slices.Contains(open, f.name) {
			want = []string{action.QuoteIdent(caller)}
		}
		if !slices.Equal(f.grantees, want) && len(f.grantees)+len(want) > 0 {
			t.Errorf("%s can be executed by %q, want %q", f.signature, f.grantees, want)
		}
		if f.definer != (definers[f.name] != "") {
			t.Errorf("%s is SECURITY DEFINER: %v; the list of such functions says otherwise", f.signature, f.definer)
		}
		switch pinned := f.path != ""; {
		case pinned == slices.Contains(unpinned, f.name):
			t.Errorf("%s has search_path %q; the list of those without says otherwise", f.signature, f.path)
		case pinned && f.path != "search_path=pg_catalog, pg_temp":
			t.Errorf("%s has %s, want it to be pg_catalog, pg_temp", f.signature, f.path)
		}
	}
	for _, name := range slices.Concat(open, unpinned) {
		if !found[name] {
			t.Errorf("there is no function %s", name)
		}
	}
	for name := range definers {
		if !found[name] {
			t.Errorf("there is no function %s", name)
		}
	}
}

// What decides is not in settings: a function reads only those that note_caller has just
// written.
func TestFunctionsReadNoSettingOfUsers(t *testing.T) {
	t.Parallel()
	_, admin, _ := withAction(t)
	for _, f := range schemaFunctions(t, admin) {
		for _, piece := range strings.Split(f.body, "'pgbridge.")[1:] {
			name, _, _ := strings.Cut(piece, "'")
			if strings.HasPrefix(name, "caller_") || strings.Contains(name, "%") || name == "statement" {
				continue
			}
			t.Errorf("%s names pgbridge.%s, which looks like a custom setting", f.signature, name)
		}
	}
}
