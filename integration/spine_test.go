package integration

import (
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// The story of the README: a database, a follower, a disaster, a restore.
func TestFollowAndRestore(t *testing.T) {
	t.Parallel()
	source, follower, restored := pgtest.New(t), pgtest.New(t), pgtest.New(t)
	source.Exec(t, `CREATE SCHEMA app;
		CREATE TABLE app.post (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text NOT NULL UNIQUE, body text, at timestamptz DEFAULT now());
		CREATE TABLE app.tag (post_id bigint REFERENCES app.post ON DELETE CASCADE, tag text, PRIMARY KEY (post_id, tag));
		CREATE TABLE app."Event Log" (note text);
		ALTER TABLE app."Event Log" REPLICA IDENTITY FULL;
		INSERT INTO app.post (title) SELECT 'old post ' || n FROM generate_series(1, 1000) n;
		INSERT INTO app.tag SELECT id, 'go' FROM app.post;
		INSERT INTO app."Event Log" VALUES ('begin'), ('begin'), (NULL)`)
	node, _ := startNode(t, t.TempDir())
	writer := newSite(t, source, node).withKey(t)

	id := strings.TrimSpace(writer.pgbridge(t, "init", "--name", "board"))
	if again := strings.TrimSpace(writer.pgbridge(t, "init", "--name", "board")); again != id {
		t.Fatalf("the second init printed %s, the first %s", again, id)
	}
	running := writer.start(t, "run")
	peer := newSite(t, follower, node)
	eventually(t, "join", func() error { return peer.tryJoin(t, id) })
	peer.start(t, "run")

	source.Exec(t, `INSERT INTO app.post (title, body) VALUES ('new', repeat('long ', 10000)), ('two', NULL)`)
	source.Exec(t, `UPDATE app.post SET title = title || '!' WHERE id % 10 = 0`)
	source.Exec(t, `DELETE FROM app.post WHERE id % 7 = 0`)
	source.Exec(t, `DELETE FROM app."Event Log" WHERE ctid = (SELECT min(ctid) FROM app."Event Log")`)
	source.Exec(t, `UPDATE app."Event Log" SET note = 'end' WHERE note IS NULL`)
	source.Exec(t, `BEGIN; UPDATE app.post SET title = 'swap' WHERE id = 1; UPDATE app.post SET title = 'old post 1' WHERE id = 2; UPDATE app.post SET title = 'old post 2' WHERE id = 1; COMMIT`)
	sameData(t, source, follower)

	if code := running.stop(t); code != 0 {
		t.Fatalf("run ended with exit code %d after SIGTERM:\n%s", code, running)
	}
	newSite(t, restored, node).pgbridge(t, "restore", "--db-id", id)
	pgtest.RequireEqual(t, pgtest.Dump(t, restored), pgtest.Dump(t, source))
	pgtest.RequireEqual(t, pgtest.DumpSchema(t, restored), pgtest.DumpSchema(t, source))
	pgtest.RequireEqual(t, pgtest.Sequences(t, restored), pgtest.Sequences(t, source))
}
