package postgres

import (
	"strings"
	"testing"
)

// TestCheckSource asks a real server for what it has not.
func TestCheckSource(t *testing.T) {
	_, conn := migrated(t)
	is, err := LoadServer(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	source := Source{
		Server:     GenesisServer{Version: "99.1", Encoding: is.Encoding, Collate: is.Collate, CType: is.CType},
		Extensions: []string{"plpgsql", "no_such_extension"}, Used: RolesUsed{Named: []string{"pg_monitor", `no "such" role`}},
	}
	found, err := CheckSource(t.Context(), conn, source)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := brief(found), "fatal extension-missing fatal role-missing warning older-server"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if fix := found[1].Fix; !strings.Contains(fix, `CREATE ROLE "no ""such"" role"`) {
		t.Errorf("fix: got %q, want a statement that makes the role", fix)
	}
	source = Source{Server: GenesisServer{Version: is.Text, Encoding: is.Encoding, Collate: is.Collate, CType: is.CType}}
	if found, err := CheckSource(t.Context(), conn, source); err != nil || len(found) > 0 {
		t.Errorf("the same server: got %v, %v, want nothing", found, err)
	}
}
