//go:build hostile

package hostile

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pgbridge/pgbridge/internal/bridgetest"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// Whoever copies the database runs nothing of an owner's with other rights: a
// follower that joins late, restores from the genesis and from a checkpoint, and
// drills, whose server sees no setting of the bridge.
func TestCopies(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.Config{NoSync: true})
	s := newSource(t, cluster)
	var attackers []*scene
	for _, a := range peers {
		if !a.differs {
			attackers = append(attackers, s.attack(t, a, a.as[0]))
		}
	}
	s.settle(t)
	serving(s.admin, s.source).Run(t, "checkpoint", "create")
	s.source.Exec(t, `INSERT INTO app.ledger (what) VALUES ('after the checkpoint')`)
	s.settle(t)

	for _, copying := range []struct {
		name string
		do   func(*testing.T, *pgtest.DB)
	}{
		{"restore from the genesis", func(t *testing.T, db *pgtest.DB) {
			s.requireWorks(t, administer(db, s.archive), "restore", "--db-id", s.id, "--checkpoint", "none")
			s.requireEqual(t, db)
		}},
		{"restore from a checkpoint", func(t *testing.T, db *pgtest.DB) {
			s.requireWorks(t, administer(db, s.archive), "restore", "--db-id", s.id)
			s.requireEqual(t, db)
		}},
		{"join", func(t *testing.T, db *pgtest.DB) {
			site := administer(db, s.archive)
			site.Run(t, initArgs("--join", s.id)...)
			for _, x := range attackers {
				x.admit(t, db)
			}
			s.follower, s.reader = db, run(t, site, db)
			defer func() { s.follower, s.reader = nil, nil }()
			s.settle(t)
			s.requireEqual(t, db)
		}},
		{"drill", func(t *testing.T, _ *pgtest.DB) { s.requireWorks(t, s.admin, "drill") }},
		{"drill with a replay", func(t *testing.T, _ *pgtest.DB) { s.requireWorks(t, s.admin, "drill", "--replay") }},
	} {
		t.Run(copying.name, func(t *testing.T) {
			db := cluster.Database(t)
			s.read = len(cluster.Log())
			t.Cleanup(func() { s.sweep(t, attackers) })
			t.Cleanup(func() { s.requireUncaught(t, "") }) // also if it fails
			copying.do(t, db)
		})
	}
}

// sweep removes what programs have left, and rights that attackers have won.
func (s *stage) sweep(t testing.TB, attackers []*scene) {
	t.Helper()
	for _, x := range attackers {
		s.source.Exec(t, x.expand(`ALTER ROLE {me} NOSUPERUSER`))
	}
	files, err := filepath.Glob(filepath.Join(s.traces, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		os.Remove(file)
	}
}

// A role that row level security holds for cannot follow. That is said before
// anything is written, with the statement that mends it.
func TestFollowerWithoutBypass(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.Config{NoSync: true})
	db := cluster.Database(t)
	db.Exec(t, `CREATE TABLE secret (id int PRIMARY KEY); ALTER TABLE secret ENABLE ROW LEVEL SECURITY; ALTER TABLE secret FORCE ROW LEVEL SECURITY;
		CREATE POLICY mine ON secret USING (current_user = 'nobody'); INSERT INTO secret VALUES (1)`)
	s := newSourceOn(t, db)
	s.settle(t)
	serving(s.admin, s.source).Run(t, "checkpoint", "create")
	target := cluster.Database(t)
	target.Exec(t, `CREATE ROLE plain LOGIN; GRANT ALL ON DATABASE "`+target.Name+`" TO plain; ALTER DATABASE "`+target.Name+`" OWNER TO plain`)
	if cluster.Major() >= 15 {
		target.Exec(t, `GRANT SET ON PARAMETER session_replication_role TO plain`)
	}
	plain := &bridgetest.Site{Env: []string{"PGBRIDGE_DATABASE_URL=" + target.URLAs("plain"), "PGBRIDGE_ARCHIVE=" + s.archive}}
	plain.Env = append(plain.Env, "PGBRIDGE_ALLOW_SUPERUSER=false")
	for _, args := range [][]string{
		{"restore", "--dry-run", "--db-id", s.id},
		{"restore", "--dry-run", "--db-id", s.id, "--role", "plain"},
		{"restore", "--db-id", s.id, "--role", "plain"},
		{"init", "--join", s.id, "--role", "plain"},
		initArgs("--join", s.id),
	} {
		fix := "BYPASSRLS"
		if args[0] == "init" && cluster.Major() < 15 {
			fix = "session_replication_role" // there only a superuser may join
		}
		stdout, stderr, code := plain.Try(t, args...)
		if code == 0 || !contains(stdout+stderr, fix) {
			t.Errorf("pgbridge %v: got exit code %d, want a refusal that names %s:\n%s%s", args, code, fix, stdout, stderr)
		}
		if got := target.Value(t, `SELECT count(*) FROM pg_namespace WHERE nspname = 'app'`); got != "0" {
			t.Fatalf("pgbridge %v has begun to write", args)
		}
	}
}
