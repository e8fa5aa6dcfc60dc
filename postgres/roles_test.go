package postgres

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// loadRoles returns the roles of a zoo, by their words, with a user mapping.
func loadRoles(t *testing.T, zoo *pgtest.RolesZoo) map[string]ServerRole {
	t.Helper()
	conn := connect(t, zoo.URL())
	pre, post := dumpBoth(t, findDump(t, conn), zoo.URL(), "")
	all, err := LoadRoles(t.Context(), conn, pre, post)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkRoles(all); err != nil {
		t.Error(err)
	}
	roles := map[string]ServerRole{}
	for _, word := range []string{"ALICE", "BOB", "CAROL", "STAFF", "INTERN", "DBA"} {
		for _, r := range all {
			if r.Name == zoo.Role(word) {
				roles[word] = r
			}
		}
	}
	for _, r := range all {
		if strings.HasPrefix(r.Name, "pg_") {
			t.Errorf("role %s is in the list, and is predefined", r.Name)
		}
	}
	return roles
}

func TestLoadRoles(t *testing.T) {
	zoo := pgtest.NewRolesZoo(t, pgtest.Shared(t))
	zoo.Exec(t, zoo.SQL("CREATE USER MAPPING FOR DBA SERVER far OPTIONS (password 'hush hush')"))
	got := loadRoles(t, zoo)
	want := map[string]ServerRole{
		"ALICE": {CreateDB: true, Inherit: true, Connections: -1, MemberOf: []Membership{}},
		"BOB":   {Login: true, Inherit: true, Connections: 7, MemberOf: []Membership{{zoo.Role("STAFF"), true, true, true}}},
		"CAROL": {Connections: -1, MemberOf: []Membership{}},
		"STAFF": {Inherit: true, Connections: -1, MemberOf: []Membership{}},
		"INTERN": {
			Login: true, Inherit: true, Connections: -1, ValidUntil: "2040-01-01 00:00:00+00",
			MemberOf: []Membership{{zoo.Role("CAROL"), false, true, true}},
		},
		"DBA": {Superuser: true, Inherit: true, Connections: -1, MemberOf: []Membership{}},
	}
	for word, r := range want {
		r.Name = zoo.Role(word)
		if !reflect.DeepEqual(got[word], r) {
			t.Errorf("%s: got %+v, want %+v", word, got[word], r)
		}
	}
}

func TestMembershipOptions(t *testing.T) {
	zoo := pgtest.NewRolesZoo(t, pgtest.Shared(t))
	if conn := connect(t, zoo.URL()); major(t, conn) < 16 {
		return // there are none
	}
	zoo.Exec(t, zoo.SQL("GRANT STAFF TO ALICE WITH INHERIT FALSE, SET TRUE; GRANT BOB TO ALICE WITH INHERIT TRUE, SET FALSE, ADMIN TRUE"))
	want := []Membership{{zoo.Role("BOB"), true, true, false}, {zoo.Role("STAFF"), false, false, true}}
	if got := loadRoles(t, zoo)["ALICE"].MemberOf; !slices.Equal(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestCreateRoleSQL(t *testing.T) {
	all := []ServerRole{
		{Name: "al", Superuser: true, Login: true, CreateRole: true, Replication: true, BypassRLS: true, Inherit: true, Connections: -1},
		{Name: "b", CreateDB: true, Connections: 3, ValidUntil: "2030-01-01 00:00:00+00", MemberOf: []Membership{{"here", true, true, true}, {`z"z`, true, false, true}}},
		{Name: "here", Inherit: true, Connections: -1},
		{Name: `z"z`, Inherit: true, Connections: -1, MemberOf: []Membership{{"c", false, true, true}}},
		{Name: "c", Inherit: true, Connections: -1},
	}
	got := CreateRoleSQL(all, []string{"al", "b", `z"z`, "c", "unknown"}, 15)
	want := []string{
		`CREATE ROLE "al" NOLOGIN`, `CREATE ROLE "c" NOLOGIN`, `CREATE ROLE "z""z" NOLOGIN`, `GRANT "c" TO "z""z"`,
		`CREATE ROLE "b" NOLOGIN NOINHERIT CREATEDB CONNECTION LIMIT 3 VALID UNTIL '2030-01-01 00:00:00+00'`, `GRANT "z""z" TO "b" WITH ADMIN OPTION`,
		`CREATE ROLE "unknown" NOLOGIN`,
	}
	if i := slices.Index(got, want[2]); i < 0 || i > slices.Index(got, want[4]) {
		t.Errorf("got %q, want each role after its groups", got)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	got = CreateRoleSQL(all, []string{"b", `z"z`}, 16)
	if last := `GRANT "z""z" TO "b" WITH ADMIN true, INHERIT false, SET true`; len(got) != 3 || got[2] != last {
		t.Errorf("for 16: got %q, want %s in the end", got, last)
	}
}

// On a server that has none of the roles the made ones are enough for the schema.
func TestCreateRoles(t *testing.T) {
	zoo := pgtest.NewRolesZoo(t, pgtest.Start(t, pgtest.Config{NoSync: true}))
	from := connect(t, zoo.URL())
	pre, post := dumpBoth(t, findDump(t, from), zoo.URL(), "")
	roles, err := LoadRoles(t.Context(), from, pre, post)
	if err != nil {
		t.Fatal(err)
	}
	conn := connect(t, pgtest.Start(t, pgtest.Config{NoSync: true}).Database(t).URL())
	how, err := NewLoading(t.Context(), conn, roles, Without{})
	if err != nil {
		t.Fatal(err)
	}
	used, err := how.RolesUsed(pre, post)
	if err != nil {
		t.Fatal(err)
	}
	source := Source{Roles: roles, Used: used}
	made, err := CreateRoles(t.Context(), conn, source)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := CreateRoles(t.Context(), conn, source); err != nil || len(again) > 0 {
		t.Errorf("again: got %q, %v, want nothing to make", again, err)
	}
	got := queryText(t, conn, `SELECT string_agg(rolname, ',' ORDER BY rolname COLLATE "C") FROM pg_roles WHERE rolname !~ '^pg_' AND rolname <> 'postgres'
		AND NOT (rolcanlogin OR rolsuper OR rolcreaterole OR rolreplication OR rolbypassrls)`)
	want := slices.Sorted(slices.Values(zoo.Roles))
	if got != strings.Join(want, ",") {
		t.Errorf("got roles %s, want %q, by %q", got, want, made)
	}
	got = queryText(t, conn, `SELECT string_agg(format('%I TO %I %s', g.rolname, m.rolname, a.admin_option), ', ' ORDER BY g.rolname COLLATE "C")
		FROM pg_auth_members a JOIN pg_roles g ON g.oid = a.roleid JOIN pg_roles m ON m.oid = a.member WHERE m.rolname !~ '^pg_'`)
	if want := zoo.SQL("CAROL TO INTERN f, STAFF TO BOB t"); strings.ReplaceAll(got, `"`, "") != strings.ReplaceAll(want, `"`, "") {
		t.Errorf("memberships: got %s, want %s", got, want)
	}
}
