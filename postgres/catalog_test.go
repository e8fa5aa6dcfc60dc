package postgres

import (
	"reflect"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
)

// zoo has one of each kind of relation; nothing of the second part is published.
const zoo = `
CREATE SCHEMA "My App";
CREATE TABLE "My App"."Ta""ble" (id int PRIMARY KEY, "Wh.at" varchar(10) NOT NULL, gone int, at timestamp(3) with time zone,
	double bigint GENERATED ALWAYS AS (id * 2) STORED);
ALTER TABLE "My App"."Ta""ble" DROP COLUMN gone;
CREATE TABLE public.both_ways (b int GENERATED ALWAYS AS IDENTITY, a text, c serial, PRIMARY KEY (c, a) INCLUDE (b));
CREATE TABLE public.bare (x int);
CREATE TABLE public.whole (x int);                 ALTER TABLE public.whole REPLICA IDENTITY FULL;
CREATE TABLE public.silent (x int PRIMARY KEY);    ALTER TABLE public.silent REPLICA IDENTITY NOTHING;
CREATE TABLE public.by_index (x int NOT NULL, y int NOT NULL); CREATE UNIQUE INDEX by_yx ON public.by_index (y, x); ALTER TABLE public.by_index REPLICA IDENTITY USING INDEX by_yx;
CREATE TABLE public.lost_index (x int NOT NULL); CREATE UNIQUE INDEX lost ON public.lost_index (x); ALTER TABLE public.lost_index REPLICA IDENTITY USING INDEX lost; DROP INDEX public.lost;
CREATE TABLE public.late (x int PRIMARY KEY DEFERRABLE);
CREATE TABLE public.empty_columns ();
CREATE TABLE public.parent (x int PRIMARY KEY);
CREATE TABLE public.child (y int) INHERITS (public.parent);
CREATE TABLE public.log (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE public.log_1 PARTITION OF public.log FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE public.log_2 PARTITION OF public.log FOR VALUES FROM ('2021-01-01') TO ('2022-01-01') PARTITION BY LIST (id);
CREATE TABLE "My App".log_2a PARTITION OF public.log_2 FOR VALUES IN (1);
ALTER TABLE "My App".log_2a REPLICA IDENTITY FULL;
CREATE UNLOGGED TABLE public.log_3 PARTITION OF public.log FOR VALUES FROM ('2023-01-01') TO ('2024-01-01');

CREATE UNLOGGED TABLE public.unlogged (x int PRIMARY KEY);
CREATE TEMP TABLE temporary (x int PRIMARY KEY);
CREATE VIEW public.view AS SELECT 1 AS x;
CREATE MATERIALIZED VIEW public.matview AS SELECT 1 AS x;
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere;
CREATE FOREIGN TABLE public.far (x int) SERVER nowhere;
CREATE SEQUENCE "My App"."Counter" INCREMENT 5 START 100 AS smallint;
`

func TestTables(t *testing.T) {
	_, conn := migrated(t)
	mustExec(t, conn, zoo)
	tables, err := Tables(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Table{}
	var names []string
	for _, table := range tables {
		names = append(names, table.Name.String())
		if table.OID == 0 {
			t.Errorf("%s: no oid", table.Name)
		}
		table.OID = 0
		got[table.Name.String()] = table
	}
	want := `"My App"."Ta""ble" public.bare public.both_ways public.by_index public.child public.empty_columns public.late public.log ` +
		`public.lost_index public.parent public.silent public.whole`
	if all := strings.Join(names, " "); all != want {
		t.Errorf("got  %s\nwant %s", all, want)
	}
	x := []Column{{Name: "x", Type: "integer"}}
	xKey := []Column{{Name: "x", Type: "integer", NotNull: true}}
	for name, want := range map[string]Table{
		`"My App"."Ta""ble"`: {
			Columns: []Column{
				{Name: "id", Type: "integer", NotNull: true},
				{Name: "Wh.at", Type: "character varying(10)", NotNull: true},
				{Name: "at", Type: "timestamp(3) with time zone"},
				{Name: "double", Type: "bigint", Generated: true},
			},
			PrimaryKey: []string{"id"}, Identity: IdentityDefault, Key: []string{"id"},
		},
		"public.both_ways": {
			Columns: []Column{
				{Name: "b", Type: "integer", NotNull: true, Identity: "always"},
				{Name: "a", Type: "text", NotNull: true},
				{Name: "c", Type: "integer", NotNull: true},
			},
			PrimaryKey: []string{"c", "a"}, Identity: IdentityDefault, Key: []string{"c", "a"},
		},
		"public.bare":          {Columns: x, Identity: IdentityDefault},
		"public.whole":         {Columns: x, Identity: IdentityFull},
		"public.silent":        {Columns: xKey, PrimaryKey: []string{"x"}, Identity: IdentityNothing},
		"public.late":          {Columns: xKey, PrimaryKey: []string{"x"}, Identity: IdentityDefault},
		"public.lost_index":    {Columns: xKey, Identity: IdentityIndex},
		"public.empty_columns": {Identity: IdentityDefault},
		"public.by_index": {
			Columns:  []Column{{Name: "x", Type: "integer", NotNull: true}, {Name: "y", Type: "integer", NotNull: true}},
			Identity: IdentityIndex, Key: []string{"y", "x"},
		},
		"public.log": {
			Partitioned: true,
			Columns:     []Column{{Name: "id", Type: "integer", NotNull: true}, {Name: "at", Type: "date", NotNull: true}},
			PrimaryKey:  []string{"id", "at"}, Identity: IdentityDefault, Key: []string{"id", "at"},
			Leaves: []Leaf{
				{Name: action.Name{Schema: "My App", Name: "log_2a"}, Identity: IdentityFull, InWAL: true},
				{Name: action.Name{Schema: "public", Name: "log_1"}, Identity: IdentityDefault, Key: []string{"id", "at"}, InWAL: true},
				{Name: action.Name{Schema: "public", Name: "log_3"}, Identity: IdentityDefault, Key: []string{"id", "at"}},
			},
		},
	} {
		have := got[name]
		want.Name = have.Name
		if !reflect.DeepEqual(normal(have), normal(want)) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, have, want)
		}
	}
	for name, want := range map[string]bool{
		"public.bare": false, "public.whole": true, "public.silent": false, "public.by_index": true, "public.lost_index": false,
		"public.late": false, "public.log": true, "public.both_ways": true,
	} {
		if got := got[name].Identifiable(); got != want {
			t.Errorf("%s: Identifiable = %v, want %v", name, got, want)
		}
	}
	if stored := got[`"My App"."Ta""ble"`].Stored(); !reflect.DeepEqual(stored, []string{"id", "Wh.at", "at"}) {
		t.Errorf("Stored = %v, want all but the generated column", stored)
	}
}

// normal makes empty and nil lists the same.
func normal(t Table) Table {
	if len(t.PrimaryKey) == 0 {
		t.PrimaryKey = nil
	}
	if len(t.Key) == 0 {
		t.Key = nil
	}
	for i := range t.Leaves {
		if len(t.Leaves[i].Key) == 0 {
			t.Leaves[i].Key = nil
		}
	}
	return t
}

// Identifiable is a claim about the server: it lets an UPDATE of a published
// table pass exactly where Identifiable says so.
func TestIdentifiableAgreesWithTheServer(t *testing.T) {
	_, conn := newDatabase(t)
	mustExec(t, conn, zoo)
	mustExec(t, conn, "CREATE TABLE public.deep (x int) PARTITION BY LIST (x); CREATE TABLE public.deep_1 PARTITION OF public.deep DEFAULT; ALTER TABLE public.deep REPLICA IDENTITY FULL")
	tables, err := Tables(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	var names []action.Name
	for _, table := range tables {
		names = append(names, table.Name)
	}
	if err := CreatePublication(t.Context(), conn, DefaultName, names); err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		if len(table.Columns) == 0 {
			continue
		}
		mustExec(t, conn, "INSERT INTO "+table.Name.SQL()+sample(table.Name.Name))
		column := action.QuoteIdent(table.Columns[0].Name)
		if table.Name.Name == "both_ways" {
			column = "a"
		}
		only := "ONLY " // rows of the children are theirs
		if table.Partitioned {
			only = ""
		}
		_, err := conn.Exec(t.Context(), "UPDATE "+only+table.Name.SQL()+" SET "+column+" = "+column)
		if accepted := err == nil; accepted != table.Identifiable() {
			t.Errorf("%s: Identifiable = %v, but UPDATE says %v", table.Name, table.Identifiable(), err)
		}
	}
}

func sample(table string) string {
	switch table {
	case `Ta"ble`:
		return " VALUES (1, 'a')"
	case "both_ways":
		return " (a) VALUES ('a')"
	case "log":
		return " VALUES (1, '2020-05-05')"
	case "by_index", "child":
		return " VALUES (1, 2)"
	}
	return " VALUES (1)"
}

func TestSequences(t *testing.T) {
	_, conn := migrated(t)
	mustExec(t, conn, zoo)
	mustExec(t, conn, `SELECT nextval('public.both_ways_c_seq'); SELECT nextval('public.both_ways_c_seq'); SELECT setval('public.both_ways_b_seq', 5, false)`)
	tx := begin(t, conn)
	got, err := Sequences(t.Context(), tx)
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		s := &got[i]
		if s.oid == 0 || s.Start < s.Min || s.Start > s.Max {
			t.Errorf("sequence %s: got %+v", s.Name, *s)
		}
		s.oid, s.Start, s.Min, s.Max = 0, 0, 0, 0
	}
	owner := action.Name{Schema: "public", Name: "both_ways"}
	want := []Sequence{
		{Name: action.Name{Schema: "My App", Name: "Counter"}, Type: "smallint", Step: 5, Last: 100},
		{Name: action.Name{Schema: "public", Name: "both_ways_b_seq"}, Table: owner, Column: "b", Type: "integer", Step: 1, Last: 5},
		{Name: action.Name{Schema: "public", Name: "both_ways_c_seq"}, Table: owner, Column: "c", Type: "integer", Step: 1, Last: 2, Called: true},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestTablesOfExtensionsAreNotListed(t *testing.T) {
	_, conn := newDatabase(t)
	mustExec(t, conn, `CREATE TABLE public.member (x int PRIMARY KEY); CREATE TABLE public.own (x int PRIMARY KEY);
		CREATE SEQUENCE public.member_seq; ALTER EXTENSION plpgsql ADD TABLE public.member; ALTER EXTENSION plpgsql ADD SEQUENCE public.member_seq`)
	tables, err := Tables(t.Context(), conn)
	if err != nil || len(tables) != 1 || tables[0].Name.Name != "own" {
		t.Errorf("got %+v, %v, want only public.own", tables, err)
	}
	if sequences, err := Sequences(t.Context(), begin(t, conn)); err != nil || len(sequences) != 0 {
		t.Errorf("got %+v, %v, want no sequence", sequences, err)
	}
}
