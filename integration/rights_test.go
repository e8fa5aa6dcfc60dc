package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// newRightsSite publishes a database with owners and privileges of every kind, with
// one checkpoint.
func newRightsSite(t *testing.T) (*folderSite, *pgtest.RolesZoo) {
	t.Helper()
	zoo := pgtest.NewRolesZoo(t, pgtest.Shared(t))
	s := &folderSite{dir: t.TempDir()}
	s.site = newSite(t, zoo.DB, "dir://"+s.dir).withKey(t)
	s.id = strings.TrimSpace(s.pgbridge(t, "init", "--name", "rights"))
	s.run = s.start(t, "run")
	published(t, zoo.DB)
	s.checkpointed(t)
	zoo.Exec(t, "UPDATE app.post SET body = 'after the checkpoint' WHERE id = 1")
	published(t, zoo.DB)
	return s, zoo
}

// requireRights requires a copy to be what the source is, in definitions, owners,
// privileges and rows.
func requireRights(t *testing.T, zoo *pgtest.RolesZoo, db *pgtest.DB) {
	t.Helper()
	pgtest.RequireEqual(t, pgtest.DumpSchema(t, db), pgtest.DumpSchema(t, zoo.DB))
	pgtest.RequireEqual(t, pgtest.Privileges(t, db, zoo.Roles...), pgtest.Privileges(t, zoo.DB, zoo.Roles...))
	pgtest.RequireEqual(t, pgtest.Dump(t, db), pgtest.Dump(t, zoo.DB))
	pgtest.RequireEqual(t, pgtest.Sequences(t, db), pgtest.Sequences(t, zoo.DB))
}

func TestOwnersAndPrivilegesAreRestored(t *testing.T) {
	t.Parallel()
	s, zoo := newRightsSite(t)
	for name, args := range map[string][]string{"from the checkpoint": nil, "from the genesis": {"--checkpoint", "none"}, "one session": {"--jobs", "1"}} {
		t.Run(name, func(t *testing.T) {
			db := pgtest.New(t)
			s.copyIn(t, db).restore(t, s.id, args...)
			requireRights(t, zoo, db)
		})
	}
	t.Run("joined", func(t *testing.T) {
		db := pgtest.New(t)
		follower := s.copyIn(t, db)
		follower.pgbridge(t, "init", "--join", s.id)
		if got := db.Value(t, "SELECT has_table_privilege($1, 'app.post', 'SELECT')", zoo.Role("BOB")); got != "f" {
			t.Error("others may read before row level security is there")
		}
		follower.start(t, "run")
		db.Wait(t, "after the checkpoint", "SELECT body FROM app.post WHERE id = 1")
		requireRights(t, zoo, db)
	})
}

// withoutRoles is an empty database on a server that has none of the roles.
func withoutRoles(t *testing.T) *pgtest.DB {
	t.Helper()
	return pgtest.Start(t, pgtest.Config{NoSync: true}).Database(t)
}

func TestRolesThatAreMissing(t *testing.T) {
	t.Parallel()
	s, zoo := newRightsSite(t)
	db := withoutRoles(t)
	target := s.copyIn(t, db)
	untouched := func(what string) {
		t.Helper()
		if got := db.Value(t, "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = 'pgbridge') + (SELECT count(*) FROM pg_roles WHERE rolname !~ '^pg_')"); got != "1" {
			t.Errorf("%s: something was written", what)
		}
	}
	for _, args := range [][]string{
		{"restore", "--db-id", s.id}, {"restore", "--db-id", s.id, "--checkpoint", "none"}, {"restore", "--db-id", s.id, "--dry-run"}, {"init", "--join", s.id},
	} {
		stdout, stderr, code := target.try(t, args...)
		if code != 3 {
			t.Errorf("%q: got exit code %d, want 3: %s", args, code, stderr)
		}
		for _, want := range []string{
			zoo.SQL("CREATE ROLE ALICE NOLOGIN CREATEDB"), zoo.SQL("CREATE ROLE BOB NOLOGIN CONNECTION LIMIT 7; GRANT STAFF TO BOB WITH ADMIN "),
			zoo.SQL("CREATE ROLE CAROL NOLOGIN NOINHERIT"), zoo.SQL("CREATE ROLE STAFF NOLOGIN"), "where it is LOGIN",
		} {
			if !strings.Contains(stdout+stderr, want) {
				t.Errorf("%q: no %q in\n%s%s", args, want, stdout, stderr)
			}
		}
		untouched(fmt.Sprint(args))
	}
	if _, stderr, code := target.try(t, "restore", "--db-id", s.id, "--dry-run", "--create-roles"); code != 0 {
		t.Errorf("--dry-run --create-roles: got exit code %d: %s", code, stderr)
	}
	untouched("--dry-run --create-roles")
	target.restore(t, s.id, "--create-roles")
	requireRights(t, zoo, db)
	if got := db.Value(t, "SELECT count(*) FROM pg_roles WHERE rolname !~ '^pg_' AND rolname NOT IN ('postgres', 'pgbridge') AND (rolcanlogin OR rolsuper)"); got != "0" {
		t.Errorf("%s of the made roles can log in", got)
	}
	if got := db.Value(t, "SELECT count(*) FROM pg_authid WHERE rolpassword IS NOT NULL"); got != "0" {
		t.Errorf("%s roles have a password", got)
	}
	if got := db.Value(t, "SELECT pg_has_role($1, $2, 'MEMBER')", zoo.Role("INTERN"), zoo.Role("CAROL")); got != "t" {
		t.Error("a membership among the made roles is not there")
	}
	for _, args := range [][]string{{"--no-owner"}, {"--no-privileges"}} {
		if _, stderr, code := target.try(t, append([]string{"restore", "--db-id", s.id}, args...)...); code != 2 {
			t.Errorf("%q on what was begun without: got exit code %d, want 2: %s", args, code, stderr)
		}
	}
}

func TestRestoreWithoutOwnersAndPrivileges(t *testing.T) {
	t.Parallel()
	s, zoo := newRightsSite(t)
	both := []string{"--no-owner", "--no-privileges"}
	db := withoutRoles(t)
	for _, kind := range []string{"restore", "init"} {
		args := append([]string{"restore", "--db-id", s.id}, both...)
		if kind == "init" {
			args = append([]string{"init", "--join", s.id}, both...)
		}
		_, stderr, code := s.copyIn(t, db).try(t, args...)
		if code != 3 || !strings.Contains(stderr, zoo.SQL("CREATE ROLE STAFF")) || strings.Contains(stderr, "role "+zoo.Role("ALICE")+": owners") {
			t.Errorf("%s: got exit code %d, want 3 for the roles of policies and for no others: %s", kind, code, stderr)
		}
	}
	db.Exec(t, zoo.SQL("CREATE ROLE STAFF; CREATE ROLE CAROL"))
	s.copyIn(t, db).restore(t, s.id, both...)
	pgtest.RequireEqual(t, pgtest.Dump(t, db), pgtest.Dump(t, zoo.DB))

	for _, c := range []struct {
		args    []string
		options []string
	}{
		{[]string{"--no-owner"}, []string{"--no-owner", "--no-privileges"}},
		{[]string{"--no-privileges", "--checkpoint", "none"}, []string{"--no-privileges"}},
		{both, []string{"--no-owner", "--no-privileges"}},
	} {
		db := pgtest.New(t)
		s.copyIn(t, db).restore(t, s.id, c.args...)
		pgtest.RequireEqual(t, pgtest.DumpSchema(t, db, c.options...), pgtest.DumpSchema(t, zoo.DB, c.options...))
		if got := db.Value(t, "SELECT has_function_privilege($1, 'app.open()', 'EXECUTE') OR has_function_privilege($1, 'app.supers_only()', 'EXECUTE')", zoo.Role("INTERN")); got != "f" {
			t.Errorf("%q: anybody may execute functions with the rights of their owner", c.args)
		}
	}
}

// What is an action can be executed by its owner only, whatever was granted.
func TestActionsAreTheirOwnersInCopies(t *testing.T) {
	t.Parallel()
	zoo := pgtest.NewRolesZoo(t, pgtest.Shared(t))
	zoo.Exec(t, zoo.SQL(`CREATE TABLE app.done (id int PRIMARY KEY); ALTER TABLE app.done OWNER TO ALICE;
		CREATE FUNCTION app.act(id int) RETURNS void LANGUAGE sql AS 'INSERT INTO app.done VALUES (id)'; ALTER FUNCTION app.act OWNER TO ALICE;
		CREATE FUNCTION app.act_late(id int) RETURNS void LANGUAGE sql BEGIN ATOMIC INSERT INTO app.done SELECT p.id + length(p.title) FROM app.post p WHERE p.id = act_late.id GROUP BY p.id; END;
		ALTER FUNCTION app.act_late OWNER TO ALICE; REVOKE ALL ON FUNCTION app.act, app.act_late FROM PUBLIC`))
	s := &folderSite{dir: t.TempDir()}
	s.site = newSite(t, zoo.DB, "dir://"+s.dir).withKey(t)
	s.id = strings.TrimSpace(s.pgbridge(t, "init", "--name", "rights"))
	s.run = s.start(t, "run")
	zoo.Exec(t, "SELECT pgbridge.register_action('app.act(int)'), pgbridge.register_action('app.act_late(int)')")
	zoo.Exec(t, zoo.SQL(`GRANT EXECUTE ON FUNCTION app.act, app.act_late TO BOB WITH GRANT OPTION; SET SESSION AUTHORIZATION BOB; GRANT EXECUTE ON FUNCTION app.act TO CAROL`))
	published(t, zoo.DB)
	s.checkpointed(t)
	for _, args := range [][]string{nil, {"--checkpoint", "none"}} {
		db := pgtest.New(t)
		s.copyIn(t, db).restore(t, s.id, args...)
		for _, f := range []string{"act", "act_late"} {
			got := db.Value(t, "SELECT concat(pg_get_userbyid(proowner), ' ', has_function_privilege($1, oid, 'EXECUTE')) FROM pg_proc WHERE oid = ('app.' || $2 || '(int)')::regprocedure", zoo.Role("BOB"), f)
			if got != zoo.Role("ALICE")+" f" {
				t.Errorf("%q: %s: got %s, want an action of its owner, closed to others", args, f, got)
			}
			if n := db.Value(t, "SELECT count(*) FROM pg_proc WHERE pronamespace = 'pgbridge'::regnamespace AND proname = 'call app.' || $1", f); n != "1" {
				t.Errorf("%q: %s cannot be called", args, f)
			}
		}
	}
}
