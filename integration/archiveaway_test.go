package integration

import (
	"slices"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/internal/fakearchive"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// bulky is enough for several chunks, that do not compress.
const bulky = `CREATE TABLE bulky (id int PRIMARY KEY, filler text);
	INSERT INTO bulky SELECT n, (SELECT string_agg(md5(n * 100 + i || ''), '') FROM generate_series(1, 20) i) FROM generate_series(1, 40000) n;
	CREATE INDEX bulky_filler ON bulky (left(filler, 10))`

// The only archive goes away in the middle of a checkpoint, and comes back: the
// same checkpoint goes on, and sends nothing twice.
func TestArchiveAwayDuringCheckpoint(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.Config{NoSync: true})
	source := cluster.Database(t)
	source.Exec(t, bulky)
	dir, address := t.TempDir(), freeAddress(t)
	url, node := startNodeAt(t, dir, address)
	writer := newSite(t, source, url).withKey(t)
	id := strings.TrimSpace(writer.pgbridge(t, "init", "--name", "away"))
	writer.serve(t, "run")
	published(t, source)

	making := writer.start(t, "checkpoint", "create", "--rate", "8M")
	source.Wait(t, "t", `SELECT count(*) > 0 FROM pgbridge.chunk WHERE archives <> '{}'`)
	node.kill()
	source.Exec(t, `UPDATE bulky SET filler = 'changed' WHERE id % 1000 = 0`)
	source.Wait(t, "t", `SELECT count(*) > 0 FROM pgbridge.outbox`)
	select {
	case <-making.exited:
		t.Fatalf("the checkpoint was over before the archive was away:\n%s", making)
	default:
	}
	startNodeAt(t, dir, address)
	if code := making.wait(t); code != 0 {
		t.Fatalf("the archive is back: got exit code %d, want 0", code)
	}
	published(t, source)
	if list := writer.checkpoints(t); len(list) != 1 || !list[0].Confirmed {
		t.Errorf("got %+v, want one checkpoint that is confirmed", list)
	}
	if got := source.Value(t, `SELECT count(*) - count(DISTINCT content) FROM pgbridge.chunk`); got != "0" {
		t.Errorf("%s chunks were sent twice", got)
	}
	requireRestore(t, cluster.Database(t), url, id, source)
	writer.pgbridge(t, "verify", "--db-id", id)
}

// The archive fails for a while in the middle of a restore: the restore rides it
// out, or ends with exit code 1 and goes on where it was.
func TestArchiveAwayDuringRestore(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.Config{NoSync: true})
	source := cluster.Database(t)
	source.Exec(t, bulky)
	server, url := newArchive(t)
	writer := newSite(t, source, url).withKey(t)
	id := strings.TrimSpace(writer.pgbridge(t, "init", "--name", "away"))
	writer.serve(t, "run")
	writer.pgbridge(t, "checkpoint", "create")
	source.Exec(t, `DELETE FROM bulky WHERE id % 7 = 0`)
	published(t, source)

	copied := cluster.Database(t)
	reader := newSite(t, copied, url)
	away := slices.Repeat([]fakearchive.Fault{fakearchive.Drop, fakearchive.Answer(503, "")}, 8)
	server.Script(fakearchive.Data, append(slices.Repeat([]fakearchive.Fault{fakearchive.Fine}, 5), away...)...)
	code := 1
	for range 10 {
		var stderr string
		if _, stderr, code = reader.try(t, "restore", "--db-id", id); code == 0 {
			break
		}
		if code != 1 {
			t.Fatalf("restore: got exit code %d, want 0 or 1:\n%s", code, stderr)
		}
	}
	if asked := server.Asked(fakearchive.Data); code != 0 || asked < 21 {
		t.Fatalf("got exit code %d after %d requests, want 0 after more than 20", code, asked)
	}
	pgtest.RequireEqual(t, pgtest.Dump(t, copied), pgtest.Dump(t, source))
}
