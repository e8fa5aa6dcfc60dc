package ddl

import (
	"slices"
	"strings"
	"testing"
)

func TestRoleNames(t *testing.T) {
	for _, c := range []struct {
		statement    string
		names        []string
		right, owner bool
	}{
		{`GRANT SELECT ON TABLE app.t TO alice`, []string{"alice"}, true, false},
		{`GRANT SELECT("to") ON TABLE app."from" TO "Odd "" to" WITH GRANT OPTION`, []string{`Odd " to`}, true, false},
		{`REVOKE ALL ON FUNCTION app.f(x text, "to" integer) FROM PUBLIC`, nil, true, false},
		{`REVOKE ALL ON FUNCTION app.f() FROM alice`, []string{"alice"}, true, false},
		{`ALTER DEFAULT PRIVILEGES FOR ROLE alice IN SCHEMA app GRANT SELECT ON TABLES  TO "B"`, []string{"alice", "B"}, true, false},
		{`ALTER DEFAULT PRIVILEGES FOR ROLE "for" REVOKE ALL ON FUNCTIONS FROM PUBLIC`, []string{"for"}, true, false},
		{`ALTER TABLE app."OWNER" OWNER TO "Al""ice"`, []string{`Al"ice`}, false, true},
		{`ALTER OPERATOR app.### (integer, integer) OWNER TO bob`, []string{"bob"}, false, true},
		{`CREATE POLICY p ON app.t AS RESTRICTIVE FOR SELECT TO alice, "B" USING ((a = 'TO x'))`, []string{"alice", "B"}, false, false},
		{`CREATE POLICY p ON app.t USING ((a OPERATOR(app.@) b))`, nil, false, false},
		{`CREATE POLICY "to" ON app.t WITH CHECK (true)`, nil, false, false},
		{`alter policy p on app.t to alice, Bob using (true)`, []string{"alice", "bob"}, false, false},
		{`ALTER POLICY p ON app.t RENAME TO q`, nil, false, false},
		{`REVOKE SELECT ON app.t FROM GROUP alice, GROUP "B"`, []string{"alice", "B"}, true, false},
		{`CREATE SCHEMA app AUTHORIZATION alice`, []string{"alice"}, false, false},
		{`CREATE SCHEMA AUTHORIZATION "B"`, []string{"B"}, false, false},
		{`CREATE FUNCTION app.f() RETURNS text LANGUAGE sql AS $$GRANT x TO y$$`, nil, false, false},
		{`COMMENT ON TABLE t IS 'OWNER TO x'`, nil, false, false},
	} {
		if got := RoleNames(c.statement); !slices.Equal(got, c.names) {
			t.Errorf("%s: got roles %q, want %q", c.statement, got, c.names)
		}
		if right, owner := IsRight(c.statement), IsOwner(c.statement); right != c.right || owner != c.owner {
			t.Errorf("%s: right %v, owner %v, want %v, %v", c.statement, right, owner, c.right, c.owner)
		}
		replaced := ReplaceRoles(c.statement, func(name string) string { return name + `"2` })
		var want []string
		for _, name := range c.names {
			want = append(want, name+`"2`)
		}
		if got := RoleNames(replaced); !slices.Equal(got, want) || strings.Count(replaced, `""2"`) != len(want) {
			t.Errorf("%s: replaced %s has %q, want %q", c.statement, replaced, got, want)
		}
	}
}

func TestRelationOfRight(t *testing.T) {
	for statement, want := range map[string]string{
		`GRANT SELECT ON TABLE app.t TO alice`:                                                         "app.t",
		`GRANT SELECT("x ON TABLE a TO b"),UPDATE(y) ON TABLE app."from t" TO alice WITH GRANT OPTION`: `app."from t"`,
		`REVOKE ALL ON SEQUENCE "S" FROM PUBLIC`:                                                       `"S"`,
		`GRANT ALL ON FUNCTION app.f(x integer) TO alice`:                                              "",
		`GRANT USAGE ON SCHEMA app TO alice`:                                                           "",
		`ALTER DEFAULT PRIVILEGES FOR ROLE a GRANT SELECT ON TABLES TO b`:                              "",
		`CREATE TRIGGER t BEFORE INSERT ON app.t EXECUTE FUNCTION app.f('a', '')`:                      "",
	} {
		if got := RelationOfRight(statement); got != want {
			t.Errorf("%s: got %q, want %q", statement, got, want)
		}
	}
}

func TestTriggerFunction(t *testing.T) {
	for statement, want := range map[string]string{
		`CREATE TRIGGER t BEFORE INSERT ON app.t FOR EACH ROW EXECUTE FUNCTION app.f('EXECUTE FUNCTION app.g()')`:                             "app.f",
		`CREATE CONSTRAINT TRIGGER t AFTER INSERT ON app.t FOR EACH ROW WHEN ((new.a = 'EXECUTE FUNCTION x()')) EXECUTE FUNCTION "A"."b c"()`: `"A"."b c"`,
		`CREATE INDEX i ON app.t (a)`:                "",
		`CREATE TABLE app.trigger (execute integer)`: "",
	} {
		if got := TriggerFunction(statement); got != want {
			t.Errorf("%s: got %q, want %q", statement, got, want)
		}
	}
}
