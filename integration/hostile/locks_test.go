//go:build hostile

package hostile

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/internal/bridgetest"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// Any role may take any advisory lock.
var locks = []attack{
	{
		name: "advisory locks are held when the writer starts", as: []role{login},
		play: func(t *testing.T, x *scene) {
			x.writer.Stop(t)
			bridgetest.NoSessions(t, x.source)
			x.hold(t, x.source)
			x.writer = run(x.t, x.admin, x.source)
			x.settle(t)
		},
	},
	{
		name: "advisory locks are held when the follower starts", as: []role{login},
		play: func(t *testing.T, x *scene) {
			x.reader.Stop(t)
			bridgetest.NoSessions(t, x.follower)
			x.hold(t, x.follower)
			x.reader = run(x.t, x.there, x.follower)
			x.settle(t)
		},
	},
	{
		name: "advisory locks are held when a checkpoint is made", as: []role{login},
		play: func(t *testing.T, x *scene) {
			x.hold(t, x.source)
			x.requireWorks(t, serving(x.admin, x.source), "checkpoint", "create")
		},
	},
	{
		name: "advisory locks are held in a database that is to be restored", as: []role{login},
		play: func(t *testing.T, x *scene) {
			x.settle(t)
			target := x.cluster.Database(t)
			x.hold(t, target)
			x.requireWorks(t, administer(target, x.archive), "restore", "--db-id", x.id)
		},
	},
	{
		name: "advisory locks are held in a database that is to follow", as: []role{login},
		play: func(t *testing.T, x *scene) {
			x.settle(t)
			target := x.cluster.Database(t)
			x.hold(t, target)
			x.requireWorks(t, administer(target, x.archive), initArgs("--join", x.id)...)
		},
	},
}

// hold takes every advisory lock that the bridge could mean, until the test ends.
func (x *scene) hold(t testing.TB, db *pgtest.DB) {
	t.Helper()
	s := connect(t, db, x.me)
	const space = 0x70676272 // "pgbr"
	s.must(t, fmt.Sprintf(`SELECT pg_try_advisory_lock(%d), pg_try_advisory_lock(1885823602)`, space))
	for n := range 10 {
		s.must(t, fmt.Sprintf(`SELECT pg_try_advisory_lock(%d, %d), pg_try_advisory_lock(1885823602, %[2]d)`, space, n))
	}
	writer := x.source.Value(t, `SELECT writer FROM pgbridge.chain`)
	s.must(t, fmt.Sprintf(`SELECT pg_try_advisory_lock(hashtext('pgbridge apply'), hashtext('%s')), pg_try_advisory_lock(hashtext('pgbridge'))`, writer))
}

// requireWorks runs a command, which must not wait for anybody.
func (s *stage) requireWorks(t testing.TB, site *bridgetest.Site, args ...string) {
	t.Helper()
	if err := within(t, patience, site.Start(t, args...)); err != nil {
		t.Errorf("pgbridge %v: %v", args, err)
	}
}

// within waits for a process to end with exit code 0.
func within(t testing.TB, limit time.Duration, p *bridgetest.Process) error {
	t.Helper()
	select {
	case <-p.Exited:
		if code := p.Cmd.ProcessState.ExitCode(); code != 0 {
			return fmt.Errorf("exit code %d: %s", code, lastLines(p.String()))
		}
		return nil
	case <-time.After(limit):
		p.Kill()
		return errors.New("it hangs: " + lastLines(p.String()))
	}
}
