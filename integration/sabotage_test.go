package integration

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbridge/pgbridge/applier"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// either: pgbridge or the server may be the first to see it.
const either = "either"

// Somebody changes a follower. What can no longer be applied stops there, with
// the story in quarantine; nothing after it is applied. Once the follower is put
// right it goes on, and misses nothing.
func TestSabotage(t *testing.T) {
	t.Parallel()
	source, follower := pgtest.New(t), pgtest.New(t)
	source.Exec(t, `CREATE TABLE item (id int PRIMARY KEY, name text UNIQUE); INSERT INTO item SELECT n, 'n' || n FROM generate_series(1, 9) n;
		CREATE TABLE keyless (note text); ALTER TABLE keyless REPLICA IDENTITY FULL; INSERT INTO keyless VALUES ('same'), ('same')`)
	p := newPipe(t, source)
	publishing := p.publish(t)
	for _, test := range []struct {
		name             string
		sabotage, change string
		said             string // in quarantine
		state            string // SQLSTATE, if it is the server that refuses
		repair           string
	}{
		{
			name: "row gone", sabotage: `DELETE FROM item WHERE id = 2`, change: `UPDATE item SET name = 'changed' WHERE id = 2`,
			said: "public.item.update found 0 of 1 rows", repair: `INSERT INTO item VALUES (2, 'n2')`,
		},
		{
			name: "row gone that is to be deleted", sabotage: `DELETE FROM item WHERE id = 2`, change: `DELETE FROM item WHERE id IN (2, 3)`,
			said: "public.item.delete found 0 of 1 rows", repair: `INSERT INTO item VALUES (2, 'n2')`,
		},
		{
			name: "keyless row changed", sabotage: `UPDATE keyless SET note = 'other' WHERE ctid = '(0,1)'`, change: `DELETE FROM keyless`,
			said: "public.keyless.delete found", repair: `UPDATE keyless SET note = 'same'`,
		},
		{
			name: "row in the way", sabotage: `INSERT INTO item VALUES (50, 'mine')`, change: `INSERT INTO item VALUES (50, 'theirs')`,
			said: "item_pkey", state: "23505", repair: `DELETE FROM item WHERE id = 50`,
		},
		{
			name: "unique value in the way", sabotage: `INSERT INTO item VALUES (60, 'taken')`, change: `UPDATE item SET name = 'taken' WHERE id = 1`,
			said: "item_name_key", state: "23505", repair: `DELETE FROM item WHERE id = 60`,
		},
		{
			name: "column dropped", sabotage: `ALTER TABLE item DROP name`, change: `UPDATE item SET name = 'changed' WHERE id = 1`,
			said: `column "name"`, state: either, repair: `ALTER TABLE item ADD name text UNIQUE; UPDATE item SET name = 'n' || id`,
		},
		{
			name: "table dropped", sabotage: `DROP TABLE keyless`, change: `INSERT INTO keyless VALUES ('new')`,
			said: "keyless", state: either, repair: `CREATE TABLE keyless (note text); INSERT INTO keyless VALUES ('same'), ('same')`,
		},
		{
			name: "constraint added", sabotage: `ALTER TABLE item ADD CONSTRAINT short CHECK (length(name) < 9)`, change: `INSERT INTO item VALUES (70, 'a long name')`,
			said: "short", state: "23514", repair: `ALTER TABLE item DROP CONSTRAINT short`,
		},
	} {
		ok := t.Run(test.name, func(t *testing.T) {
			following := p.follow(t, follower)
			p.caughtUp(t, follower, publishing, following)
			follower.Exec(t, test.sabotage)
			source.Exec(t, test.change)
			source.Exec(t, `DELETE FROM item WHERE id = 9`)
			var stuck *applier.Stuck
			if err := following.wait(); !errors.As(err, &stuck) || stuck.Writer != p.key.Writer() {
				t.Fatalf("follow: got %v, want it to be stuck", err)
			}
			if got := follower.Value(t, `SELECT count(*) FROM item WHERE id = 9`); got != "1" {
				t.Errorf("what came after was applied")
			}
			row := follower.Query(t, `SELECT writer, error, coalesce(sqlstate, '') FROM pgbridge.quarantine`)
			if len(row) != 1 || row[0][0] != p.key.Writer().String() || !strings.Contains(row[0][1], test.said) || row[0][2] != test.state && test.state != either {
				t.Errorf("quarantine: got %q, want one row of the writer that says %q, state %q", row, test.said, test.state)
			}
			if err := p.follow(t, follower).wait(); !errors.As(err, &stuck) && !errors.Is(err, applier.ErrSchema) {
				t.Errorf("started again: got %v, want it to be stuck again, or to see what was changed", err)
			}
			follower.Exec(t, test.repair)
			p.caughtUp(t, follower, publishing, p.follow(t, follower))
			pgtest.RequireEqual(t, pgtest.Dump(t, follower), pgtest.Dump(t, source))
			source.Exec(t, `TRUNCATE item, keyless; INSERT INTO item SELECT n, 'n' || n FROM generate_series(1, 9) n; INSERT INTO keyless VALUES ('same'), ('same')`)
			follower.Exec(t, `TRUNCATE pgbridge.quarantine`)
		})
		if !ok {
			return // the next one would begin with what this one left
		}
	}
}

// The program itself says so, and asks for a person.
func TestDriftEndsRun(t *testing.T) {
	t.Parallel()
	source, follower, dir := pgtest.New(t), pgtest.New(t), t.TempDir()
	source.Exec(t, `CREATE TABLE item (id int PRIMARY KEY, name text); INSERT INTO item VALUES (1, 'one'), (2, 'two')`)
	writer := newSite(t, source, "dir://"+dir).withKey(t)
	id := strings.TrimSpace(writer.pgbridge(t, "init", "--name", "drift"))
	writer.start(t, "run")
	peer := newSite(t, follower, "dir://"+dir)
	eventually(t, "join", func() error { return peer.tryJoin(t, id) })
	running := peer.start(t, "run")
	sameData(t, source, follower)

	follower.Exec(t, `DELETE FROM item WHERE id = 1`)
	source.Exec(t, `UPDATE item SET name = 'uno' WHERE id = 1`)
	if code := running.wait(t); code != 3 {
		t.Errorf("run ended with exit code %d, want 3", code)
	}
	for _, want := range []string{"public.item.update found 0 of 1 rows", "cannot be applied"} {
		if !strings.Contains(running.String(), want) {
			t.Errorf("run said\n%s\nwant it to say %q", running, want)
		}
	}
	if got := follower.Value(t, `SELECT count(*) FROM pgbridge.quarantine`); got != "1" {
		t.Errorf("got %s rows in quarantine, want 1", got)
	}
	follower.Exec(t, `INSERT INTO item VALUES (1, 'one')`)
	noSessions(t, follower)
	peer.start(t, "run")
	sameData(t, source, follower)
}

// A session of somebody else locks what is to be changed, until the server ends
// the deadlock at the cost of the follower. That is no reason to stop for good.
func TestDeadlock(t *testing.T) {
	t.Parallel()
	source, follower := pgtest.New(t), pgtest.New(t)
	source.Exec(t, `CREATE TABLE one (id int PRIMARY KEY, n int); CREATE TABLE two (LIKE one INCLUDING ALL); CREATE TABLE three (LIKE one INCLUDING ALL);
		INSERT INTO one VALUES (1, 1); INSERT INTO two VALUES (1, 1); INSERT INTO three VALUES (1, 1)`)
	p := newPipe(t, source)
	publishing, following := p.publish(t), p.follow(t, follower)
	p.caughtUp(t, follower, publishing, following)

	ctx := t.Context()
	first, err := follower.Connect(t).Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	second, err := follower.Connect(t).Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Exec(ctx, `SELECT FROM two FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	// The follower is the one that looks for a deadlock.
	if _, err := second.Exec(ctx, `SET LOCAL deadlock_timeout = '10min'; SELECT FROM three FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	source.Exec(t, `BEGIN; UPDATE one SET n = 2; UPDATE two SET n = 2; UPDATE three SET n = 2; COMMIT`)
	const waiting = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
	follower.Wait(t, "1", waiting)
	locked := make(chan error)
	go func() {
		_, err := second.Exec(ctx, `SELECT FROM one FOR UPDATE`) // which the follower has
		locked <- err
	}()
	follower.Wait(t, "2", waiting)
	if err := first.Rollback(ctx); err != nil { // and on to three
		t.Fatal(err)
	}
	var stuck *applier.Stuck
	var pgErr *pgconn.PgError
	if err := following.wait(); errors.As(err, &stuck) || !errors.As(err, &pgErr) || pgErr.Code != "40P01" {
		t.Errorf("follow: got %v, want deadlock_detected and not stuck", err)
	}
	if err := <-locked; err != nil {
		t.Fatal(err)
	}
	if err := second.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	p.caughtUp(t, follower, publishing, p.follow(t, follower))
	pgtest.RequireEqual(t, pgtest.Dump(t, follower), pgtest.Dump(t, source))
}
