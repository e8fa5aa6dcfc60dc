package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// verifyReport is what the tests read of verify --json.
type verifyReport struct {
	Complete    struct{ Seq uint64 }
	Checkpoints int
	Chunks      int
	Repaired    int
	Faults      []struct {
		Kind, Type, Archive, Detail string
		First, Last                 uint64
		Has                         []string
	}
}

func verify(t testing.TB, s *site, want int, args ...string) (r verifyReport) {
	t.Helper()
	stdout, stderr, code := s.try(t, append([]string{"verify", "--json"}, args...)...)
	if code != want {
		t.Fatalf("verify %v: got exit code %d, want %d\n%s%s", args, code, want, stdout, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("verify --json: %v: %s", err, stdout)
	}
	return r
}

// changeFile changes the file of an item.
func changeFile(t testing.TB, dir, pattern string, change func([]byte) []byte) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*", "*", "1", "*", pattern))
	if err != nil || len(found) == 0 {
		t.Fatalf("find %s: %v, %v", pattern, found, err)
	}
	raw, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	raw = change(raw)
	if raw == nil {
		err = os.Remove(found[0])
	} else {
		err = os.WriteFile(found[0], raw, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return found[0]
}

func cutShort(raw []byte) []byte { return raw[:len(raw)/2] }

func flipped(raw []byte) []byte {
	raw[len(raw)-1] ^= 1
	return raw
}

func nothing([]byte) []byte { return nil }

// An archive is spoilt in every way; verify names each, and repair heals it from
// the other one.
func TestVerifyAndRepair(t *testing.T) {
	t.Parallel()
	one, nodeDir := t.TempDir(), t.TempDir()
	url, _ := startNode(t, nodeDir)
	writer, id := board(t, "dir://"+one, url)
	running := writer.start(t, "run")
	for n := range 12 {
		published(t, writer.db) // so that each is a record of its own
		writer.db.Exec(t, fmt.Sprintf(`INSERT INTO post SELECT n, repeat('text ', 100) FROM generate_series(%d, %d) n; UPDATE post SET title = 'x' WHERE id = %[1]d`, 1000+100*n, 1099+100*n))
	}
	writer.db.Exec(t, `ALTER TABLE post ADD COLUMN more int DEFAULT 1`)
	writer.db.Exec(t, `CREATE INDEX ON post (more)`)
	published(t, writer.db)
	writer.pgbridge(t, "checkpoint", "create")
	writer.db.Exec(t, `INSERT INTO post VALUES (500, 'after the checkpoint')`)
	published(t, writer.db)
	reader := &site{env: []string{"PGBRIDGE_ARCHIVE=dir://" + one + "," + url}} // no database, no key
	var clean verifyReport
	eventually(t, "verify is clean", func() error { // the checkpoint's mark may still be on its way
		_, stderr, code := reader.try(t, "verify", "--db-id", id)
		if code != 0 {
			return errors.New(stderr)
		}
		return nil
	})
	clean = verify(t, reader, 0, "--db-id", id)
	if clean.Complete.Seq < 12 || clean.Checkpoints != 1 || clean.Chunks < 3 {
		t.Errorf("clean: got %+v, want 12 records or more, a checkpoint and its chunks", clean)
	}
	running.stop(t)

	text := reader.pgbridge(t, "verify", "--db-id", id)
	if want := fmt.Sprintf("complete up to record %d of epoch 1 (", clean.Complete.Seq); !strings.Contains(text, want) || !strings.Contains(text, "1 checkpoints, ") {
		t.Errorf("verify: got\n%s\nwant %q and a checkpoint", text, want)
	}

	changeFile(t, one, "000000000004-actions-*.item", nothing)
	changeFile(t, one, "000000000006-actions-*.item", cutShort)
	changeFile(t, one, "000000000008-actions-*.item", flipped)
	changeFile(t, one, "000000000001-chunk-*.item", nothing)
	changeFile(t, one, "000000000002-chunk-*.item", flipped)
	changeFile(t, one, "000000000001-checkpoint-*.item", nothing)
	changeFile(t, nodeDir, "000000000010-actions-*.item", flipped)
	r := verify(t, reader, 3, "--db-id", id)
	want := map[string]bool{
		"missing actions 4": true, "damaged actions 6": true, "damaged actions 8": true, "missing chunk 1": true, "damaged chunk 2": true,
		"missing checkpoint 1": true, "damaged actions 10": true,
	}
	for _, f := range r.Faults {
		name := fmt.Sprintf("%s %s %d", f.Kind, f.Type, f.First)
		if !want[name] || len(f.Has) != 1 {
			t.Errorf("got fault %+v, want one of %v, and that one archive has it", f, want)
		}
		delete(want, name)
	}
	if len(want) > 0 || r.Complete.Seq != clean.Complete.Seq {
		t.Errorf("got complete up to %d, not found: %v, want %d and nothing", r.Complete.Seq, want, clean.Complete.Seq)
	}

	if r := verify(t, reader, 0, "--db-id", id, "--repair"); r.Repaired != 7 {
		t.Errorf("repair: got %d repaired, want 7", r.Repaired)
	}
	if r := verify(t, reader, 0, "--db-id", id, "--repair"); r.Repaired != 0 {
		t.Errorf("repair again: got %d repaired, want 0", r.Repaired)
	}
	for _, archive := range []string{"dir://" + one, url} {
		alone := &site{env: []string{"PGBRIDGE_ARCHIVE=" + archive}}
		if r := verify(t, alone, 0, "--db-id", id); r.Complete.Seq != clean.Complete.Seq || r.Chunks != clean.Chunks {
			t.Errorf("%s after the repair: got %+v, want %+v", archive, r, clean)
		}
		restored := pgtest.New(t)
		newSite(t, restored, archive).pgbridge(t, "restore", "--db-id", id)
		pgtest.RequireEqual(t, pgtest.Dump(t, restored), pgtest.Dump(t, writer.db))
	}
	aside, err := filepath.Glob(filepath.Join(one, "damaged", "*"))
	if err != nil || len(aside) != 3 {
		t.Errorf("set aside: got %v, %v, want 3 files", aside, err)
	}
}

// compared is what the tests read of verify --database --json.
type compared struct {
	Checkpoint, Found, Rows int64
	Differences             []struct {
		Kind, Table string
		Times       int
		Key         []struct{ Name, Value string }
		Columns     []struct{ Name, Old, New string }
	}
}

func compareDatabase(t testing.TB, s *site, want int) (c compared) {
	t.Helper()
	stdout, stderr, code := s.try(t, "verify", "--database", "--json")
	if code != want {
		t.Fatalf("verify --database: got exit code %d, want %d\n%s%s", code, want, stdout, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), &c); err != nil {
		t.Fatalf("verify --database --json: %v: %s", err, stdout)
	}
	return c
}

func (c *compared) lines() string {
	var all []string
	for _, d := range c.Differences {
		line := d.Kind + " " + d.Table
		for _, k := range d.Key {
			line += " " + k.Name + "=" + k.Value
		}
		for _, k := range d.Columns {
			line += fmt.Sprintf(" %s:%s>%s", k.Name, k.Old, k.New)
		}
		if d.Times > 0 {
			line += fmt.Sprintf(" x%d", d.Times)
		}
		all = append(all, line)
	}
	return strings.Join(all, "\n")
}

// A follower, the writer, and a restored copy are compared with the log, from the
// genesis and from a checkpoint, and what somebody changed is found.
func TestVerifyDatabase(t *testing.T) {
	t.Parallel()
	source, follower, url := pgtest.New(t), pgtest.New(t), "dir://"+t.TempDir()
	source.Exec(t, `CREATE TABLE item (id int PRIMARY KEY, name text, big text); ALTER TABLE item ALTER big SET STORAGE EXTERNAL;
		INSERT INTO item SELECT n, 'n' || n, repeat(md5(n::text), 100) FROM generate_series(1, 300) n;
		CREATE TABLE still (a int, b text, PRIMARY KEY (b, a)); INSERT INTO still SELECT n, 'b' || n FROM generate_series(1, 50) n;
		CREATE TABLE loose (note text, n float8); ALTER TABLE loose REPLICA IDENTITY FULL; INSERT INTO loose VALUES ('same', 1.5), ('same', 1.5), (NULL, NULL), ('', 'NaN');
		CREATE TABLE part (id int, at int, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
		CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10); CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (10) TO (20);
		INSERT INTO part SELECT n, n % 20 FROM generate_series(1, 60) n;
		CREATE TABLE counted (id serial PRIMARY KEY, v int)`)
	writer := newSite(t, source, url).withKey(t)
	id := strings.TrimSpace(writer.pgbridge(t, "init", "--name", "compare"))
	writer.start(t, "run")
	peer := newSite(t, follower, url)
	eventually(t, "join", func() error { return peer.tryJoin(t, id) })
	following := peer.start(t, "run")
	change := func() {
		source.Exec(t, `UPDATE item SET id = id + 1000 WHERE id % 50 = 0 AND id < 1000 AND id + 1000 NOT IN (SELECT id FROM item); UPDATE item SET name = 'moved' WHERE id > 1000;
			DELETE FROM item WHERE id % 7 = 1; INSERT INTO item VALUES (5000 + (SELECT count(*) FROM item), E'tab\tand\nline', NULL);
			UPDATE loose SET n = coalesce(n, 0) + 1; DELETE FROM loose WHERE ctid IN (SELECT ctid FROM loose WHERE note = 'same' LIMIT 1); INSERT INTO loose VALUES ('same', 9);
			UPDATE part SET at = 19 - at WHERE id % 9 = 0; TRUNCATE counted; INSERT INTO counted (v) SELECT n FROM generate_series(1, 20) n`)
	}
	checkEqual := func(name string, s *site, checkpoint bool) {
		t.Helper()
		c := compareDatabase(t, s, 0)
		if c.Found != 0 || c.Rows < 300 || checkpoint != (c.Checkpoint > 0) {
			t.Errorf("%s: got %+v, want no differences, all rows, from a checkpoint: %v", name, c, checkpoint)
		}
	}
	change()
	sameData(t, source, follower)
	checkEqual("follower from the genesis", peer, false)
	checkEqual("writer from the genesis", writer, false)
	writer.pgbridge(t, "checkpoint", "create")
	change()
	published(t, writer.db)
	sameData(t, source, follower)
	checkEqual("writer from a checkpoint", writer, true)
	eventually(t, "the follower is past the checkpoint", func() error {
		if c := compareDatabase(t, peer, 0); c.Checkpoint == 0 {
			return errors.New("from the genesis")
		}
		return nil
	})
	restored := newSite(t, pgtest.New(t), url)
	restored.pgbridge(t, "restore", "--db-id", id)
	checkEqual("restored copy", restored, true)

	following.stop(t)
	for _, test := range []struct{ name, sabotage, want, repair string }{
		{"one byte", `UPDATE item SET name = 'n3' || chr(0 + 33) WHERE id = 3`, "differs public.item id=3 name:n3>n3!", `UPDATE item SET name = 'n3' WHERE id = 3`},
		{"one byte in a table at rest", `UPDATE still SET a = 51 WHERE a = 50`, "extra public.still a=51 b=b50\nmissing public.still a=50 b=b50", `UPDATE still SET a = 50 WHERE a = 51`},
		{"a missing row", `DELETE FROM part WHERE id = 11`, "missing public.part id=11 at=11", `INSERT INTO part VALUES (11, 11)`},
		{"an extra row", `INSERT INTO item VALUES (7777, NULL, NULL)`, "extra public.item id=7777", `DELETE FROM item WHERE id = 7777`},
		{"NULL for empty", `UPDATE loose SET note = NULL WHERE note = ''`, "extra public.loose note= n=NaN x1\nmissing public.loose note= n=NaN x1", `UPDATE loose SET note = '' WHERE n = 'NaN'`},
		{"a sequence behind", `SELECT setval('counted_id_seq', 3)`, "behind public.counted_id_seq value:40>3", `SELECT setval('counted_id_seq', 40)`},
		{"a table gone", `ALTER TABLE still RENAME TO quiet`, "table public.still", `ALTER TABLE quiet RENAME TO still`},
	} {
		follower.Exec(t, test.sabotage)
		c := compareDatabase(t, peer, 3)
		got := strings.Split(c.lines(), "\n")
		slices.Sort(got)
		if text := strings.Join(got, "\n"); text != test.want {
			t.Errorf("%s: got\n%s\nwant\n%s", test.name, text, test.want)
		}
		follower.Exec(t, test.repair)
	}
	checkEqual("follower, mended", peer, true)

	source.Exec(t, `CREATE INDEX ON item (name)`)
	source.Exec(t, `INSERT INTO item VALUES (9998, 'indexed', NULL)`)
	checkEqual("after an index was made", writer, true)
	source.Exec(t, `ALTER TABLE item ADD COLUMN more int DEFAULT 7`)
	source.Exec(t, `INSERT INTO item VALUES (9999, 'new', NULL, 8)`)
	published(t, writer.db)
	if stdout, stderr, code := writer.try(t, "verify", "--database"); code != 0 || !strings.Contains(stdout, "could be compared in public.item\n") {
		t.Errorf("after a new column: got exit code %d, %s%s, want it to be equal as far as that can be told", code, stdout, stderr)
	}
	source.Exec(t, `ALTER TABLE item RENAME COLUMN id TO number`)
	source.Exec(t, `INSERT INTO item VALUES (10000, 'newer', NULL, 8)`)
	published(t, writer.db)
	if _, stderr, code := writer.try(t, "verify", "--database"); code == 0 || !strings.Contains(stderr, "checkpoint create") {
		t.Errorf("after a change of a table: got exit code %d, %s, want it to ask for a checkpoint", code, stderr)
	}
	writer.pgbridge(t, "checkpoint", "create")
	published(t, writer.db)
	eventually(t, "compared from the new checkpoint", func() error {
		if stdout, stderr, code := writer.try(t, "verify", "--database"); code != 0 || !strings.Contains(stdout, "from checkpoint 2") {
			return errors.New(stdout + stderr)
		}
		return nil
	})
}
