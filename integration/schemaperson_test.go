package integration

import (
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// What somebody changed in the tables of a follower stops it before it applies
// anything; a statement that fails there stops it, and is had again when what it
// lacked is there.
func TestSchemaNeedsAPerson(t *testing.T) {
	t.Parallel()
	archive := "dir://" + t.TempDir()
	writer, peer := newSite(t, pgtest.New(t), archive).withKey(t), newSite(t, pgtest.New(t), archive)
	writer.db.Exec(t, items)
	id := strings.TrimSpace(writer.pgbridge(t, "init", "--name", "schema"))
	writer.start(t, "run")
	eventually(t, "join", func() error { return peer.tryJoin(t, id) })
	following := peer.start(t, "run")
	writer.db.Exec(t, `ALTER TABLE item ADD a int; INSERT INTO item VALUES (100, 'x', 1)`)
	sameData(t, writer.db, peer.db)

	following.stop(t)
	noSessions(t, peer.db)
	peer.db.Exec(t, `ALTER TABLE item ALTER a TYPE bigint; CREATE TABLE mine (id int); CREATE INDEX also_mine ON item (note)`)
	writer.db.Exec(t, `INSERT INTO item VALUES (101, 'y', 2)`)
	if _, stderr, code := peer.try(t, "run"); code != 3 || !strings.Contains(stderr, "public.item") || !strings.Contains(stderr, "SET digest = NULL WHERE table_name = 'public.item'") {
		t.Fatalf("exit code %d, want 3:\n%s", code, stderr)
	}
	if got := peer.db.Value(t, `SELECT count(*) FROM item WHERE id = 101`); got != "0" {
		t.Error("something was applied")
	}
	peer.db.Exec(t, `UPDATE pgbridge.fingerprint SET digest = NULL WHERE table_name = 'public.item'`)
	noSessions(t, peer.db)
	following = peer.start(t, "run")
	peer.db.Wait(t, "1", `SELECT count(*) FROM item WHERE id = 101`)
	peer.db.Exec(t, `DROP TABLE mine; DROP INDEX also_mine`)
	peer.db.Exec(t, `CREATE TABLE fresh (mine text)`)
	writer.db.Exec(t, `CREATE TABLE fresh (id int PRIMARY KEY); INSERT INTO fresh VALUES (1)`)
	if code := following.wait(t); code != 3 {
		t.Fatalf("exit code %d, want 3:\n%s", code, following)
	}
	if text := peer.pgbridge(t, "quarantine", "list"); !strings.Contains(text, "fresh") {
		t.Errorf("quarantine says nothing of the table:\n%s", text)
	}
	peer.db.Exec(t, `DROP TABLE fresh`)
	peer.start(t, "run")
	sameData(t, writer.db, peer.db)
}
