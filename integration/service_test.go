package integration

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// newServiceRole returns the name of a role that is not there yet, and goes with all
// that it has when the test ends. It is called before its databases are made, which go
// first.
func newServiceRole(t testing.TB) string {
	t.Helper()
	admin := pgtest.New(t)
	name := `Service "` + strings.ToLower(rand.Text()[:8]) + `"`
	t.Cleanup(func() {
		if admin.Value(t, "SELECT count(*) FROM pg_roles WHERE rolname = $1", name) == "1" {
			admin.DropRole(t, name)
		}
	})
	return name
}

func quoteRole(name string) string { return pgx.Identifier{name}.Sanitize() }

// passwordFile holds a password.
func passwordFile(t testing.TB, password string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "role.password")
	if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// serviceTables are of an owner who is no superuser, with all that a role without
// rights would stumble over.
const serviceTables = `
	CREATE SCHEMA app AUTHORIZATION $owner;
	SET ROLE $owner;
	CREATE TABLE app.post (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text NOT NULL, author name DEFAULT current_user);
	ALTER TABLE app.post ENABLE ROW LEVEL SECURITY;
	ALTER TABLE app.post FORCE ROW LEVEL SECURITY;
	CREATE POLICY only_own ON app.post USING (author = current_user);
	CREATE SEQUENCE app.ticket;
	CREATE FUNCTION app.post(title text) RETURNS void LANGUAGE plpgsql SET search_path = app, pg_temp
		AS 'BEGIN INSERT INTO app.post (title) VALUES (post.title); PERFORM nextval(''app.ticket''); END';
	REVOKE EXECUTE ON FUNCTION app.post(text) FROM PUBLIC;
	ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO PUBLIC;
	INSERT INTO app.post (title) SELECT 'old ' || n FROM generate_series(1, 500) n;
	SELECT lo_from_bytea(0, 'large');
	RESET ROLE;
	CREATE FOREIGN DATA WRAPPER nothing;
	CREATE SERVER elsewhere FOREIGN DATA WRAPPER nothing;
	CREATE USER MAPPING FOR $owner SERVER elsewhere OPTIONS (password 'secret');
	CREATE SUBSCRIPTION "$subscription" CONNECTION 'dbname=nowhere' PUBLICATION nothing WITH (connect = false);`

// The service role has what init gave it, and that is enough for all that the service
// and the commands beside it do with a database that publishes.
func TestServiceRolePublishes(t *testing.T) {
	t.Parallel()
	role := newServiceRole(t)
	source, copied := pgtest.New(t), pgtest.New(t)
	owner := newRole(t, source)
	source.Exec(t, strings.NewReplacer("$owner", owner, "$subscription", "s"+owner).Replace(serviceTables))
	url, _ := startNode(t, t.TempDir())
	admin := newSite(t, source, url).withKey(t)
	id := strings.TrimSpace(admin.pgbridge(t, "init", "--name", "app", "--role", role, "--role-password-file", passwordFile(t, "open sesame")))
	const rights = `SELECT rolcanlogin, rolsuper, rolreplication, rolbypassrls, split_part(rolpassword, '$', 1),
			ARRAY(SELECT roleid::regrole FROM pg_auth_members WHERE member = a.oid) FROM pg_authid a WHERE rolname = $1`
	if got, want := source.Query(t, rights, role)[0], []string{"t", "f", "t", "t", "SCRAM-SHA-256", "{pg_read_all_data}"}; !slices.Equal(got, want) {
		t.Errorf("the role has %v, want %v", got, want)
	}

	service := admin.as(role)
	// Large objects are all that there is to say.
	if out := service.pgbridge(t, "check"); strings.Contains(out, "fatal") || strings.Count(out, "warning") != strings.Count(out, "warning: large") {
		t.Errorf("check as the service role: %s", out)
	}
	p := service.start(t, "run", "--checkpoint-every", "1s")
	as(t, source, owner, `INSERT INTO app.post (title) VALUES ('live');
		CREATE TABLE app.comment (id int PRIMARY KEY, text text); INSERT INTO app.comment VALUES (1, 'nice')`)
	source.Exec(t, "SELECT pgbridge.register_action('app.post(text)')")
	as(t, source, owner, `SELECT pgbridge.call('app.post', '{"title": "called"}'); ALTER TABLE app.comment ADD COLUMN likes int DEFAULT 0`)
	source.Wait(t, "t", `SELECT count(*) > 0 AND NOT EXISTS (SELECT FROM pgbridge.checkpoint_failure) FROM pgbridge.checkpoint WHERE item IS NULL`)
	source.Exec(t, "INSERT INTO app.comment VALUES (2, 'last')")
	service.checkpoint(t)
	eventually(t, "everything is in the archive", func() error {
		if out := service.pgbridge(t, "log", "--db-id", id); !strings.Contains(out, "app.comment") || !strings.Contains(out, "app.post") {
			return errors.New(out)
		}
		return nil
	})
	for _, command := range [][]string{{"status"}, {"action", "list"}, {"action", "list", "--json"}, {"quarantine", "list"}, {"verify", "--database"}, {"checkpoint", "list", "--db-id", id}} {
		service.pgbridge(t, command...)
	}
	if code := p.stop(t); code != 0 || strings.Count(p.String(), "level=WARN") != 1 {
		t.Errorf("run as the service role: exit code %d\n%s", code, p)
	}
	newSite(t, copied, url).pgbridge(t, "restore", "--db-id", id)
	pgtest.RequireEqual(t, pgtest.Dump(t, copied), pgtest.Dump(t, source))
}

// A follower is made by an administrator and works as the service role, and so do the rows
// of a restore. Everything belongs to whom it belonged, and each role may what it might.
func TestServiceRoleFollows(t *testing.T) {
	t.Parallel()
	role := newServiceRole(t)
	source, follower, restored := pgtest.New(t), pgtest.New(t), pgtest.New(t)
	alice, bob := newRole(t, source), newRole(t, source)
	source.Exec(t, "CREATE SCHEMA app AUTHORIZATION "+alice)
	as(t, source, alice, `CREATE TABLE app.note (id int PRIMARY KEY, text text CHECK (text <> ''), UNIQUE (text));
		INSERT INTO app.note SELECT n, 'old ' || n FROM generate_series(1, 100) n; GRANT SELECT ON app.note TO `+bob)
	url, _ := startNode(t, t.TempDir())
	writer := newSite(t, source, url).withKey(t)
	id := strings.TrimSpace(writer.pgbridge(t, "init", "--name", "app", "--role", role))
	writer.as(role).start(t, "run")
	admin := newSite(t, follower, url).as("postgres")
	eventually(t, "joined", func() error {
		_, stderr, code := admin.try(t, "init", "--join", id, "--role", role)
		if code != 0 {
			return errors.New(stderr)
		}
		return nil
	})
	const rights = `SELECT rolsuper, rolbypassrls, ARRAY(SELECT roleid::regrole::text FROM pg_auth_members WHERE member = a.oid ORDER BY 1)
		FROM pg_authid a WHERE rolname = $1`
	if got, want := follower.Query(t, rights, role)[0], []string{"f", "t", "{pg_read_all_data,pg_write_all_data}"}; !slices.Equal(got, want) {
		t.Errorf("the role has %v, want %v", got, want)
	}
	service := admin.as(role)
	p := service.start(t, "run")
	as(t, source, alice, `INSERT INTO app.note VALUES (101, 'new'); UPDATE app.note SET text = 'changed' WHERE id = 1; DELETE FROM app.note WHERE id = 2;
		ALTER TABLE app.note ADD COLUMN n int DEFAULT 5; CREATE TABLE app.later (id int PRIMARY KEY REFERENCES app.note);
		CREATE INDEX ON app.later (id); INSERT INTO app.later VALUES (101); GRANT USAGE ON SCHEMA app TO `+bob+`;
		GRANT SELECT, INSERT ON app.later TO `+bob+`; REVOKE SELECT ON app.note FROM `+bob+`; GRANT UPDATE (text) ON app.note TO `+bob+`;
		ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO `+bob+`; CREATE TABLE app.last (id int PRIMARY KEY); TRUNCATE app.later`)
	source.Exec(t, "ALTER TABLE app.last OWNER TO "+bob)
	sameData(t, source, follower)
	want := pgtest.Privileges(t, source, alice, bob)
	eventually(t, "the same rights at the follower", func() error {
		if got := pgtest.Privileges(t, follower, alice, bob); got != want {
			return errors.New(got)
		}
		return nil
	})
	pgtest.RequireEqual(t, pgtest.DumpSchema(t, follower), pgtest.DumpSchema(t, source))
	service.pgbridge(t, "status")
	service.pgbridge(t, "verify", "--database")
	if code := p.stop(t); code != 0 {
		t.Errorf("run as the service role: exit code %d\n%s", code, p)
	}

	newSite(t, restored, url).as("postgres").pgbridge(t, "restore", "--db-id", id, "--role", role)
	pgtest.RequireEqual(t, pgtest.Dump(t, restored), pgtest.Dump(t, source))
	if got := pgtest.Privileges(t, restored, alice, bob); got != want {
		t.Errorf("rights in the restored database:\n%s\nwant\n%s", got, want)
	}
}

// What runs as a superuser is told how to run as something less.
func TestSuperuserIsRefused(t *testing.T) {
	t.Parallel()
	role := newServiceRole(t)
	source := pgtest.New(t)
	source.Exec(t, "CREATE TABLE public.note (id int PRIMARY KEY)")
	admin := newSite(t, source, "dir://"+t.TempDir()).withKey(t)
	super := admin.as("postgres")
	refused := func(want string, args ...string) {
		t.Helper()
		if _, stderr, code := super.try(t, args...); code != 3 || !strings.Contains(stderr, want) {
			t.Errorf("pgbridge %s: exit code %d, want 3 and %q: %s", strings.Join(args, " "), code, want, stderr)
		}
	}
	refused("not set up", "run")
	if _, stderr, code := super.try(t, "init", "--name", "app", "--role", "postgres"); code != 2 || !strings.Contains(stderr, "must not run") {
		t.Errorf("init --role postgres: exit code %d: %s", code, stderr)
	}
	out := super.pgbridge(t, "init", "--print-grants", "--role", role)
	for _, statement := range []string{"CREATE ROLE", "REPLICATION;", "BYPASSRLS;", "GRANT pg_read_all_data TO"} {
		if !strings.Contains(out, statement) {
			t.Errorf("--print-grants has no %s:\n%s", statement, out)
		}
	}
	if source.Value(t, "SELECT count(*) FROM pg_roles WHERE rolname = $1", role) != "0" {
		t.Fatal("--print-grants made the role")
	}
	source.Exec(t, out)
	if out := super.pgbridge(t, "init", "--print-grants", "--role", role); out != "-- nothing is missing\n" {
		t.Errorf("after the statements were run: %s", out)
	}
	super.pgbridge(t, "init", "--name", "app", "--role", role)
	source.Exec(t, "UPDATE pgbridge.installed SET service = NULL")
	refused("run pgbridge init --role pgbridge with this --database-url, then this command with postgres://pgbridge@", "run")
	super.pgbridge(t, "init", "--role", role)
	refused("give --database-url with the service role, postgres://"+role+"@", "run")
	refused("postgres://"+role+"@", "checkpoint", "create")
	super.pgbridge(t, "action", "list")
	super.pgbridge(t, "init") // again, with the role that is set up
	service := admin.as(role)
	source.Exec(t, "REVOKE UPDATE ON pgbridge.chain FROM PUBLIC, "+quoteRole(role)+"; ALTER ROLE "+quoteRole(role)+" NOBYPASSRLS")
	stdout, _, code := service.try(t, "check")
	if code != 3 || !strings.Contains(stdout, "GRANT SELECT, UPDATE ON TABLE pgbridge.chain TO "+quoteRole(role)) || !strings.Contains(stdout, "ALTER ROLE "+quoteRole(role)+" BYPASSRLS") {
		t.Errorf("check: exit code %d: %s", code, stdout)
	}
	super.pgbridge(t, "init")
	service.pgbridge(t, "check")
}
