package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// newestServer is the folder of the newest server that make postgres-versions got,
// or empty.
func newestServer() string {
	folders := []string{"/var/cache/pgbridge-test"}
	if cache, err := os.UserCacheDir(); err == nil {
		folders = append(folders, filepath.Join(cache, "pgbridge-test"))
	}
	best, bestMajor := "", 0
	for _, folder := range folders {
		found, _ := filepath.Glob(filepath.Join(folder, "pg[0-9]*", "bin", "postgres"))
		for _, path := range found {
			major, _ := strconv.Atoi(regexp.MustCompile(`\d+$`).FindString(filepath.Dir(filepath.Dir(path))))
			if major > bestMajor {
				best, bestMajor = filepath.Dir(path), major
			}
		}
	}
	return best
}

// TestRestoreIntoNewerMajor restores into the newest server at hand; where there is
// only one, into another cluster of it.
func TestRestoreIntoNewerMajor(t *testing.T) {
	s := newShop(t)
	sell(t, s.db, 10)
	s.checkpointed(t)
	sell(t, s.db, 10)
	published(t, s.db)
	want := pgtest.Dump(t, s.db) + pgtest.Sequences(t, s.db)
	if dir := newestServer(); dir != "" {
		t.Setenv("PGBRIDGE_SERVER_BINDIR", dir)
	}
	cluster := pgtest.Start(t, pgtest.Config{NoSync: true})
	if cluster.Major() < s.db.Cluster.Major() {
		t.Logf("the newest server at hand is %d, older than the source's %d", cluster.Major(), s.db.Cluster.Major())
	}
	for _, from := range []string{"1", "none"} {
		db := cluster.Database(t)
		s.copyIn(t, db).restore(t, s.id, "--checkpoint", from)
		pgtest.RequireEqual(t, pgtest.Dump(t, db)+pgtest.Sequences(t, db), want)
		if got := db.Value(t, "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = 'app'::regnamespace AND NOT i.indisvalid"); got != "0" {
			t.Errorf("%s indexes are not valid", got)
		}
	}
}
