//go:build regress

package integration

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/internal/bridgetest"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// A follower hears of PostgreSQL's own regression tests while they run: thousands
// of statements that change the schema, among the rows. After each group of files
// it has the schema and the rows of its source, and no statement has failed at
// the source because of pgbridge.
func TestPostgresRegressionLive(t *testing.T) {
	t.Parallel()
	s := newRegressionStream(t)
	for _, group := range regressionGroups(t, s.tests) {
		t.Run(group[0], func(t *testing.T) {
			s.run(t, group)
			s.applied(t)
			pgtest.RequireEqual(t, schemaOf(t, s.follower), schemaOf(t, s.source))
			pgtest.RequireEqual(t, pgtest.Dump(t, s.follower, "--no-unlogged-table-data"), pgtest.Dump(t, s.source, "--no-unlogged-table-data"))
		})
		if t.Failed() {
			return // what follows would fail of the same
		}
	}
	sameSequences(t, s.source, s.follower)
	sameMaterialized(t, s.source, s.follower)
}

// sameMaterialized requires materialized views to hold the same rows: REFRESH has
// its place among the changes.
func sameMaterialized(t *testing.T, source, follower *pgtest.DB) {
	t.Helper()
	views := source.Query(t, `SELECT oid::regclass FROM pg_class WHERE relkind = 'm' AND relispopulated ORDER BY oid`)
	for _, row := range views {
		digest := "SELECT count(*) || ' ' || coalesce(sum(hashtextextended(v::text, 0)), 0) FROM " + row[0] + " v"
		if got, want := follower.Value(t, digest), source.Value(t, digest); got != want {
			t.Errorf("%s: got %s, want %s", row[0], got, want)
		}
	}
	if len(views) == 0 {
		t.Error("the tests left no materialized view")
	}
}

// regressionStream is a source and its follower, on servers of their own: the
// roles of the tests come and go at the source only.
type regressionStream struct {
	tests, input, out     string // folders
	source, follower      *pgtest.DB
	publishing, following *process
}

func newRegressionStream(t *testing.T) *regressionStream {
	t.Helper()
	from, to := pgtest.Start(t, pgtest.Config{NoSync: true}), pgtest.Start(t, pgtest.Config{NoSync: true})
	tests := regressionTests(t, from)
	s := &regressionStream{tests: tests, input: regressionInput(t, tests), out: openFolder(t), source: regressionDatabase(t, from), follower: to.Database(t)}
	for role := range s.roles(t) {
		s.follower.Exec(t, "CREATE ROLE "+role)
	}
	node, _ := startNode(t, t.TempDir())
	writer, copied := newSite(t, s.source, node).withKey(t), newSite(t, s.follower, node)
	id := strings.TrimSpace(writer.pgbridge(t, "init", "--name", "regression", "--tables", "all"))
	s.publishing = writer.start(t, "run")
	eventually(t, "the follower joins", func() error { return copied.tryJoin(t, id, "--no-owner", "--no-privileges") })
	s.following = copied.start(t, "run")
	return s
}

// regressionDatabase is what pg_regress would make: the tests name it.
func regressionDatabase(t *testing.T, cluster *pgtest.Cluster) *pgtest.DB {
	t.Helper()
	cluster.Database(t).Exec(t, "CREATE DATABASE regression TEMPLATE template0")
	db := &pgtest.DB{Name: "regression", Cluster: cluster}
	for _, setting := range []string{"lc_messages = 'C'", "lc_monetary = 'C'", "lc_numeric = 'C'", "lc_time = 'C'", "bytea_output = 'hex'", "timezone_abbreviations = 'Default'"} {
		db.Exec(t, "ALTER DATABASE regression SET "+setting)
	}
	return db
}

var createRole = regexp.MustCompile(`(?mi)^\s*CREATE (?:ROLE|USER|GROUP) ("?regress\w+"?)`)

// roles are all that the tests ever make. Policies name some: they must be at
// the follower when such a policy comes.
func (s *regressionStream) roles(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, group := range regressionGroups(t, s.tests) {
		for _, file := range group {
			for _, found := range createRole.FindAllStringSubmatch(readFile(t, filepath.Join(s.tests, "sql", file+".sql")), -1) {
				all[found[1]] = true
			}
		}
	}
	return all
}

// run runs files at the source, one after the other.
func (s *regressionStream) run(t *testing.T, files []string) {
	t.Helper()
	args := append([]string{
		"--use-existing", "--inputdir=" + s.input, "--outputdir=" + s.out, "--dlpath=" + filepath.Join(s.tests, "lib"),
		"--bindir=" + filepath.Dir(s.source.Cluster.Client(t, "psql")), "--dbname=" + s.source.Name,
	}, files...)
	cmd := exec.Command(filepath.Join(s.tests, "pg_regress"), args...)
	cmd.Env = regressionEnv(s.source)
	text, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) { // it ends with 1 where a result is another
		t.Fatalf("pg_regress: %v: %s", err, lastLines(string(text), 12))
	}
	for _, file := range files {
		s.requireUndisturbed(t, file)
	}
}

// ownErrors are those that the source gives because of pgbridge, and what says so.
var ownErrors = regexp.MustCompile(`cannot change table "\w+" to unlogged because it is part of a publication`) // the server's rule: docs/schema-changes.md

// requireUndisturbed requires the errors in the results of a file to be those that
// are expected of it.
func (s *regressionStream) requireUndisturbed(t *testing.T, file string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(s.input, "expected", file+"*.out"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no results are expected of %s: %v", file, err)
	}
	var expected strings.Builder
	for _, name := range names {
		expected.WriteString(readFile(t, name))
	}
	for line := range strings.Lines(readFile(t, filepath.Join(s.out, "results", file+".out"))) {
		if strings.HasPrefix(line, "ERROR:") && !strings.Contains(expected.String(), line) && !ownErrors.MatchString(line) {
			t.Errorf("%s at the source: %s", file, line)
		}
	}
}

// applied waits until the follower has all that is committed at the source.
func (s *regressionStream) applied(t *testing.T) {
	t.Helper()
	at := s.source.Value(t, `SELECT pg_logical_emit_message(true, 'test', 'mark')`)
	// Thousands of statements, each of which costs for every table that there is.
	bridgetest.EventuallyIn(t, 6*time.Minute, "applied", func() error {
		for _, p := range []*process{s.publishing, s.following} {
			select {
			case <-p.exited:
				t.Fatalf("pgbridge ended: %s", lastLines(p.String(), 3))
			default:
			}
		}
		if err := unpublished(t, s.source, at); err != nil {
			return err
		}
		head := s.source.Value(t, `SELECT epoch || ':' || seq FROM pgbridge.chain`)
		if got := s.follower.Value(t, `SELECT coalesce(max(epoch || ':' || seq) FILTER (WHERE complete), 'nothing whole') FROM pgbridge.progress`); got != head {
			return fmt.Errorf("the follower is at %s of %s", got, head)
		}
		return nil
	})
}
