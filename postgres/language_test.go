package postgres

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// germanDatabase is in a server of its own that speaks German, if its translations
// are on this machine.
func germanDatabase(t *testing.T) *pgtest.DB {
	t.Helper()
	t.Setenv("LANGUAGE", "de") // which needs a locale that is not C, but not that of the language
	db := pgtest.Start(t, pgtest.Config{Settings: map[string]string{"lc_messages": "C.UTF-8"}, NoSync: true}).Database(t)
	err := db.ExecErr("SELECT 1/0")
	t.Logf("the server says: %v", err)
	return db
}

// What the server writes for people is read in one language, whatever it speaks.
func TestAServerThatSpeaksAnotherLanguage(t *testing.T) {
	db := germanDatabase(t)
	admin, w := watchedIn(t, db, ScopeAll)
	if pinned := queryText(t, admin, "SELECT array_to_string(proconfig, ' ') FROM pg_proc WHERE oid = 'pgbridge.schema_changed'::regproc"); !strings.Contains(pinned, "lc_messages=C") {
		t.Errorf("what reads the frames runs with %s, want its language among them", pinned)
	}
	for _, tt := range []struct {
		name, send string
		want       []string
	}{
		{"a block", "DO $$ BEGIN CREATE SCHEMA a; EXECUTE 'CREATE SCHEMA b; CREATE SCHEMA c'; END $$", []string{"CREATE SCHEMA a", "CREATE SCHEMA b", "CREATE SCHEMA c"}},
		{"a function", "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS 'BEGIN CREATE SCHEMA d; END'; SELECT f()", []string{"CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS 'BEGIN CREATE SCHEMA d; END'", "CREATE SCHEMA d"}},
		{"a function in SQL", "CREATE FUNCTION g() RETURNS void LANGUAGE sql AS 'SELECT 1; CREATE SCHEMA e'; SELECT g()", []string{"CREATE FUNCTION g() RETURNS void LANGUAGE sql AS 'SELECT 1; CREATE SCHEMA e'", "CREATE SCHEMA e"}},
		{"an extension", "CREATE EXTENSION hstore", []string{"CREATE EXTENSION hstore"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			send(t, db, "postgres", tt.send)
			wantChanges(t, w.changes(t), tt.want...)
		})
	}

	mustExec(t, admin, `CREATE FUNCTION public.h() RETURNS void LANGUAGE plpgsql SET search_path = public, pg_temp AS 'BEGIN CREATE SCHEMA i; END';
		REVOKE ALL ON FUNCTION public.h FROM PUBLIC; SELECT pgbridge.register_action('public.h()')`)
	_, err := admin.Exec(t.Context(), `SELECT pgbridge.call('public.h')`)
	if message, _ := refusal(err); message != "action public.h changes the schema" {
		t.Errorf("an action that changes the schema: got %v, want a refusal", err)
	}
	_, err = admin.Exec(t.Context(), `SELECT pgbridge.call('public.h', '{"x": 1}')`)
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.SchemaName != "pgbridge" {
		t.Errorf("a call that is wrong: got %#v, want an error of schema pgbridge", err)
	}

	tx := begin(t, admin)
	if err := LoadSchema(t.Context(), tx, "CREATE TABLE public.b (); CREATE POLICY p ON public.b TO nobody_here", Loading{}); err == nil || !strings.Contains(err.Error(), "create the roles") {
		t.Errorf("a role that is not there: got %v, want an error that says to make it", err)
	}
}
