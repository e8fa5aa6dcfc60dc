package integration

import (
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// A checkpoint is made when a transaction is half published: some of its parts are
// in the records before the head, the others, with statements, in those after it.
// What is restored has the transaction whole, and once.
func TestRestoreFromCheckpointBetweenParts(t *testing.T) {
	t.Parallel()
	s := newFolderSite(t, `CREATE TABLE item (id int PRIMARY KEY, name text UNIQUE, pad text); INSERT INTO item SELECT n, 'n' || n, 'old' FROM generate_series(1, 1000) n;
		CREATE TABLE keyless (v text); ALTER TABLE keyless REPLICA IDENTITY FULL`)
	published(t, s.db)
	s.db.Exec(t, `CREATE FUNCTION pgbridge.full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF (SELECT parts FROM pgbridge.chain) = 3 THEN RAISE EXCEPTION 'no room for another part'; END IF; RETURN NEW; END $$;
		CREATE TRIGGER full_ BEFORE INSERT ON pgbridge.outbox FOR EACH ROW EXECUTE FUNCTION pgbridge.full()`)
	s.db.Exec(t, `BEGIN; INSERT INTO keyless VALUES ('first'), ('first');
		INSERT INTO item SELECT n, 'n' || n, repeat(md5(n::text), 60) FROM generate_series(1001, 16000) n;
		DELETE FROM item WHERE id % 10 = 1; ALTER TABLE item ADD COLUMN late int DEFAULT 7; UPDATE item SET late = id WHERE id % 100 = 2;
		INSERT INTO keyless VALUES ('last'), ('last'); CREATE TABLE later (id int PRIMARY KEY); INSERT INTO later VALUES (1); COMMIT`)
	if code := s.run.wait(t); code != 1 {
		t.Fatalf("run: got exit code %d, want 1, after what the trigger raises:\n%s", code, s.run)
	}
	between := pgtest.Dump(t, s.db)
	s.checkpoint(t)
	const half = `SELECT parts || ' parts, the checkpoint is after record ' || chain_seq - seq FROM pgbridge.chain, pgbridge.checkpoint`
	if got, want := s.db.Value(t, half), "2 parts, the checkpoint is after record 0"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	s.db.Exec(t, `DROP TRIGGER full_ ON pgbridge.outbox; DROP FUNCTION pgbridge.full()`)
	pgtest.RequireEqual(t, pgtest.Dump(t, s.db), between)
	at := contents(t, s.db)
	s.db.Exec(t, `UPDATE item SET late = 8 WHERE id = 5; INSERT INTO keyless VALUES ('after'); DELETE FROM later`)
	s.start(t, "run")
	s.confirmed(t, 1)
	published(t, s.db)
	end := contents(t, s.db)
	s.requireRestores(t, []restoreCase{
		{"from it", nil, end, 1, 0, nil},
		{"as of it", []string{"--until", "checkpoint:1"}, at, 1, 0, nil},
		{"past it", []string{"--checkpoint", "none"}, end, 0, 1, nil},
		{"as of it, from the genesis", []string{"--checkpoint", "none", "--until", "checkpoint:1"}, at, 0, 1, nil},
	})
}
