package postgres

import (
	"errors"
	"testing"
)

// What stands in the place of a table or sequence that was meant is not read, or not
// believed.
func TestNamesThatChangeTheirMeaning(t *testing.T) {
	_, conn := newDatabase(t)
	mustExec(t, conn, `CREATE TABLE public.ran (); CREATE FUNCTION public.trap() RETURNS int LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.ran DEFAULT VALUES; RETURN 1; END';
		CREATE SCHEMA app; CREATE TABLE app.t (x int PRIMARY KEY); INSERT INTO app.t VALUES (1);
		CREATE TABLE app.p (x int PRIMARY KEY) PARTITION BY RANGE (x); CREATE TABLE app.p1 PARTITION OF app.p DEFAULT; INSERT INTO app.p VALUES (2)`)
	tables, err := Tables(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	var meant []Table
	for _, table := range tables {
		if table.Name.Schema == "app" {
			meant = append(meant, table)
		}
	}
	read := func(swap string) error {
		mustExec(t, conn, swap)
		tx := begin(t, conn)
		defer func() { _ = tx.Rollback(t.Context()) }()
		if err := restrictReading(t.Context(), tx); err != nil {
			t.Fatal(err)
		}
		for _, table := range meant {
			for _, err := range Rows(t.Context(), tx, table) {
				if err != nil {
					return err
				}
			}
		}
		return RequireRead(t.Context(), tx, meant)
	}
	if err := read("SELECT 1"); err != nil {
		t.Errorf("as they were: %v", err)
	}
	const swap = "ALTER SCHEMA app RENAME TO was; CREATE SCHEMA app; CREATE TABLE app.p (x int); "
	if err := read(swap + "CREATE TABLE app.t (x int)"); !errors.Is(err, ErrRenamed) {
		t.Errorf("another table: got %v, want ErrRenamed", err)
	}
	if err := read("DROP TABLE app.t; CREATE VIEW app.t AS SELECT public.trap() AS x"); err == nil {
		t.Error("a view was read")
	}
	var ran int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM public.ran").Scan(&ran); err != nil || ran > 0 {
		t.Errorf("the function of the view ran %d times (%v)", ran, err)
	}
	if err := RequirePublished(t.Context(), conn, "none", meant); !errors.Is(err, ErrRenamed) {
		t.Errorf("a publication without the tables: got %v, want ErrRenamed", err)
	}
}

// A sequence that a transaction has locked is waited for a while only.
func TestLockedSequences(t *testing.T) {
	db, conn := newDatabase(t)
	mustExec(t, conn, "CREATE SEQUENCE public.s; CREATE SEQUENCE public.u; SELECT setval('public.u', 7, false)")
	other := connect(t, db.URL())
	mustExec(t, other, "BEGIN; ALTER SEQUENCE public.s RESTART 5")
	tx := begin(t, conn)
	if _, err := ReadableSequences(t.Context(), tx); err == nil {
		t.Error("a locked sequence was read")
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustExec(t, other, "COMMIT")
	all, err := ReadableSequences(t.Context(), begin(t, conn))
	if err != nil || len(all) != 2 || all[0].Last != 5 || all[0].Called || all[1].Last != 7 || all[1].Called {
		t.Errorf("got %+v, %v, want 5 and 7, not called", all, err)
	}
}
