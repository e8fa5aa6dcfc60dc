//go:build hostile

package hostile

import (
	"errors"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/internal/bridgetest"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// A name means another object as soon as a lock on the first one is given up. A
// session with rights of its own that waits for the lock must not go on with the
// name.
var names = []attack{
	{
		name: "a sequence becomes a view while a record is sealed", as: []role{owner},
		setup: `{traps}; CREATE SEQUENCE {me}.s`,
		play: func(t *testing.T, x *scene) {
			x.swap(t, `ALTER SEQUENCE {me}.s RENAME TO was_s`, `CREATE VIEW {me}.s AS SELECT CASE WHEN {me}.deed() THEN 1::int8 END AS last_value, true AS is_called`, func() *bridgetest.Process {
				x.source.Exec(t, `INSERT INTO app.ledger (what) VALUES ('to be sealed')`)
				return nil
			})
		},
	},
	{
		name: "a sequence is dropped and becomes a view while a record is sealed", as: []role{owner},
		setup: `{traps}; CREATE SEQUENCE {me}.s; CREATE SEQUENCE {me}.a`,
		play: func(t *testing.T, x *scene) {
			x.swap(t, `DROP SEQUENCE {me}.s; ALTER SEQUENCE {me}.a INCREMENT 2`, `CREATE VIEW {me}.s AS SELECT CASE WHEN {me}.deed() THEN 1::int8 END AS last_value, true AS is_called`, func() *bridgetest.Process {
				x.source.Exec(t, `INSERT INTO app.ledger (what) VALUES ('to be sealed')`)
				return nil
			})
		},
	},
	{
		name: "a sequence becomes a view while a checkpoint is made", as: []role{owner},
		setup: `{traps}; CREATE SEQUENCE {me}.s`,
		play: func(t *testing.T, x *scene) {
			x.settle(t)
			x.swap(t, `ALTER SEQUENCE {me}.s RENAME TO was_s`, `CREATE VIEW {me}.s AS SELECT CASE WHEN {me}.deed() THEN 1::int8 END AS last_value, true AS is_called`, func() *bridgetest.Process {
				return serving(x.admin, x.source).Start(t, "checkpoint", "create")
			})
		},
	},
	{
		name: "a table becomes a view while a checkpoint is made", as: []role{owner},
		setup: `{traps}; CREATE TABLE {me}.t (id int PRIMARY KEY)`,
		play: func(t *testing.T, x *scene) {
			x.settle(t)
			x.swap(t, `ALTER TABLE {me}.t RENAME TO was_t`, `CREATE VIEW {me}.t AS SELECT 1 AS id WHERE {me}.deed()`, func() *bridgetest.Process {
				return serving(x.admin, x.source).Start(t, "checkpoint", "create")
			})
		},
	},
	{
		name: "a table becomes a view while it is compared", as: []role{owner},
		setup: `{traps}; CREATE TABLE {me}.t (id int PRIMARY KEY); INSERT INTO {me}.t VALUES (1)`,
		play: func(t *testing.T, x *scene) {
			x.settle(t)
			x.swap(t, `ALTER TABLE {me}.t RENAME TO was_t`, `CREATE VIEW {me}.t AS SELECT 1 AS id WHERE {me}.deed()`, func() *bridgetest.Process {
				return x.admin.Start(t, "verify", "--database", "--db-id", x.id)
			})
		},
	},
}

// swap holds a lock, lets the bridge begin to wait for it, replaces what it waits
// for, and gives up the lock. begin may return a process that is to wait.
func (x *scene) swap(t *testing.T, hold, replace string, begin func() *bridgetest.Process) {
	t.Helper()
	s := x.session(t)
	s.must(t, `BEGIN`)
	s.must(t, x.expand(hold))
	p := begin()
	at := x.source.Value(t, `SELECT pg_logical_emit_message(true, 'test', 'mark')`)
	x.eventually(t, "the bridge waits for the lock, or does without", func() error {
		if waits(t, x.source) {
			return nil
		}
		if p == nil {
			return bridgetest.Unpublished(t, x.source, at)
		}
		select {
		case <-p.Exited:
			return nil
		default:
			return errors.New("it does neither")
		}
	})
	s.must(t, x.expand(replace))
	s.must(t, `COMMIT`)
	if p != nil {
		t.Logf("the command ended: %v", within(t, 2*time.Minute, p))
	}
	x.settle(t)
}

// waits tells whether a session of the bridge waits for a lock.
func waits(t testing.TB, db *pgtest.DB) bool {
	t.Helper()
	return db.Value(t, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name IN ('pgbridge', 'pg_dump') AND wait_event_type = 'Lock'`) != "0"
}
