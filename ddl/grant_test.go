package ddl

import (
	"errors"
	"testing"
)

func TestGrantOn(t *testing.T) {
	for _, tt := range []struct{ statement, want string }{
		{"GRANT SELECT, UPDATE (a, b) ON t, app.u TO joe, PUBLIC WITH GRANT OPTION", "GRANT SELECT, UPDATE (a, b) ON TABLE app.t, app.v TO joe, PUBLIC WITH GRANT OPTION"},
		{"grant all privileges on all tables in schema app to joe granted by jim", "grant all privileges ON TABLE app.t, app.v to joe granted by jim"},
		{"REVOKE GRANT OPTION FOR EXECUTE ON FUNCTION f(int, text), g FROM joe CASCADE", "REVOKE GRANT OPTION FOR EXECUTE ON TABLE app.t, app.v FROM joe CASCADE"},
		{`GRANT SELECT (a) ON "ON", "TO" TO "FROM"`, `GRANT SELECT (a) ON TABLE app.t, app.v TO "FROM"`},
		{"DROP OWNED BY joe, jim CASCADE", "REVOKE ALL ON TABLE app.t, app.v FROM joe, jim CASCADE"},
		{"DROP OWNED BY joe", "REVOKE ALL ON TABLE app.t, app.v FROM joe CASCADE"},
		{"DROP TABLE t", ""},
		{"GRANT joe TO jim", ""},
	} {
		got, err := GrantOn(tt.statement, "TABLE", []string{"app.t", "app.v"})
		if got != tt.want || errors.Is(err, ErrStatement) != (tt.want == "") {
			t.Errorf("%s: got %q, %v, want %q", tt.statement, got, err, tt.want)
		}
	}
}
