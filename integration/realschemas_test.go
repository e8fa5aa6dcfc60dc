package integration

import (
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// realSchema is a database as people have them, and what happens to it.
type realSchema struct {
	name string
	make func(testing.TB, *pgtest.DB)
	live func(testing.TB, *pgtest.DB)
}

var realSchemas = []realSchema{{
	name: "films",
	make: func(t testing.TB, db *pgtest.DB) { db.Exec(t, films) },
	live: func(t testing.TB, db *pgtest.DB) {
		for _, sql := range filmsDay {
			db.Exec(t, sql)
		}
	},
}, {
	name: "pgbench",
	make: func(t testing.TB, db *pgtest.DB) {
		db.Run(t, "pgbench", "--initialize", "--quiet", "--scale=2", "--foreign-keys")
		db.Exec(t, "ALTER TABLE pgbench_history REPLICA IDENTITY FULL")
	},
	live: runPgbench,
}, {
	name: "pgbench in partitions, unlogged until now",
	make: func(t testing.TB, db *pgtest.DB) {
		db.Run(t, "pgbench", "--initialize", "--quiet", "--scale=1", "--partitions=7", "--partition-method=hash", "--fillfactor=70")
		db.Exec(t, `ALTER TABLE pgbench_history REPLICA IDENTITY FULL; ALTER TABLE pgbench_tellers SET UNLOGGED; ALTER TABLE pgbench_tellers SET LOGGED`)
	},
	live: runPgbench,
}}

func runPgbench(t testing.TB, db *pgtest.DB) {
	db.Run(t, "pgbench", "--no-vacuum", "--client=4", "--transactions=150")
	db.Exec(t, "DELETE FROM pgbench_history WHERE aid % 3 = 0; UPDATE pgbench_accounts SET filler = repeat('x', aid % 84) WHERE aid % 500 = 0")
}

// A database as people have them comes back as it was, definitions and rows:
// replayed from its beginning, from a checkpoint, and from one that is older.
func TestRealSchemas(t *testing.T) {
	t.Parallel()
	for _, s := range realSchemas {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			cluster := pgtest.Start(t, pgtest.Config{NoSync: true})
			source := cluster.Database(t)
			s.make(t, source)
			node, _ := startNode(t, t.TempDir())
			writer := newSite(t, source, node).withKey(t)
			id := strings.TrimSpace(writer.pgbridge(t, "init", "--name", s.name))
			writer.start(t, "run")
			writer.pgbridge(t, "checkpoint", "create")
			s.live(t, source)
			writer.pgbridge(t, "checkpoint", "create")
			published(t, source)
			for _, from := range []string{"none", "1", "2"} {
				copied := cluster.Database(t)
				newSite(t, copied, node).pgbridge(t, "restore", "--db-id", id, "--checkpoint", from)
				sameDatabase(t, source, copied)
				if from == "2" {
					sameViews(t, source, copied)
				}
			}
		})
	}
}

// sameViews requires the materialized views to hold the same rows, once those of
// the source are up to date.
func sameViews(t testing.TB, source, copied *pgtest.DB) {
	t.Helper()
	for _, row := range source.Query(t, `SELECT oid::regclass FROM pg_class WHERE relkind = 'm' AND relispopulated ORDER BY oid`) {
		source.Exec(t, "REFRESH MATERIALIZED VIEW "+row[0])
		digest := "SELECT count(*) || ' ' || coalesce(sum(hashtextextended(v::text, 0)), 0) FROM " + row[0] + " v"
		if got, want := copied.Value(t, digest), source.Value(t, digest); got != want {
			t.Errorf("%s: got %s, want %s", row[0], got, want)
		}
	}
}

// sameDatabase requires two databases to have the same definitions but for
// rights and owners, which do not travel, the same rows, and no sequence that is behind.
func sameDatabase(t testing.TB, source, copied *pgtest.DB) {
	t.Helper()
	pgtest.RequireEqual(t, pgtest.DumpSchema(t, copied, "--no-acl", "--no-owner"), pgtest.DumpSchema(t, source, "--no-acl", "--no-owner"))
	pgtest.RequireEqual(t, pgtest.Dump(t, copied), pgtest.Dump(t, source))
	sameSequences(t, source, copied)
}
