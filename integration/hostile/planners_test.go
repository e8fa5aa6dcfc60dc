//go:build hostile

package hostile

import "testing"

// Whoever reads or writes a table runs what its owner has put into it: the planner
// computes constant expressions of indexes, statistics and keys. No session with
// other rights may do so.
var planners = []attack{
	{
		name: "rows are read for the stream, index predicate", as: []role{owner},
		setup: `{traps}; CREATE TABLE {me}.t (id int PRIMARY KEY); CREATE INDEX ON {me}.t (id) WHERE {me}.evil(); INSERT INTO {me}.t VALUES (1)`,
		sql:   []string{`ALTER TABLE {me}.t ADD COLUMN r float8 DEFAULT random()`},
	},
	{
		name: "rows are read for the stream, index expression", as: []role{owner},
		setup: `{traps}; CREATE TABLE {me}.t (id int PRIMARY KEY); CREATE INDEX ON {me}.t ((id + {me}.evil_number())); INSERT INTO {me}.t VALUES (1)`,
		sql:   []string{`ALTER TABLE {me}.t ADD COLUMN r float8 DEFAULT random()`},
	},
	{
		name: "rows are read for the stream, statistics", as: []role{owner},
		setup: `{traps}; CREATE TABLE {me}.t (id int PRIMARY KEY); CREATE STATISTICS {me}.s ON (id + {me}.evil_number()) FROM {me}.t; INSERT INTO {me}.t VALUES (1); ANALYZE {me}.t`,
		sql:   []string{`ALTER TABLE {me}.t ADD COLUMN r float8 DEFAULT random()`},
	},
	{
		name: "rows are read for the stream, partition key", as: []role{owner},
		setup: `{traps}; CREATE TABLE {me}.t (id int NOT NULL) PARTITION BY RANGE ((id + {me}.evil_number())); CREATE TABLE {me}.t1 PARTITION OF {me}.t DEFAULT; INSERT INTO {me}.t VALUES (1)`,
		sql:   []string{`ALTER TABLE {me}.t ADD COLUMN r float8 DEFAULT random()`},
	},
	{
		name: "rows are read for the stream, constraint exclusion", as: []role{owner},
		setup: `{traps}; CREATE TABLE {me}.t (id int PRIMARY KEY CHECK ({me}.evil() OR id > 0)); INSERT INTO {me}.t VALUES (1)`,
		sql:   []string{`SET constraint_exclusion = on; ALTER TABLE {me}.t ADD COLUMN r float8 DEFAULT random()`},
	},
	{
		name: "tables are read by commands", as: []role{owner},
		setup: `{traps}; CREATE TABLE {me}.t (id int PRIMARY KEY); CREATE INDEX ON {me}.t (id) WHERE {me}.evil(); CREATE INDEX ON {me}.t ((id + {me}.evil_number()));
			CREATE STATISTICS {me}.s ON (id + {me}.evil_number()) FROM {me}.t; INSERT INTO {me}.t VALUES (1);
			CREATE VIEW {me}.v AS SELECT {me}.deed(); CREATE TABLE {me}.p (id int NOT NULL) PARTITION BY RANGE ((id + {me}.evil_number()));
			CREATE TABLE {me}.p1 PARTITION OF {me}.p DEFAULT; INSERT INTO {me}.p VALUES (1);
			ALTER TABLE {me}.t ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON {me}.t USING ({me}.deed())`,
		play: func(t *testing.T, x *scene) {
			x.settle(t)
			for _, args := range [][]string{{"checkpoint", "create"}, {"status"}, {"check"}, {"verify", "--database", "--db-id", x.id}} {
				_, stderr, code := serving(x.admin, x.source).Try(t, args...)
				t.Logf("pgbridge %v: exit code %d %s", args, code, lastLines(stderr))
			}
		},
	},
}
