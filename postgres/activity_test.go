package postgres

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// Whatever a statement says, it stays in one comment, and comes out of it again.
func TestRunAsSQL(t *testing.T) {
	for _, tt := range []struct{ role, statement, want string }{
		{"bob", "CREATE TABLE app.t\n\t(id int)", `as "bob": CREATE TABLE app.t (id int)`},
		{"bob", "SELECT 1 */ ; DROP TABLE x; /*", `as "bob": SELECT 1 * / ; DROP TABLE x; / *`},
		{"bob", "/*/ */*/ **/ /**/", `as "bob": / * / * / * / * * / / * * /`},
		{"*/ DROP", "VACUUM", `as " * / DROP": VACUUM`},
		{"bob", strings.Repeat("é", 2000), `as "bob": ` + strings.Repeat("é", 400-len(`"bob": `)) + " ..."},
	} {
		got := RunAsSQL(tt.role, tt.statement)
		inside, after, _ := strings.Cut(strings.TrimPrefix(got, "/*"), "*/")
		if after != " "+runAsCall || strings.Contains(inside, "/*") || !utf8.ValidString(got) {
			t.Errorf("%q leaves its comment: %s", tt.statement, got)
		}
		if got := statementOf(got); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
	if got := statementOf("COPY app.t (id)\n FROM STDIN"); got != "COPY app.t (id) FROM STDIN" {
		t.Errorf("got %q", got)
	}
}
