package integration

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/archive"
)

// Anyone can post an item with the tags of a record that comes after the last. It
// keeps nobody from reading the chain.
func TestListedAfterTheEnd(t *testing.T) {
	t.Parallel()
	s := newFolderSite(t, `CREATE TABLE t (id int PRIMARY KEY)`)
	for _, id := range []string{"1", "2"} {
		s.db.Exec(t, "INSERT INTO t VALUES ("+id+")")
		published(t, s.db)
	}
	s.run.stop(t)
	files := s.recordFiles(t)
	raw, err := os.ReadFile(files[len(files)-1])
	if err != nil {
		t.Fatal(err)
	}
	item, err := archive.ParseItem(raw)
	if err != nil {
		t.Fatal(err)
	}
	for i, tag := range item.Tags {
		if tag.Name == "Seq" {
			item.Tags[i].Value = strconv.Itoa(50)
		}
	}
	forged, err := archive.SignItem(archive.KeyWallet(archive.KeyFromSeed([32]byte{9})), item.Tags, item.Data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&archive.Folder{Dir: s.dir}).Put(t.Context(), forged.Bytes); err != nil {
		t.Fatal(err)
	}
	if out := s.pgbridge(t, "history", "--db-id", s.id, "public.t", "2"); !strings.Contains(out, "insert id=2") {
		t.Errorf("history: got %q, want the insert", out)
	}
	if out := s.pgbridge(t, "diff", "--db-id", s.id, "--from", "1:1"); !strings.Contains(out, "2 inserted, 0 updated, 0 deleted") {
		t.Errorf("diff: got %q, want two rows", out)
	}
	if out := s.pgbridge(t, "verify", "--db-id", s.id); !strings.Contains(out, "complete up to record") {
		t.Errorf("verify: got %q, want a chain that is whole", out)
	}
}
