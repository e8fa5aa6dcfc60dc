package integration

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// Values of a megabyte and of twenty, of what grows when it is escaped, in
// every place that a value can have.
func TestHugeValues(t *testing.T) {
	const nasty = `E'0123456789\t\\\\"\n\x01é' || U&'\+01F600'`
	tell(t, []story{{
		name: "huge",
		before: `CREATE TABLE item (id int PRIMARY KEY, a text, b bytea, j jsonb, l text[], note text);
			CREATE TABLE keyless (a text, n int); ALTER TABLE keyless REPLICA IDENTITY FULL;
			INSERT INTO item VALUES (1, repeat(` + nasty + `, 1000000), decode(repeat('00ff5c22', 250000), 'hex'), NULL, NULL, 'copied');
			INSERT INTO keyless VALUES (repeat('same', 250000), 1), (repeat('same', 250000), 1)`,
		changes: []string{
			`INSERT INTO item SELECT 2, NULL, NULL, jsonb_build_object('k', repeat(` + nasty + `, 50000)), array_fill(repeat(` + nasty + `, 50000), ARRAY[2]), 'new'`,
			`UPDATE item SET note = 'the rest is not in the WAL'`,
			`UPDATE item SET a = repeat(` + nasty + `, 50000), id = id + 10`,
			`UPDATE item SET a = a || 'x', b = decode(repeat('0d0a', 1000000), 'hex') WHERE id = 12`,
			`UPDATE keyless SET a = a || 'x' WHERE ctid = '(0,1)'`,
			`DELETE FROM keyless WHERE length(a) = 1000000`,
			`DELETE FROM item WHERE id = 11`,
		},
	}})
}

// A transaction of 40 MB comes in parts. The publisher dies between two of
// them, the follower, again and again, while the rest is not there yet; and then
// it is there, at once and before what came later.
func TestHugeTransaction(t *testing.T) {
	source, follower := pgtest.New(t), pgtest.New(t)
	source.Exec(t, `CREATE TABLE item (id int PRIMARY KEY, name text UNIQUE, pad text); INSERT INTO item SELECT n, 'n' || n, 'old' FROM generate_series(1, 1000) n`)
	p := newPipe(t, source)
	source.Exec(t, `CREATE FUNCTION pgbridge.full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF (SELECT parts FROM pgbridge.chain) = 3 THEN RAISE EXCEPTION 'no room for another part'; END IF; RETURN NEW; END $$;
		CREATE TRIGGER full_ BEFORE INSERT ON pgbridge.outbox FOR EACH ROW EXECUTE FUNCTION pgbridge.full()`)
	publishing := p.publish(t)
	source.Exec(t, `BEGIN; INSERT INTO item SELECT n, 'n' || n, repeat(md5(n::text), 60) FROM generate_series(1001, 16000) n;
		UPDATE item SET name = 'x' || name WHERE id % 4 = 0; DELETE FROM item WHERE id % 10 = 1;
		UPDATE item SET name = 'tmp' WHERE id = 2; UPDATE item SET name = 'n2' WHERE id = 3; UPDATE item SET name = 'n3' WHERE id = 2; COMMIT`)
	source.Exec(t, `UPDATE item SET pad = 'later' WHERE id = 5`)
	if err := publishing.wait(); err == nil || !strings.Contains(err.Error(), "no room for another part") {
		t.Fatalf("publish: got %v, want what the trigger raises", err)
	}
	if got := source.Value(t, `SELECT parts || ' ' || (part_rows > 0) FROM pgbridge.chain`); got != "2 true" {
		t.Fatalf("the chain says %q, want 2 parts", got)
	}
	source.Exec(t, `DROP TRIGGER full_ ON pgbridge.outbox`)

	release := p.folder.holdAfter(source.Value(t, `SELECT seq FROM pgbridge.chain`))
	publishing = p.publish(t)
	var following *loop
	for range 2 {
		following = p.follow(t, follower)
		follower.Wait(t, "ready", `SELECT stage FROM pgbridge.database`)
		// In the middle of the transaction, waiting for its next part.
		follower.Wait(t, "1", `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction' AND backend_xid IS NOT NULL`)
		if got := follower.Value(t, `SELECT count(*) FROM item`); got != "1000" {
			t.Errorf("half of the transaction: got %s rows, want 1000", got)
		}
		following.stop(t)
	}
	following = p.follow(t, follower)
	release()
	source.Exec(t, `UPDATE item SET pad = 'last' WHERE id = 6`)
	p.caughtUp(t, follower, publishing, following)
	want := pgtest.Dump(t, source)
	pgtest.RequireEqual(t, pgtest.Dump(t, follower), want)
	pgtest.RequireEqual(t, pgtest.Dump(t, p.restore(t)), want)
}

// holdAfter makes Put wait with records after seq until they are released.
func (f *pushingFolder) holdAfter(seq string) (release func()) {
	held := make(chan struct{})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hold = func(ctx context.Context, raw []byte) error {
		item, err := archive.ParseItem(raw)
		if err != nil {
			return err
		}
		header, err := archive.PeekHeader(item.Data)
		var last uint64
		if _, scanErr := fmt.Sscan(seq, &last); err != nil || scanErr != nil {
			return fmt.Errorf("hold after %s: %w", seq, err)
		}
		if header.Seq <= last {
			return nil
		}
		select {
		case <-held:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return func() { close(held) }
}
