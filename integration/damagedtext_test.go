package integration

import (
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// Text that is not UTF-8, which the server keeps and sends as it is, ends run
// before it is signed: nobody could read the record, nor any after it.
func TestDamagedText(t *testing.T) {
	t.Parallel()
	source := pgtest.New(t)
	source.Exec(t, `CREATE TABLE note (id int PRIMARY KEY, body text); CREATE CAST (bytea AS text) WITHOUT FUNCTION`)
	writer := newSite(t, source, "dir://"+t.TempDir()).withKey(t)
	id := strings.TrimSpace(writer.pgbridge(t, "init", "--name", "text"))
	run := writer.start(t, "run")
	source.Exec(t, `INSERT INTO note VALUES (1, 'fine: é')`)
	published(t, source)
	source.Exec(t, `INSERT INTO note VALUES (2, '\x636166c3'::bytea::text)`)
	if code := run.wait(t); code != 3 || !strings.Contains(run.String(), "a value is not UTF-8, in public.note.insert:") {
		t.Errorf("got exit code %d, %s, want 3 and the table", code, run)
	}
	writer.pgbridge(t, "verify", "--db-id", id)
}
