package ddl

import (
	"slices"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", " \n -- only\n/* comments */", nil},
		{"two", "CREATE TABLE a ();\n\nCREATE TABLE b ( x int ) ;", []string{"CREATE TABLE a ()", "CREATE TABLE b ( x int )"}},
		{"last without semicolon", "SELECT 1;SELECT 2", []string{"SELECT 1", "SELECT 2"}},
		{"lone semicolons", ";;a; ;b", []string{"a", "b"}},
		{"string", "a ';' ''';' b; c", []string{"a ';' ''';' b", "c"}},
		{"backslash in a plain string", `a '\'; b`, []string{`a '\'`, "b"}},
		{"backslash in an E string", `a E'\';' ; b e'\\'; c`, []string{`a E'\';'`, `b e'\\'`, "c"}},
		{"a name that ends in e", `a somee'\'; b`, []string{`a somee'\'`, "b"}},
		{"quoted name", `a "x;""y;"; b`, []string{`a "x;""y;"`, "b"}},
		{"dollar quote", "a $$ ; ' $x$ $$; b $x$ $$ ; $x$; c", []string{"a $$ ; ' $x$ $$", "b $x$ $$ ; $x$", "c"}},
		{"no dollar quote", "a $1; b x$y$z; c 1$2; d", []string{"a $1", "b x$y$z", "c 1$2", "d"}},
		{"comments inside", "a -- ;\n b /* ; /* ; */ ; */ c; d", []string{"a -- ;\n b /* ; /* ; */ ; */ c", "d"}},
		{"comments at the end", "a -- ;\n; b /* c */", []string{"a", "b"}},
		{"parentheses", "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); b", []string{"CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)", "b"}},
		{
			"function body", "CREATE FUNCTION f() RETURNS int\n BEGIN ATOMIC\n SELECT CASE WHEN true THEN 1 END;\n SELECT 2;\nEND; b",
			[]string{"CREATE FUNCTION f() RETURNS int\n BEGIN ATOMIC\n SELECT CASE WHEN true THEN 1 END;\n SELECT 2;\nEND", "b"},
		},
		{
			"procedure body", "create or replace procedure f() begin atomic select 1; end; b",
			[]string{"create or replace procedure f() begin atomic select 1; end", "b"},
		},
		{
			"labels in a body", "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1 AS end, 2 AS begin; SELECT 3 AS case; SELECT (SELECT 4 end); END; b",
			[]string{"CREATE FUNCTION f() BEGIN ATOMIC SELECT 1 AS end, 2 AS begin; SELECT 3 AS case; SELECT (SELECT 4 end); END", "b"},
		},
		{"empty body", "CREATE PROCEDURE f() BEGIN ATOMIC END; b", []string{"CREATE PROCEDURE f() BEGIN ATOMIC END", "b"}},
		{"no body", "CREATE VIEW v AS SELECT begin atomic FROM t; b", []string{"CREATE VIEW v AS SELECT begin atomic FROM t", "b"}},
		{"comment to a carriage return", "a --\r; b", []string{"a", "b"}},
		{"an E string goes on", "a E'x'\n'\\'; b'; c", []string{"a E'x'\n'\\'; b'", "c"}},
		{"an E string goes on after a comment", "a E'x' --'\r \t'\\'; b'; c", []string{"a E'x' --'\r \t'\\'; b'", "c"}},
		{"a string beside another", "a E'x' '\\'; b", []string{"a E'x' '\\'", "b"}},
		{"a comment between strings", "a E'x' /**/\n'\\'; b", []string{"a E'x' /**/\n'\\'", "b"}},
		{"a name goes on nowhere", "a \"x\"\n\"y;\"; b", []string{"a \"x\"\n\"y;\"", "b"}},
		{"a dollar quote after a parameter", "a $1$$;$$; b", []string{"a $1$$;$$", "b"}},
		{"begin elsewhere", "CREATE TABLE begin (); b", []string{"CREATE TABLE begin ()", "b"}},
		{"not ASCII", "a é;ü 'ß;'", []string{"a é", "ü 'ß;'"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Split(tt.text)
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
	for _, text := range []string{"a 'b", `a "b`, "a $$b", "/* a", "a (;", "CREATE FUNCTION f() BEGIN ATOMIC SELECT 1;", "a /* /* */ b", `a E'\`} {
		if got, err := Split(text); err == nil {
			t.Errorf("%q: got %q, want an error", text, got)
		}
	}
}

// Splitting loses nothing but blanks and comments, and splitting what it gave
// gives the same again.
func FuzzSplit(f *testing.F) {
	f.Add("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END; SELECT $x$;$x$, E'\\';', \"a;\" /* ; */; -- x\nb")
	f.Add("a 'b;' (;) ;; $1 1$a$")
	f.Fuzz(func(t *testing.T, text string) {
		statements, err := Split(text)
		if err != nil {
			return
		}
		at := 0
		for _, s := range statements {
			i := strings.Index(text[at:], s)
			if i < 0 || s == "" {
				t.Fatalf("statement %q is not in the text in its place", s)
			}
			at += i + len(s)
			if again, err := Split(s + ";\n"); err != nil || len(again) != 1 || again[0] != s {
				t.Fatalf("%q split again: got %q, %v", s, again, err)
			}
		}
	})
}
