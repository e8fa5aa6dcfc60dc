package postgres

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// copyOf loads the schema of a database into another one, as restore does.
func copyOf(t *testing.T, source *pgtest.DB, without Without) *pgtest.DB {
	t.Helper()
	conn := connect(t, source.URL())
	pre, post := dumpBoth(t, findDump(t, conn), source.URL(), "")
	roles, err := LoadRoles(t.Context(), conn, pre, post)
	if err != nil {
		t.Fatal(err)
	}
	db, to := migrated(t)
	how, err := NewLoading(t.Context(), to, roles, without)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := Steps(post, how)
	if err != nil {
		t.Fatal(err)
	}
	must := func(do func(context.Context, pgx.Tx) error) {
		t.Helper()
		if err := pgx.BeginFunc(t.Context(), to, func(tx pgx.Tx) error { return do(t.Context(), tx) }); err != nil {
			t.Fatal(err)
		}
	}
	must(func(ctx context.Context, tx pgx.Tx) error {
		if err := LoadSchema(ctx, tx, pre, how); err != nil {
			return err
		}
		return LendRights(ctx, tx, steps)
	})
	must(func(ctx context.Context, tx pgx.Tx) error { return FinishSchema(ctx, tx, post, how) })
	if left := queryText(t, to, "SELECT count(*)::text FROM pgbridge.lent"); left != "0" {
		t.Errorf("%s rights are still lent", left)
	}
	return db
}

func TestOwnersAndPrivileges(t *testing.T) {
	zoo := pgtest.NewRolesZoo(t, pgtest.Shared(t))
	db := copyOf(t, zoo.DB, Without{})
	pgtest.RequireEqual(t, pgtest.Privileges(t, db, zoo.Roles...), pgtest.Privileges(t, zoo.DB, zoo.Roles...))
	pgtest.RequireEqual(t, pgtest.DumpSchema(t, db), pgtest.DumpSchema(t, zoo.DB))
}

func TestWithoutOwnersOrPrivileges(t *testing.T) {
	zoo := pgtest.NewRolesZoo(t, pgtest.Shared(t))
	for _, c := range []struct {
		name    string
		without Without
		options []string // of pg_dump, for what must be equal
	}{
		{"no owner", Without{Owner: true}, []string{"--no-owner", "--no-privileges"}},
		{"no privileges", Without{Privileges: true}, []string{"--no-privileges"}},
		{"neither", Without{true, true}, []string{"--no-owner", "--no-privileges"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := copyOf(t, zoo.DB, c.without)
			pgtest.RequireEqual(t, pgtest.DumpSchema(t, db, c.options...), pgtest.DumpSchema(t, zoo.DB, c.options...))
			dump := pgtest.DumpSchema(t, db)
			if has := strings.Contains(dump, "GRANT SELECT "); has == c.without.Privileges {
				t.Errorf("GRANT in the copy: %v", has)
			}
			if has := strings.Contains(dump, "OWNER TO "+zoo.Role("ALICE")); has == c.without.Owner {
				t.Errorf("OWNER TO in the copy: %v", has)
			}
		})
	}
}

// What belonged to a superuser belongs to whoever loads.
func TestSuperusersOwnNothing(t *testing.T) {
	zoo := pgtest.NewRolesZoo(t, pgtest.Shared(t))
	zoo.Exec(t, zoo.SQL(`ALTER TABLE app.supers OWNER TO DBA; ALTER FUNCTION app.supers_only() OWNER TO DBA; GRANT SELECT ON app.post TO DBA;
		CREATE INDEX ON app.supers (id); CREATE TABLE app.predefined (id int PRIMARY KEY); ALTER TABLE app.predefined OWNER TO pg_execute_server_program`))
	db := copyOf(t, zoo.DB, Without{})
	for object, query := range map[string]string{
		"table":                      "SELECT relowner::regrole FROM pg_class WHERE oid = 'app.supers'::regclass",
		"index":                      "SELECT relowner::regrole FROM pg_class WHERE oid = 'app.supers_id_idx'::regclass",
		"function":                   "SELECT proowner::regrole FROM pg_proc WHERE oid = 'app.supers_only()'::regprocedure",
		"table of a predefined role": "SELECT relowner::regrole FROM pg_class WHERE oid = 'app.predefined'::regclass",
	} {
		if got := db.Value(t, query); got != "postgres" {
			t.Errorf("%s: the owner is %s, want whoever loads", object, got)
		}
	}
	if dump := pgtest.DumpSchema(t, db); strings.Contains(dump, zoo.Role("DBA")) {
		t.Errorf("the copy names the superuser of the source:\n%s", dump)
	}
}
