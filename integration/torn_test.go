package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// Whoever is destroyed while a large transaction is on its way leaves its first
// parts in the archive. A restore has everything before it, and says what it leaves
// out. If the rest comes after all, a follower goes on with it.
func TestRestoreTornTransaction(t *testing.T) {
	t.Parallel()
	s := newFolderSite(t, `CREATE TABLE small (id int PRIMARY KEY); CREATE TABLE big (id int PRIMARY KEY, v text)`)
	s.db.Exec(t, "INSERT INTO small VALUES (1), (2)")
	before := contents(t, s.db)
	s.db.Exec(t, "INSERT INTO big SELECT n, repeat(md5(n::text), 3000) FROM generate_series(1, 400) n; DELETE FROM small")
	published(t, s.db)
	s.run.stop(t)

	files := s.recordFiles(t)
	last, away := files[len(files)-1], filepath.Join(t.TempDir(), "away")
	if err := os.Rename(last, away); err != nil {
		t.Fatal(err)
	}
	torn := pgtest.New(t)
	r := s.copyIn(t, torn).restore(t, s.id)
	pgtest.RequireEqual(t, contents(t, torn), before)
	if len(r.LeftOut) != 1 || !strings.Contains(r.LeftOut[0], "a transaction that ends in no archive") {
		t.Errorf("left out: got %q, want the transaction whose end is not there", r.LeftOut)
	}

	if out := s.pgbridge(t, "verify", "--db-id", s.id); !strings.Contains(out, "it ends inside of a transaction") {
		t.Errorf("verify: got %q, want it to say that the chain ends inside of a transaction", out)
	}
	if _, said, code := s.try(t, "history", "public.big", "1", "--db-id", s.id); code != 1 || !strings.Contains(said, "the chain has no such row") {
		t.Errorf("history: got exit code %d and %q, want nothing of a row that was never there", code, said)
	}
	if out := s.pgbridge(t, "diff", "--db-id", s.id, "--from", "1:1"); !strings.Contains(out, "2 inserted, 0 updated, 0 deleted") {
		t.Errorf("diff: got %.300q, want the two rows of the whole transaction", out)
	}

	if err := os.Rename(away, last); err != nil {
		t.Fatal(err)
	}
	s.copyIn(t, torn).start(t, "run")
	torn.Wait(t, "0 400", "SELECT (SELECT count(*) FROM small) || ' ' || (SELECT count(*) FROM big)")
	pgtest.RequireEqual(t, pgtest.Dump(t, torn), pgtest.Dump(t, s.db))
}

// recordFiles are the files of the records with actions in the archive, in the
// order of their numbers.
func (s *folderSite) recordFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.dir, s.id, "*", "1", "*", "*-actions-*.item"))
	if err != nil || len(files) < 3 {
		t.Fatalf("found %d records with actions (%v), want several", len(files), err)
	}
	slices.Sort(files)
	return files
}
