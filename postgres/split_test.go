package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbridge/pgbridge/ddl"
)

// The server is the judge of where a statement ends: of random texts full of quotes and
// comments, ddl.Split finds the statements that the server executes, and pgbridge.code_of,
// for each setting of standard_conforming_strings, as many.
func TestSplitAsTheServer(t *testing.T) {
	db, conn := migrated(t)
	legacy := connect(t, db.URL())
	mustExec(t, legacy, "SET standard_conforming_strings = off; SET escape_string_warning = off")
	count := func(text string, escapes bool) int {
		code := queryText(t, conn, "SELECT coalesce(pgbridge.code_of($1, $2), 'not closed; ; ;')", text, escapes)
		return len(slices.DeleteFunc(strings.Split(code, ";"), func(s string) bool { return strings.TrimSpace(s) == "" }))
	}
	pieces := []string{
		"'", "'", "''", `\`, ";", "E'", "e'", "'a'", "$$", "$a$", "$", "$1", "1", "1e", "a", "\n", "\r", "\t", " ", "--", "/*", "*/", `"`, "||", "(", ")",
		"SELECT ", "E'x'\n'", "B'1'", "N'", "U&'", "AS end", "'x' --", "x$y$",
	}
	random := rand.New(rand.NewPCG(1, 2))
	executed, several := 0, 0
	for range 20_000 {
		var b strings.Builder
		b.WriteString("SELECT 'x'")
		for range 1 + random.IntN(7) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		if random.IntN(2) == 0 {
			b.WriteString("; SELECT 'y'")
		}
		text := b.String()
		if want, err := legacy.PgConn().Exec(t.Context(), text).ReadAll(); err == nil && count(text, true) != len(want) {
			t.Errorf("%q, with escapes: got %d statements, want %d", text, count(text, true), len(want))
		}
		want, err := conn.PgConn().Exec(t.Context(), text).ReadAll()
		if err != nil {
			continue // no text that a mark could have
		}
		executed++
		if got := count(text, false); got != len(want) {
			t.Errorf("%q: got %d statements, want %d", text, got, len(want))
		}
		statements, err := ddl.Split(text)
		if err != nil || len(statements) != len(want) {
			t.Errorf("%q: got %q, %v, want %d statements", text, statements, err, len(want))
			continue
		}
		if len(want) > 1 {
			several++
		}
		for i, s := range statements {
			got, err := conn.PgConn().Exec(context.WithoutCancel(t.Context()), s).ReadAll()
			if err != nil || len(got) != 1 || fmt.Sprintf("%q", got[0].Rows) != fmt.Sprintf("%q", want[i].Rows) {
				t.Errorf("%q: statement %q gives %v, %v, want the rows %q", text, s, got, err, want[i].Rows)
			}
		}
	}
	if executed < 500 || several < 100 {
		t.Errorf("the server took %d texts, %d of them with several statements: too few to judge", executed, several)
	}
}

// Where a statement ends must not depend on a setting that may have changed since the server
// read the text. Else the log would say what never ran.
func TestTextsWithTwoReadings(t *testing.T) {
	_, conn, _ := watched(t, ScopeAll)
	for _, setting := range []string{"on", "off"} {
		for text, refused := range map[string]bool{
			"SELECT '\\'; SELECT 1; --'\n; CREATE TABLE public.a ()":                             true,
			"SELECT '\\'; SET standard_conforming_strings = on; --'\n; CREATE TABLE public.b ()": true,
			"CREATE TABLE public.c (v text DEFAULT E'\\''); DROP TABLE public.c":                 false,
			"CREATE TABLE public.e (v text DEFAULT $$\\'$$); DROP TABLE public.e":                false,
			"CREATE TABLE public.f (v text DEFAULT 'x\\\\'); DROP TABLE public.f":                false,
			"COMMENT ON SCHEMA public IS 'x\\''":                                                 setting == "off",
		} {
			mustExec(t, conn, "SET standard_conforming_strings = "+setting+"; SET escape_string_warning = off")
			if setting == "on" && strings.HasPrefix(text, "COMMENT") {
				text = `COMMENT ON SCHEMA public IS 'x\'`
			}
			_, err := conn.PgConn().Exec(t.Context(), text).ReadAll()
			var pgErr *pgconn.PgError
			got := errors.As(err, &pgErr) && strings.Contains(pgErr.Message, "backslash before a quote")
			if got != refused || !refused && err != nil {
				t.Errorf("%s, %s: got %v, want refused: %t", setting, text, err, refused)
			}
		}
	}
}
