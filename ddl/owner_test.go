package ddl

import "testing"

func TestNameSchema(t *testing.T) {
	for _, tt := range []struct{ statement, want string }{
		{"CREATE SCHEMA AUTHORIZATION CURRENT_USER", `CREATE SCHEMA "Joe" AUTHORIZATION CURRENT_USER`},
		{"CREATE SCHEMA IF NOT EXISTS AUTHORIZATION session_user", `CREATE SCHEMA IF NOT EXISTS "Joe" AUTHORIZATION session_user`},
		{"CREATE SCHEMA AUTHORIZATION CURRENT_ROLE CREATE TABLE t (x int)", `CREATE SCHEMA "Joe" AUTHORIZATION CURRENT_ROLE CREATE TABLE t (x int)`},
		{"CREATE SCHEMA app AUTHORIZATION CURRENT_USER", "CREATE SCHEMA app AUTHORIZATION CURRENT_USER"},
		{"CREATE SCHEMA app", "CREATE SCHEMA app"},
	} {
		if got := NameSchema(tt.statement, `"Joe"`); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.statement, got, tt.want)
		}
	}
}

func TestWithoutOwners(t *testing.T) {
	for _, tt := range []struct{ statement, want string }{
		{"ALTER TABLE t OWNER TO joe", ""},
		{"ALTER FUNCTION f(int, text) OWNER TO CURRENT_USER", ""},
		{"ALTER TABLE t ADD a numeric(3,1), OWNER TO joe, DROP b", "ALTER TABLE t ADD a numeric(3,1), DROP b"},
		{"ALTER TABLE ONLY t OWNER TO joe, ADD a int", "ALTER TABLE ONLY t ADD a int"},
		{"ALTER TABLE t RENAME owner TO x", "ALTER TABLE t RENAME owner TO x"},
		{"ALTER TABLE t RENAME COLUMN owner TO x", "ALTER TABLE t RENAME COLUMN owner TO x"},
		{"COMMENT ON TABLE t IS 'OWNER TO x'", "COMMENT ON TABLE t IS 'OWNER TO x'"},
		{"CREATE SCHEMA app AUTHORIZATION joe", "CREATE SCHEMA app"},
		{"CREATE SCHEMA IF NOT EXISTS app AUTHORIZATION joe CREATE TABLE t ()", "CREATE SCHEMA IF NOT EXISTS app CREATE TABLE t ()"},
		{"CREATE SCHEMA app", "CREATE SCHEMA app"},
	} {
		if got := WithoutOwners(tt.statement); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.statement, got, tt.want)
		}
	}
}

func TestNewOwner(t *testing.T) {
	for _, tt := range []struct {
		statement, want string
		ok              bool
	}{
		{`ALTER TABLE app.t OWNER TO "Joe B"`, "Joe B", true},
		{"ALTER FUNCTION f(int, text) OWNER TO joe", "joe", true},
		{"ALTER SCHEMA app OWNER TO CURRENT_USER", "", true},
		{`ALTER SCHEMA app OWNER TO "CURRENT_USER"`, "CURRENT_USER", true},
		{"ALTER TABLE t ADD a int, OWNER TO joe", "", false},
		{"ALTER TABLE t RENAME owner TO x", "", false},
		{"GRANT SELECT ON t TO joe", "", false},
	} {
		if got, ok := NewOwner(tt.statement); got != tt.want || ok != tt.ok {
			t.Errorf("%s: got %q, %v, want %q, %v", tt.statement, got, ok, tt.want, tt.ok)
		}
	}
}
