//go:build regress

package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
	"github.com/pgbridge/pgbridge/postgres"
)

// The database that PostgreSQL's own regression tests leave behind comes back as
// pg_dump would bring it back. It has nearly everything that a database can
// have. What cannot be carried is named by check.
func TestPostgresRegression(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.Config{NoSync: true})
	source := runRegression(t, cluster)
	node, _ := startNode(t, t.TempDir())
	writer := newSite(t, source, node).withKey(t)
	mendWhatCheckSays(t, writer)
	id := strings.TrimSpace(writer.pgbridge(t, "init", "--name", "regression"))
	requireAllPublished(t, source)
	writer.start(t, "run")
	writer.pgbridge(t, "checkpoint", "create")
	touchEverything(t, source)
	writer.pgbridge(t, "checkpoint", "create")
	published(t, source)

	want := copyByDump(t, source)
	for _, from := range []string{"none", "1", "2"} {
		got := cluster.Database(t)
		newSite(t, got, node).pgbridge(t, "restore", "--db-id", id, "--checkpoint", from)
		sameDatabase(t, want, got)
	}
}

// runRegression runs the regression tests of PostgreSQL against cluster. How
// they end does not matter, only what they leave.
func runRegression(t *testing.T, cluster *pgtest.Cluster) *pgtest.DB {
	t.Helper()
	tests := regressionTests(t, cluster)
	out := openFolder(t)
	db := &pgtest.DB{Name: "regression", Cluster: cluster}
	cmd := exec.Command(filepath.Join(tests, "pg_regress"), "--inputdir="+tests, "--outputdir="+out, "--dlpath="+filepath.Join(tests, "lib"),
		"--bindir="+filepath.Dir(cluster.Client(t, "psql")), "--schedule="+filepath.Join(tests, "parallel_schedule"), "--max-connections=4", "--dbname="+db.Name)
	cmd.Env = regressionEnv(db)
	text, err := cmd.CombinedOutput()
	t.Logf("pg_regress: %v: %s", err, lastLines(string(text), 12))
	return db
}

// regressionTests is the folder of the regression tests of a server's version.
func regressionTests(t *testing.T, cluster *pgtest.Cluster) string {
	t.Helper()
	get := exec.Command("../internal/pgtest/regress.sh", fmt.Sprint(cluster.Major()))
	get.Stderr = t.Output()
	folder, err := get.Output()
	if err != nil {
		t.Fatalf("get the regression tests of PostgreSQL %d: %v", cluster.Major(), err)
	}
	return strings.TrimSpace(string(folder))
}

// regressionEnv is where pg_regress finds a server. It chooses the database.
func regressionEnv(db *pgtest.DB) []string {
	return slices.DeleteFunc(db.Env(), func(v string) bool { return strings.HasPrefix(v, "PGDATABASE=") })
}

// openFolder is one that the server may write to, whoever it runs as.
func openFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgbridge-regress-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Mkdir(filepath.Join(dir, "results"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, filepath.Join(dir, "results")} {
		if err := os.Chmod(d, 0o777); err != nil { // for the server's user
			t.Fatal(err)
		}
	}
	return dir
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

var alterIdentity = regexp.MustCompile(`ALTER TABLE .* REPLICA IDENTITY FULL$`)

// mendWhatCheckSays does what check says, as its reader would: mending a
// partitioned table brings out its partitions. What is left must be known.
func mendWhatCheckSays(t *testing.T, s *site) {
	t.Helper()
	for range 3 {
		fatal := 0
		for _, f := range checked(t, s) {
			if f.Severity != postgres.Fatal {
				continue
			}
			fatal++
			fix := alterIdentity.FindString(f.Fix)
			if fix == "" {
				t.Fatalf("check gives no statement: %s", f)
			}
			s.db.Exec(t, fix)
		}
		if fatal == 0 {
			requireNamed(t, s)
			return
		}
	}
	t.Fatal("check finds more, however often it is followed")
}

func checked(t *testing.T, s *site) (all []postgres.Finding) {
	t.Helper()
	out, stderr, code := s.try(t, "check", "--json")
	if code != 0 && code != 3 {
		t.Fatalf("check: exit code %d: %s", code, stderr)
	}
	for line := range strings.Lines(out) {
		var f postgres.Finding
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	return all
}

// requireNamed requires check to name what the database has and does not
// travel.
func requireNamed(t *testing.T, s *site) {
	t.Helper()
	var ids []string
	for _, f := range checked(t, s) {
		ids = append(ids, f.ID)
	}
	for _, want := range []string{"unlogged", "large-objects", "materialized-views", "generated"} {
		if !slices.Contains(ids, want) {
			t.Errorf("check does not name %s; it names %v", want, ids)
		}
	}
}

// requireAllPublished requires every table whose rows are in the WAL to be in
// the publication, and that there are many.
func requireAllPublished(t *testing.T, db *pgtest.DB) {
	t.Helper()
	const left = `SELECT coalesce(string_agg(c.oid::regclass::text, ', '), 'none'), count(*) FROM pg_class c WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
		AND c.relnamespace::regnamespace::text !~ '^(pg_|information_schema|pgbridge)' AND c.oid NOT IN (SELECT prrelid FROM pg_publication_rel)`
	if got := db.Query(t, left)[0]; got[0] != "none" {
		t.Errorf("not published: %s", got[0])
	}
	if got := db.Value(t, `SELECT count(*) > 350 FROM pg_publication_rel`); got != "t" {
		t.Errorf("fewer than 350 tables are published: the tests did not run")
	}
}

// touchEverything changes rows of every table, so that each goes through the
// stream. Checks, triggers and unique keys may refuse some of it.
func touchEverything(t *testing.T, db *pgtest.DB) {
	t.Helper()
	done, refused := 0, 0
	for _, row := range db.Query(t, `SELECT c.oid::regclass, coalesce((SELECT quote_ident(attname) FROM pg_attribute a WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
			AND attgenerated = '' AND attidentity <> 'a' ORDER BY attnum DESC LIMIT 1), '') FROM pg_class c JOIN pg_publication_rel ON prrelid = c.oid ORDER BY c.oid`) {
		name, column := row[0], row[1]
		changes := []string{
			"INSERT INTO " + name + " SELECT * FROM " + name + " LIMIT 2",
			"DELETE FROM " + name + " WHERE ctid = (SELECT max(ctid) FROM " + name + ")",
		}
		if column != "" {
			changes = append(changes, fmt.Sprintf("UPDATE %s SET %s = %[2]s WHERE ctid < '(3,0)'", name, column), fmt.Sprintf("UPDATE %s SET %s = DEFAULT WHERE ctid = (SELECT min(ctid) FROM %[1]s)", name, column))
		}
		for _, sql := range changes {
			if err := db.ExecErr(sql); err != nil {
				refused++
				continue
			}
			done++
		}
	}
	t.Logf("%d changes, and %d that were refused", done, refused)
	if done < refused {
		t.Errorf("%d changes were refused and only %d were not", refused, done)
	}
}

// ownTriggers are those of pgbridge, which call what is in its schema.
var ownTriggers = regexp.MustCompile(`(?m)^(CREATE|ALTER) EVENT TRIGGER pgbridge[^;]*;$`)

// copyByDump is what pg_dump and psql make of a database. Columns that children
// inherited late have another place there, also without pgbridge.
func copyByDump(t *testing.T, db *pgtest.DB) *pgtest.DB {
	t.Helper()
	copied := db.Cluster.Database(t)
	dump := filepath.Join(t.TempDir(), "dump.sql")
	text := db.Run(t, "pg_dump", "--no-acl", "--no-owner", "--exclude-schema=pgbridge", "--no-publications", "--no-subscriptions", "--no-unlogged-table-data")
	if err := os.WriteFile(dump, []byte(ownTriggers.ReplaceAllString(text, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	copied.Run(t, "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "--file="+dump)
	return copied
}
