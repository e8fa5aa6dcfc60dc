package integration

import (
	"errors"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"testing"

	"github.com/pgbridge/pgbridge/internal/bridgetest"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(bridgetest.Main(m)) }

// site is one place where pgbridge runs: a database, a key, archives.
type site struct {
	db  *pgtest.DB
	env []string
}

// newSite makes a site on db that uses the given archives.
func newSite(t testing.TB, db *pgtest.DB, archives ...string) *site {
	t.Helper()
	return &site{db: db, env: bridgetest.NewSite(db, archives...).Env}
}

// as makes the site connect as a role, with what that role may and no more.
func (s *site) as(role string) *site {
	env := slices.Clone(s.env)
	return &site{db: s.db, env: append(env, "PGBRIDGE_DATABASE_URL="+s.db.URLAs(role), "PGBRIDGE_ALLOW_SUPERUSER=false")}
}

func (s *site) kit() *bridgetest.Site { return &bridgetest.Site{Env: s.env} }

// withKey gives the site a writer key of its own.
func (s *site) withKey(t testing.TB) *site {
	t.Helper()
	s.env = s.kit().WithKey(t).Env
	return s
}

// pgbridge runs the program to its end and returns what it printed.
func (s *site) pgbridge(t testing.TB, args ...string) string {
	t.Helper()
	return s.kit().Run(t, args...)
}

// try runs the program and returns how it ended.
func (s *site) try(t testing.TB, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return s.kit().Try(t, args...)
}

// process is a running pgbridge.
type process struct {
	*bridgetest.Process
	cmd    *exec.Cmd
	exited chan struct{}
}

// start runs the program until the test ends or it is stopped.
func (s *site) start(t testing.TB, args ...string) *process {
	t.Helper()
	p := s.kit().Start(t, args...)
	return &process{Process: p, cmd: p.Cmd, exited: p.Exited}
}

// kill is kill -9.
func (p *process) kill() { p.Kill() }

// stop asks the program to end, and returns its exit code.
func (p *process) stop(t testing.TB) int {
	t.Helper()
	return p.Stop(t)
}

// wait waits for the program to end by itself.
func (p *process) wait(t testing.TB) int {
	t.Helper()
	return p.Wait(t)
}

// startNode serves dir as a node and returns its URL.
func startNode(t testing.TB, dir string) (url string, p *process) {
	t.Helper()
	return startNodeAt(t, dir, "127.0.0.1:0")
}

// serving is how a node says where it listens.
var serving = regexp.MustCompile(`msg=serving .*address=(\S+)`)

func startNodeAt(t testing.TB, dir, address string) (url string, p *process) {
	t.Helper()
	p = (&site{}).start(t, "archive", "serve", "--dir", dir, "--listen", address)
	eventually(t, "node serves", func() error {
		found := serving.FindStringSubmatch(p.String())
		if found == nil {
			return errors.New(p.String())
		}
		url = "http://" + found[1]
		return nil
	})
	return url, p
}

// eventually waits until check has nothing to complain of.
func eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	bridgetest.Eventually(t, what, check)
}

// sameData waits until b holds what a holds.
func sameData(t testing.TB, a, b *pgtest.DB) {
	t.Helper()
	want := pgtest.Dump(t, a)
	eventually(t, "databases equal", func() error {
		if got := pgtest.Dump(t, b); got != want {
			return errors.New("not yet")
		}
		return nil
	})
}

// noSessions waits until no session of pgbridge is left in db: one whose process
// has ended keeps its slot, origin and locks for a moment, and what it began may
// yet commit.
func noSessions(t testing.TB, db *pgtest.DB) {
	t.Helper()
	bridgetest.NoSessions(t, db)
}

// tryJoin runs init --join, which fails until the genesis is in the archive.
func (s *site) tryJoin(t testing.TB, id string, options ...string) error {
	t.Helper()
	if _, stderr, code := s.try(t, append([]string{"init", "--join", id}, options...)...); code != 0 {
		return errors.New(stderr)
	}
	return nil
}

// requireRestore restores id from an archive into db, and requires it to hold
// what source holds.
func requireRestore(t testing.TB, db *pgtest.DB, url, id string, source *pgtest.DB) {
	t.Helper()
	newSite(t, db, url).pgbridge(t, "restore", "--db-id", id)
	pgtest.RequireEqual(t, pgtest.Dump(t, db), pgtest.Dump(t, source))
}
