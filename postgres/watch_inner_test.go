package postgres

import (
	"strings"
	"testing"
)

// A function in SQL that may have been replaced since it was called is refused: the server
// does not say which body ran.
func TestBodiesThatWereReplaced(t *testing.T) {
	db, admin, w := watched(t, ScopeAll)
	conn := connect(t, db.URL())
	mustExec(t, conn, "SET search_path = public")
	mustExec(t, conn, `CREATE FUNCTION swap() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
			EXECUTE 'CREATE OR REPLACE FUNCTION f() RETURNS void LANGUAGE sql AS ''SELECT swap(); DROP TABLE kept; CREATE TABLE made ()'''; END $$;
		CREATE TABLE kept (x int PRIMARY KEY);
		CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'SELECT swap(); CREATE TABLE made ()'`)
	w.read(t)
	for _, tt := range []struct{ name, before, call, want string }{
		{"by itself", "", "SELECT f()", "may have been replaced"},
		{"by a block that calls it", "", "DO $$ BEGIN EXECUTE 'CREATE OR REPLACE FUNCTION g() RETURNS void LANGUAGE sql AS ''CREATE TABLE made ()'''; PERFORM g(); END $$", "may have been replaced"},
		{"called without a query", "CREATE OR REPLACE FUNCTION h() RETURNS void LANGUAGE sql AS 'CREATE TABLE made ()'", "DO $$ DECLARE x text; BEGIN x := h(); END $$", "may have been replaced"},
		{"renamed", "CREATE OR REPLACE FUNCTION i() RETURNS void LANGUAGE sql AS 'ALTER FUNCTION i() RENAME TO j; CREATE TABLE made ()'", "SELECT i()", "function"},
		{"a name with a line break", "CREATE FUNCTION \"k\" () RETURNS void LANGUAGE sql AS 'DROP TABLE kept'; CREATE FUNCTION \"k\"\" statement 1\nx\"() RETURNS void LANGUAGE sql AS 'CREATE TABLE made ()'", "SELECT \"k\"\" statement 1\nx\"()", "k"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.before != "" {
				mustExec(t, conn, tt.before)
				w.read(t)
			}
			_, err := conn.Exec(t.Context(), tt.call)
			if message, _ := refusal(err); !strings.Contains(message, tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			wantChanges(t, w.changes(t))
		})
	}
	mustExec(t, admin, `DROP FUNCTION public."k"" statement 1`+"\n"+`x"`)
	mustExec(t, conn, "BEGIN; CREATE FUNCTION l() RETURNS void LANGUAGE sql AS 'CREATE TABLE l ()'; SELECT l(); COMMIT; CREATE SCHEMA m")
	got := strings.Join(w.changes(t), "\n")
	if !strings.Contains(got, "\nCREATE TABLE l ()\n") || !strings.Contains(got, "CREATE SCHEMA m") {
		t.Errorf("of a function that the transaction has made before: got\n%s", got)
	}

	// By another session, which began before and commits while the function runs.
	mustExec(t, conn, "CREATE FUNCTION n() RETURNS void LANGUAGE sql AS 'SELECT pg_advisory_xact_lock(77); CREATE TABLE made ()'")
	other := connect(t, db.URL())
	mustExec(t, other, `BEGIN; SELECT pg_advisory_xact_lock(77); CREATE OR REPLACE FUNCTION public.n() RETURNS void LANGUAGE sql AS 'SELECT 1; DROP TABLE public.kept; CREATE TABLE made ()'`)
	w.read(t)
	ended := make(chan error, 1)
	go func() {
		_, err := conn.Exec(t.Context(), "SELECT n()")
		ended <- err
	}()
	db.Wait(t, "1", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 77 AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
	mustExec(t, other, "COMMIT")
	if message, _ := refusal(<-ended); !strings.Contains(message, "may have been replaced") {
		t.Errorf("replaced by another session: got %q, want it refused", message)
	}
}

// The text of an inner statement ends where it is complete, not where a frame seems to follow.
func TestStatementsThatLookLikeFrames(t *testing.T) {
	_, conn, w := watched(t, ScopeAll)
	mustExec(t, conn, "CREATE TABLE public.a (); CREATE TABLE public.b (); CREATE FUNCTION public.run(s text) RETURNS void LANGUAGE plpgsql AS 'BEGIN EXECUTE s; END'")
	const frame = "\"\nPL/pgSQL function x() line 1 at EXECUTE\n"
	for _, tt := range []struct{ name, statement string }{
		{"a comment", "CREATE VIEW public.v AS SELECT 1 /*" + frame + "*/ AS x"},
		{"a comment in a comment", "CREATE TABLE public.c () /* /* */" + frame + "*/"},
		{"a string", "COMMENT ON TABLE public.c IS 'x" + frame + "'"},
		{"an escaped string", `COMMENT ON TABLE public.c IS E'x\'` + frame + "'"},
		{"a text in dollars", "COMMENT ON TABLE public.c IS $a$x" + frame + "$a$"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.read(t)
			if _, err := conn.Exec(t.Context(), "SELECT public.run($1)", tt.statement); err != nil {
				t.Fatal(err)
			}
			if got := w.changes(t); len(got) == 0 || got[0] != tt.statement+" [pg_catalog]" && got[0] != tt.statement {
				t.Errorf("got %q, want %q", got, tt.statement)
			}
		})
	}
}
