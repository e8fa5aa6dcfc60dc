package postgres

import "testing"

// A schema change waits for no table that another session is changing: they would
// wait for each other.
func TestWatchSchemaLocksNothingElse(t *testing.T) {
	db, admin, _ := watched(t, ScopeAll)
	mustExec(t, admin, `CREATE TABLE public.p (x int PRIMARY KEY) PARTITION BY LIST (x); CREATE TABLE public.p1 PARTITION OF public.p FOR VALUES IN (1);
		CREATE TABLE public.parent (x int PRIMARY KEY); CREATE TABLE public.child () INHERITS (public.parent)`)
	changing := begin(t, connect(t, db.URL()))
	mustExec(t, changing, `LOCK public.p, public.p1, public.parent, public.child IN ACCESS EXCLUSIVE MODE; ALTER TABLE public.p1 ADD CHECK (x > 0)`)
	other := connect(t, db.URL())
	mustExec(t, other, `SET lock_timeout = '5s'`)
	for _, statement := range []string{
		`CREATE TABLE public.fresh (x int PRIMARY KEY)`, `ALTER TABLE public.fresh ADD y text`, `ALTER TABLE public.fresh DROP CONSTRAINT fresh_pkey`, `DROP TABLE public.fresh`,
		`CREATE TABLE public.q (x int) PARTITION BY LIST (x)`, `CREATE TABLE public.q1 PARTITION OF public.q DEFAULT`, `DROP TABLE public.q`, `CREATE VIEW public.v AS SELECT 1 AS one`,
	} {
		if _, err := other.Exec(t.Context(), statement); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
}
