package checkpoint

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// The fingerprint changes with everything that a schema consists of, and with
// what an older snapshot does not see rightly; and with nothing else.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(t, `CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1, 'x'); CREATE TYPE mood AS ENUM ('glad');
		CREATE VIEW v AS SELECT id FROM t; CREATE MATERIALIZED VIEW m AS SELECT id FROM t; CREATE SEQUENCE s;
		CREATE TABLE p (id int) PARTITION BY RANGE (id); CREATE TABLE p1 (id int)`)
	conn := db.Connect(t)
	before, err := fingerprint(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		statement string
		changes   bool
	}{
		{"INSERT INTO t VALUES (2, 'y')", false},
		{"ANALYZE", false},
		{"VACUUM t", false},
		{"REFRESH MATERIALIZED VIEW m", false},
		{"SELECT nextval('s')", false},
		{"CREATE TEMP TABLE own (id int PRIMARY KEY, v text)", false},
		{"REINDEX TABLE t", false},
		{"ALTER TABLE t ADD w int", true},
		{"ALTER TABLE t ALTER v SET NOT NULL", true},
		{"ALTER TABLE t ALTER w TYPE bigint", true},
		{"TRUNCATE t", true},
		{"VACUUM FULL t", true},
		{"CREATE INDEX ON t (v)", true},
		{"CREATE TABLE other (id int)", true},
		{"DROP TABLE other", true},
		{"ALTER TYPE mood ADD VALUE 'sad'", true},
		{"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", true},
		{"CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'", true},
		{"CREATE OR REPLACE VIEW v AS SELECT id + 1 AS id FROM t", true},
		{"ALTER SEQUENCE s RESTART", true},
		{"ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (1) TO (2)", true},
		{"ALTER TABLE t ADD CHECK (id > 0)", true},
		{"CREATE SCHEMA elsewhere", true},
		{"CREATE POLICY rule ON t USING (true)", true},
	} {
		db.Exec(t, test.statement)
		after, err := fingerprint(t.Context(), conn)
		if err != nil {
			t.Fatal(err)
		}
		if (after != before) != test.changes {
			t.Errorf("%s: changed is %v, want %v", test.statement, after != before, test.changes)
		}
		before = after
	}
}

// Two readers together keep to the rate.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := pace{rate: 1000}
		began := time.Now()
		for range 5 {
			if err := p.wait(t.Context(), 2000); err != nil {
				t.Fatal(err)
			}
		}
		if got := time.Since(began); got != 10*time.Second {
			t.Errorf("10000 bytes at 1000 a second: got %s, want 10s", got)
		}
		none := pace{}
		if err := none.wait(t.Context(), 1<<40); err != nil || time.Since(began) != 10*time.Second {
			t.Errorf("without a rate it waited: %v", err)
		}
	})
}
