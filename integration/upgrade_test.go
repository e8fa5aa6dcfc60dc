package integration

import (
	"context"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/internal/pgtest"
	"github.com/pgbridge/pgbridge/sql"
)

// makeOlder makes schema pgbridge what a version before the last migration would have
// left: without its tables, with other texts of functions, and without one of them.
func makeOlder(t testing.TB, db *pgtest.DB) {
	t.Helper()
	files, err := fs.Glob(sql.Tables, "tables/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	text, err := fs.ReadFile(sql.Tables, files[len(files)-1])
	if err != nil {
		t.Fatal(err)
	}
	var tables []string
	for _, m := range regexp.MustCompile(`(?m)^CREATE TABLE (pgbridge\.\w+)`).FindAllSubmatch(text, -1) {
		tables = append(tables, string(m[1]))
	}
	db.Exec(t, fmt.Sprintf(`DROP TABLE %s; DROP FUNCTION pgbridge.service_rights();
		CREATE OR REPLACE FUNCTION pgbridge.base_type(type oid) RETURNS oid LANGUAGE sql AS 'SELECT 1/0; SELECT $1';
		UPDATE pgbridge.installed SET (tables, revision) = (%d, 0); UPDATE pgbridge.function_file SET digest = 'old'`,
		strings.Join(tables, ", "), len(files)-1))
}

// write writes until stop is closed, in transactions that a follower can tell whether
// it has them once.
func write(ctx context.Context, url string, client int, stop <-chan struct{}) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	for n := 0; ; n++ {
		select {
		case <-stop:
			return nil
		default:
		}
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "INSERT INTO app.entry VALUES ($1, $2, nextval('app.ticket'))", client, n)
			if err == nil {
				_, err = tx.Exec(ctx, "UPDATE app.total SET entries = entries + 1 WHERE client = $1", client)
			}
			if err == nil && n%200 == 0 {
				_, err = tx.Exec(ctx, fmt.Sprintf("CREATE TABLE app.made_%d_%d (id int PRIMARY KEY); INSERT INTO app.made_%[1]d_%d VALUES (1)", client, n))
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("client %d, transaction %d: %w", client, n, err)
		}
	}
}

// A publishing and a following database are upgraded while they are at work: no row
// is lost, and none comes twice. Before that the service says what is to be done, and
// does nothing; so does a program that is older than the schema.
func TestUpgradeUnderLoad(t *testing.T) {
	t.Parallel()
	source, follower := pgtest.New(t), pgtest.New(t)
	source.Exec(t, `CREATE SCHEMA app; CREATE SEQUENCE app.ticket;
		CREATE TABLE app.entry (client int, n int, ticket bigint); ALTER TABLE app.entry REPLICA IDENTITY FULL;
		CREATE TABLE app.total (client int PRIMARY KEY, entries bigint NOT NULL); INSERT INTO app.total VALUES (1, 0), (2, 0)`)
	url, _ := startNode(t, t.TempDir())
	writer := newSite(t, source, url).withKey(t)
	id := strings.TrimSpace(writer.pgbridge(t, "init", "--name", "app"))
	service := writer.as("pgbridge")
	publishing := service.start(t, "run")
	peer := newSite(t, follower, url)
	eventually(t, "joined", func() error { return peer.tryJoin(t, id) })
	following := peer.start(t, "run")
	follower.Wait(t, "2", "SELECT count(*) FROM app.total")

	stop := make(chan struct{})
	var wg sync.WaitGroup
	for client := 1; client <= 2; client++ {
		wg.Go(func() {
			if err := write(t.Context(), source.URL(), client, stop); err != nil {
				t.Error(err)
			}
		})
	}
	for range 2 {
		makeOlder(t, source)
		makeOlder(t, follower)
		if _, stderr, code := service.try(t, "run"); code != 3 || !strings.Contains(stderr, "older than this pgbridge") || !strings.Contains(stderr, "pgbridge init") {
			t.Errorf("run on an older schema: exit code %d, want 3: %s", code, stderr)
		}
		writer.pgbridge(t, "init")
		peer.pgbridge(t, "init")
		had := source.Value(t, "SELECT sum(entries) FROM app.total")
		source.Wait(t, "t", "SELECT sum(entries) > $1::text::int + 100 FROM app.total", had)
		follower.Wait(t, "t", "SELECT sum(entries) > $1::text::int + 50 FROM app.total", had)
	}
	if code := publishing.stop(t); code != 0 {
		t.Errorf("run during the upgrades: exit code %d", code)
	}
	if code := following.stop(t); code != 0 {
		t.Errorf("run of the follower during the upgrades: exit code %d", code)
	}
	service.start(t, "run")
	peer.start(t, "run")
	close(stop)
	wg.Wait()
	if got := source.Value(t, "SELECT (SELECT sum(entries) FROM app.total) = (SELECT count(*) FROM app.entry)"); got != "t" {
		t.Fatal("the load is not what it says")
	}
	sameData(t, source, follower)
	writer.as("pgbridge").checkpoint(t) // of the tables that were made anew
	requireRestore(t, pgtest.New(t), url, id, source)

	source.Exec(t, "UPDATE pgbridge.installed SET revision = 1000000")
	for _, args := range [][]string{{"run"}, {"init"}, {"init", "--name", "app"}, {"status"}, {"check"}} {
		if _, stderr, code := writer.try(t, args...); code != 3 || !strings.Contains(stderr, "newer pgbridge: update this one") {
			t.Errorf("%v on a newer schema: exit code %d, want 3: %s", args, code, stderr)
		}
	}
}
