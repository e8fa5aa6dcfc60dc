package postgres

import (
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pgbridge/pgbridge/action"
)

// The verifier of RFC 7677's example, whose salt and password are given there.
func TestScramOf(t *testing.T) {
	salt := []byte{0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81}
	got, err := scramOf("pencil", salt)
	if err != nil {
		t.Fatal(err)
	}
	const want = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, bad := range []string{"", "paßwort", "tab\there"} {
		if v, err := scramVerifier(bad); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("%q: got %q, %v, want an error without it", bad, v, err)
		}
	}
	if a, err := scramVerifier("x"); err != nil || !strings.HasPrefix(a, "SCRAM-SHA-256$4096:") {
		t.Errorf("got %q, %v", a, err)
	}
}

func TestServiceURL(t *testing.T) {
	for _, tt := range []struct{ admin, role, password, want string }{
		{"postgres://postgres@h:5433/app", "pgbridge", "", "postgres://pgbridge@h:5433/app"},
		{"postgresql://a:b%40c@h/app?sslmode=require&user=x&password=y", "The role@", "p:w/%", "postgres://The%20role%40:p%3Aw%2F%25@h/app?sslmode=require"},
		{"postgres:///app?host=/tmp", "pgbridge", "", "postgres://pgbridge@/app?host=/tmp"},
	} {
		got, err := ServiceURL(tt.admin, tt.role, tt.password)
		if err != nil || got != tt.want {
			t.Errorf("ServiceURL(%s): got %s, %v, want %s", tt.admin, got, err, tt.want)
			continue
		}
		cfg, err := Config(got)
		if err != nil || cfg.User != tt.role || tt.password != "" && cfg.Password != tt.password {
			t.Errorf("%s: got user %q, password %q, %v", got, cfg.User, cfg.Password, err)
		}
	}
	if _, err := ServiceURL("postgres://u:secret@h:port/x", "r", ""); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want an error without the password", err)
	}
}

// A role is made once, by however many at a time, and gets what it lacks.
func TestMakeRole(t *testing.T) {
	db, admin := newDatabase(t)
	role := newRole(t, admin, "NOLOGIN") // its name goes with the test
	mustExec(t, admin, "DROP ROLE "+action.QuoteIdent(role))
	server, err := LoadServer(t.Context(), admin)
	if err != nil {
		t.Fatal(err)
	}
	grants := append(Grants(server, db.Name, role, RoleWriter), Grants(server, db.Name, role, RoleFollower)...)
	var wg sync.WaitGroup
	for range 4 {
		conn := connect(t, db.URL())
		wg.Go(func() {
			if _, err := MakeRole(t.Context(), conn, role, "secret", grants); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if missing, err := MissingGrants(t.Context(), admin, grants, role); err != nil || len(missing) != 0 {
		t.Errorf("still missing: %v, %v", missing, err)
	}
	made, err := MakeRole(t.Context(), admin, role, "", grants)
	if err != nil || len(made.Done)+len(made.Refused) != 0 {
		t.Errorf("again: got %+v, %v, want nothing to do", made, err)
	}
	mustExec(t, admin, "ALTER ROLE "+action.QuoteIdent(role)+" NOREPLICATION NOBYPASSRLS; REVOKE pg_read_all_data FROM "+action.QuoteIdent(role))
	plain := connect(t, db.URLAs(newRole(t, admin, "LOGIN")))
	made, err = MakeRole(t.Context(), plain, role, "", grants)
	var refused []string
	for _, g := range made.Refused {
		refused = append(refused, g.ID)
	}
	slices.Sort(refused)
	if want := []string{"bypass-row-security", "read", "replication"}; err != nil || !slices.Equal(slices.Compact(refused), want) || len(made.Done) != 0 {
		t.Errorf("as a plain role: refused %v, done %v, %v, want %v refused", refused, made.Done, err, want)
	}
}

// Another service role takes the place of the first, and its rights.
func TestSetServiceRole(t *testing.T) {
	_, admin := migrated(t)
	first, second := newRole(t, admin, "LOGIN"), newRole(t, admin, "LOGIN")
	for _, role := range []string{first, second, second} {
		if err := SetServiceRole(t.Context(), admin, role); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := ServiceRole(t.Context(), admin); got != second || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, second)
	}
	missing, err := MissingSchemaRights(t.Context(), admin, second)
	if err != nil || len(missing) != 0 {
		t.Errorf("the role lacks %q, %v", missing, err)
	}
	all := queryText(t, admin, "SELECT count(*)::text FROM pgbridge.service_rights()")
	missing, err = MissingSchemaRights(t.Context(), admin, first)
	if err != nil || strconv.Itoa(len(missing)) != all {
		t.Errorf("the role before lacks %d rights, want all %s: %v", len(missing), all, err)
	}
	if err := SetServiceRole(t.Context(), admin, "nobody here"); err == nil {
		t.Error("a role that is not there: no error")
	}
	// An upgrade keeps the rights, also those of new functions.
	mustExec(t, admin, "UPDATE pgbridge.function_file SET digest = 'old'; REVOKE ALL ON ALL TABLES IN SCHEMA pgbridge FROM "+action.QuoteIdent(second))
	if err := Upgrade(t.Context(), admin); err != nil {
		t.Fatal(err)
	}
	if missing, err := MissingSchemaRights(t.Context(), admin, second); err != nil || len(missing) != 0 {
		t.Errorf("after an upgrade the role lacks %q, %v", missing, err)
	}
}

// The service role of a writer cannot put changes of rights into the log that change nothing
// here: at a peer its namesake may own what superusers made.
func TestServiceRoleChangesNoRights(t *testing.T) {
	db, admin, tape := watched(t, ScopeAll)
	role := newRole(t, admin, "LOGIN")
	mustExec(t, admin, "GRANT pg_read_all_data TO "+action.QuoteIdent(role)+"; CREATE SCHEMA app; CREATE TABLE app.victim (id int PRIMARY KEY)")
	if err := SetServiceRole(t.Context(), admin, role); err != nil {
		t.Fatal(err)
	}
	tape.read(t)
	service := connect(t, db.URLAs(role))
	for _, statement := range []string{
		"GRANT ALL ON app.victim TO PUBLIC", "REVOKE SELECT ON app.victim FROM PUBLIC", "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC",
	} {
		if !refused(t, service, statement) {
			t.Errorf("%s as the service role: not refused", statement)
		}
	}
	if got := tape.changes(t); len(got) > 0 {
		t.Errorf("published: %q", got)
	}
}
