package pgtest

import (
	"slices"
	"strings"
	"testing"
)

func TestPrivileges(t *testing.T) {
	t.Parallel()
	db := New(t)
	db.Exec(t, `CREATE ROLE pgtest_alice; CREATE ROLE pgtest_bob; CREATE SCHEMA app AUTHORIZATION pgtest_alice; GRANT USAGE ON SCHEMA app TO pgtest_bob;
		CREATE TABLE app.t (a int, b int); ALTER TABLE app.t OWNER TO pgtest_alice; GRANT SELECT (a) ON app.t TO pgtest_bob WITH GRANT OPTION;
		CREATE FUNCTION app.f() RETURNS int LANGUAGE sql AS 'SELECT 1'; REVOKE ALL ON FUNCTION app.f() FROM PUBLIC;
		CREATE SCHEMA pgbridge; GRANT USAGE ON SCHEMA pgbridge TO pgtest_bob`)
	t.Cleanup(func() { db.Cluster.exec(t, "postgres", "DROP ROLE pgtest_alice, pgtest_bob") })
	t.Cleanup(func() { db.Exec(t, "DROP SCHEMA app, pgbridge CASCADE") })
	got := strings.Split(Privileges(t, db, "pgtest_alice", "pgtest_bob"), "\n")
	for line, want := range map[string]bool{
		"table app.t owner pgtest_alice":                                  true,
		"table app.t pgtest_bob SELECT":                                   false,
		"column app.t.a pgtest_bob SELECT*":                               true,
		"column app.t.a pgtest_alice INSERT* REFERENCES* SELECT* UPDATE*": true,
		"column app.t.b pgtest_bob SELECT*":                               false,
		"schema app pgtest_bob USAGE":                                     true,
		"schema pgbridge pgtest_bob USAGE":                                false,
		"function app.f() owner postgres":                                 true,
		"function app.f() pgtest_bob EXECUTE":                             false,
		"language plpgsql pgtest_bob USAGE":                               true,
	} {
		if slices.Contains(got, line) != want {
			t.Errorf("%s: got %v, want %v in\n%s", line, !want, want, strings.Join(got, "\n"))
		}
	}
}
