package applier

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbridge/pgbridge/action"
)

var (
	id     = []string{"id"}
	name   = []string{"name"}
	idName = []string{"id", "name"}
)

// How records become transactions here: all of a group one, or, where that
// fails, one each.
func TestGroup(t *testing.T) {
	g := newGround(t)
	const item = `CREATE TABLE item (id int PRIMARY KEY, name text UNIQUE, n int); INSERT INTO item SELECT n, 'n' || n FROM generate_series(1, 4) n`
	for _, test := range []struct {
		name   string
		schema string
		txs    []tx
		want   string
		one    bool // transaction for all of it
	}{
		{
			name: "net effect", schema: item, one: true,
			txs: []tx{
				does(insert("item", idName, 5, "n5"), update("item", id, name, 1, "x")), does(update("item", id, name, 5, "y"), remove("item", id, 2)),
				does(insert("item", idName, 2, "again"), update("item", id, name, 1, "z")), does(remove("item", id, 5)),
			},
			want: "(1,z,) (2,again,) (3,n3,) (4,n4,)",
		},
		{
			name: "key that changes in between", schema: item, one: true,
			txs: []tx{
				does(update("item", id, name, 1, "x")), does(update("item", id, idName, 1, 10, "x")), does(update("item", id, name, 10, "y")),
				does(update("item", id, id, 2, 1)), does(insert("item", idName, 2, "new 2")),
			},
			want: "(1,n2,) (2,\"new 2\",) (3,n3,) (4,n4,) (10,y,)",
		},
		{
			name: "unique swap", schema: item,
			txs: []tx{
				does(insert("item", idName, 5, "n5")),
				does(update("item", id, name, 1, "tmp"), update("item", id, name, 2, "n1"), update("item", id, name, 1, "n2")),
				does(insert("item", idName, 6, "n6")),
			},
			want: "(1,n2,) (2,n1,) (3,n3,) (4,n4,) (5,n5,) (6,n6,)",
		},
		{
			name: "unique value that moves to a row that is new", schema: item, one: true,
			txs:  []tx{does(update("item", id, name, 1, "x"), insert("item", idName, 5, "n1")), does(remove("item", id, 2), update("item", id, name, 3, "n2"))},
			want: "(1,x,) (3,n2,) (4,n4,) (5,n1,)",
		},
		{
			name: "unique value that moves from a row that stays", schema: item,
			txs:  []tx{does(insert("item", idName, 5, "n5")), does(update("item", id, name, 5, "x"), update("item", id, name, 1, "n5"), update("item", id, name, 5, "n1"))},
			want: "(1,n5,) (2,n2,) (3,n3,) (4,n4,) (5,n1,)",
			one:  true, // the row is not there before
		},
		{
			name: "trigger that fires", schema: item + `; CREATE FUNCTION tally() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.n := coalesce(NEW.n, 0) + 1; RETURN NEW; END';
				CREATE TRIGGER count BEFORE UPDATE ON item FOR EACH ROW EXECUTE FUNCTION tally(); ALTER TABLE item ENABLE ALWAYS TRIGGER count`,
			txs:  []tx{does(update("item", id, name, 1, "a")), does(update("item", id, name, 1, "b")), does(update("item", id, name, 2, "c"))},
			want: "(1,b,2) (2,c,1) (3,n3,) (4,n4,)",
		},
		{
			name: "trigger that sleeps", schema: item + `; CREATE FUNCTION tally() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''not here''; END';
				CREATE TRIGGER count BEFORE INSERT OR UPDATE OR DELETE ON item FOR EACH ROW EXECUTE FUNCTION tally()`, one: true,
			txs:  []tx{does(update("item", id, name, 1, "a")), does(remove("item", id, 2)), does(insert("item", idName, 9, "n9"))},
			want: "(1,a,) (3,n3,) (4,n4,) (9,n9,)",
		},
		{
			name: "rows without a key", one: true, schema: `CREATE TABLE item (name text, id int); INSERT INTO item VALUES ('a', 1), ('a', 1), (NULL, 2), ('b', NULL)`,
			txs: []tx{
				does(insert("item", idName, 1, "a"), remove("item", idName, 1, "a")), does(update("item", idName, name, 2, nil, "x"), update("item", idName, id, nil, "b", 3)),
				does(remove("item", idName, 1, "a"), insert("item", idName, 7, "z")),
			},
			want: "(a,1) (b,3) (x,2) (z,7)",
		},
		{
			name: "old values that a domain does not allow any more", one: true,
			schema: `CREATE DOMAIN small AS int; CREATE DOMAIN label AS varchar(9); CREATE TABLE item (id small, name label); INSERT INTO item VALUES (55, 'a'), (66, 'b'), (77, 'c');
				ALTER DOMAIN small ADD CHECK (VALUE < 11) NOT VALID; ALTER DOMAIN label ADD CHECK (VALUE > 'd') NOT VALID`,
			txs:  []tx{does(update("item", idName, idName, 55, "a", 5, "e"), remove("item", idName, 66, "b"))},
			want: "(5,e) (77,c)",
		},
		{
			name: "truncated in between", one: true, schema: item,
			txs: []tx{
				does(update("item", id, name, 1, "x")), does(insert("item", idName, 5, "n5"), truncate("item"), insert("item", idName, 1, "first")), does(update("item", id, name, 1, "second")),
			},
			want: "(1,second,)",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := g.rig(t, test.schema)
			before := r.db.Value(t, "SELECT pg_current_xact_id()::text::bigint")
			var records []opened
			for _, x := range test.txs {
				records = append(records, r.record(x))
			}
			to := r.target(t)
			if err := to.apply(t.Context(), records); err != nil {
				t.Fatal(err)
			}
			if got := r.rows(t, "SELECT * FROM work.item ORDER BY 1, 2"); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			p := r.progress(t)
			if p.Seq != r.last.Seq || p.Digest != r.digest || !p.Complete || p.LSN != r.lsn {
				t.Errorf("progress: got %+v, want the end of record %d at %s", p, r.last.Seq, r.lsn)
			}
			committed := r.db.Value(t, `SELECT count(DISTINCT xmin::text) FROM (SELECT xmin FROM work.item UNION ALL SELECT xmin FROM pgbridge.progress) x WHERE xmin::text::bigint > $1::text::bigint`, before)
			if one := committed == "1"; one != test.one {
				t.Errorf("the rows are of %s transactions, want one: %v", committed, test.one)
			}
		})
	}
}

// A transaction that cannot be applied stops the chain exactly there; what was
// before is kept, and the same records go on once the reason is gone.
func TestStuckAndOn(t *testing.T) {
	r := newRig(t, `CREATE TABLE item (id int PRIMARY KEY, name text); INSERT INTO item VALUES (1, 'one')`)
	records := []opened{
		r.record(does(insert("item", idName, 2, "two")), does(update("item", id, name, 1, "uno"))),
		r.record(does(insert("item", idName, 3, "three")), does(update("item", id, name, 3, "tres"), update("item", id, name, 99, "lost"), insert("item", idName, 5, "never")), does(insert("item", idName, 4, "four"))),
	}
	err := r.target(t).apply(t.Context(), records)
	var stuck *Stuck
	var drift *DriftError
	if !errors.As(err, &stuck) || !errors.As(err, &drift) {
		t.Fatalf("got error %v, want Stuck for a DriftError", err)
	}
	if stuck.Seq != 3 || stuck.Tx != 1 || stuck.Epoch != 1 || stuck.Writer != r.writer || stuck.LSN != r.lsn-16 {
		t.Errorf("got %+v, want record 3, transaction 1", stuck)
	}
	if drift.Action != "work.item.update" || drift.Want != 1 || drift.Found != 0 {
		t.Errorf("got %+v, want an update that found 0 of 1", drift)
	}
	if got, want := r.rows(t, "SELECT * FROM work.item ORDER BY 1"), "(1,uno) (2,two) (3,three)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if p := r.progress(t); p.Seq != 3 || p.Txs != 1 || p.Complete {
		t.Errorf("progress: got %+v, want record 3 after 1 transaction", p)
	}

	again := r.target(t)
	if next := again.at.next(); next != 3 {
		t.Fatalf("after a restart record %d is next, want 3", next)
	}
	if err := again.apply(t.Context(), records[1:]); !errors.As(err, &stuck) || stuck.Tx != 1 {
		t.Fatalf("the same again: got %v, want it to be stuck again", err)
	}
	r.exec(t, `INSERT INTO item VALUES (99, 'found')`)
	if err := r.target(t).apply(t.Context(), records[1:]); err != nil {
		t.Fatal(err)
	}
	if got, want := r.rows(t, "SELECT * FROM work.item ORDER BY 1"), "(1,uno) (2,two) (3,tres) (4,four) (5,never) (99,lost)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestStuckSays(t *testing.T) {
	g := newGround(t)
	const item = `CREATE TABLE item (id int PRIMARY KEY, name text CHECK (name <> 'bad')); INSERT INTO item VALUES (1, 'one')`
	for _, test := range []struct {
		name, sabotage string
		deeds          []deed
		want           string
		state          string
	}{
		{"missing table", `DROP TABLE item`, []deed{insert("item", idName, 2, "two")}, "work.item", ""},
		{"missing table to truncate", `DROP TABLE item`, []deed{truncate("item")}, "work.item.truncate", ""},
		{"a view in its place", `DROP TABLE item; CREATE VIEW item AS SELECT 1 AS id, ''::text AS name`, []deed{insert("item", idName, 2, "two")}, "work.item", ""},
		{"missing column", `ALTER TABLE item DROP name`, []deed{insert("item", idName, 2, "two")}, `no column "name"`, ""},
		{"missing column of an update", `ALTER TABLE item RENAME name TO title`, []deed{update("item", id, name, 1, "two")}, `no column "name"`, ""},
		{"duplicate", `INSERT INTO item VALUES (2, 'foreign')`, []deed{insert("item", idName, 2, "two")}, "item_pkey", "23505"},
		{"key taken", `INSERT INTO item VALUES (2, 'foreign')`, []deed{update("item", id, id, 1, 2)}, "item_pkey", "23505"},
		{"row gone", `DELETE FROM item`, []deed{remove("item", id, 1)}, "found 0 of 1", ""},
		{"one of two rows gone", `INSERT INTO item VALUES (3, 'three')`, []deed{remove("item", id, 3), remove("item", id, 2)}, "found 0 of 1", ""},
		{"check", `SELECT`, []deed{insert("item", idName, 2, "bad")}, "item_name_check", "23514"},
		{"no value for a column of this table", `ALTER TABLE item ADD must int NOT NULL DEFAULT 0; ALTER TABLE item ALTER must DROP DEFAULT`, []deed{insert("item", idName, 2, "two")}, "must", "23502"},
		{"another type", `ALTER TABLE item DROP CONSTRAINT item_name_check; ALTER TABLE item ALTER name TYPE int USING 1`, []deed{update("item", id, name, 1, "two")}, "invalid input", "22P02"},
		{
			"a trigger that swallows", `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER no BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION no(); ALTER TABLE item ENABLE REPLICA TRIGGER no`,
			[]deed{insert("item", idName, 2, "two")},
			"found 0 of 1", "",
		},
		{"empty where a row is", `ALTER TABLE item DROP CONSTRAINT item_pkey`, []deed{remove("item", idName, 1, "uno")}, "found 0 of 1", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := g.rig(t, item)
			r.exec(t, test.sabotage)
			err := r.target(t).apply(t.Context(), []opened{r.record(does(test.deeds...))})
			var stuck *Stuck
			if !errors.As(err, &stuck) || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want Stuck that says %q", err, test.want)
			}
			if err := quarantine(t.Context(), r.connect(t), stuck); err != nil {
				t.Fatal(err)
			}
			if err := quarantine(t.Context(), r.connect(t), stuck); err != nil {
				t.Fatalf("the second time: %v", err)
			}
			want := fmt.Sprintf("[[%s 1 2 0 %s]]", r.writer, orNull(test.state))
			if got := fmt.Sprint(r.db.Query(t, "SELECT writer, epoch, seq, tx, sqlstate FROM pgbridge.quarantine WHERE error <> ''")); got != want {
				t.Errorf("quarantine: got %s, want %s", got, want)
			}
		})
	}
}

func orNull(s string) string {
	if s == "" {
		return "NULL"
	}
	return s
}

// What may succeed later is neither stuck nor committed in part.
func TestTransient(t *testing.T) {
	g := newGround(t)
	for _, test := range []struct{ name, lock, want string }{
		{"lock timeout", "SET lock_timeout = '20ms'", "55P03"},
		{"statement timeout", "SET statement_timeout = '50ms'", "57014"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := g.rig(t, `CREATE TABLE item (id int PRIMARY KEY, name text); INSERT INTO item VALUES (1, 'one'), (2, 'two')`)
			other, err := r.connect(t).Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := other.Exec(t.Context(), "SELECT FROM work.item WHERE id = 2 FOR UPDATE"); err != nil {
				t.Fatal(err)
			}
			records := []opened{r.record(does(update("item", id, name, 1, "uno"))), r.record(does(update("item", id, name, 2, "dos")))}
			to := r.target(t)
			if _, err := to.conn.Exec(t.Context(), test.lock); err != nil {
				t.Fatal(err)
			}
			err = to.apply(t.Context(), records)
			var stuck *Stuck
			var pgErr *pgconn.PgError
			if errors.As(err, &stuck) || !errors.As(err, &pgErr) || pgErr.Code != test.want {
				t.Fatalf("got %v, want %s and not Stuck", err, test.want)
			}
			if p := r.progress(t); p.Seq != 1 {
				t.Errorf("progress: got %+v, want none", p)
			}
			to.conn.Close(t.Context())
			if err := other.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := r.target(t).apply(t.Context(), records); err != nil {
				t.Fatal(err)
			}
			if got, want := r.rows(t, "SELECT * FROM work.item ORDER BY 1"), "(1,uno) (2,dos)"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

func TestTransientCodes(t *testing.T) {
	for code, want := range map[string]bool{
		"40001": true, "40P01": true, "53100": true, "53300": true, "57P01": true, "57014": true, "58030": true, "55P03": true, "25P03": true, "08006": true,
		"23505": false, "22P02": false, "42P01": false, "42703": false, "55000": false, "25P02": false, "P0001": false, "XX000": false, "0A000": false,
	} {
		if got := transient(fmt.Errorf("apply: %w", &pgconn.PgError{Code: code})); got != want {
			t.Errorf("%s: got %v, want %v", code, got, want)
		}
	}
	if transient(errors.New("drift")) {
		t.Error("an error that is not of the server: got transient")
	}
}

// A connection that is gone is not a transaction that cannot be applied.
func TestConnectionGone(t *testing.T) {
	r := newRig(t, `CREATE TABLE item (id int PRIMARY KEY, name text)`)
	to := r.target(t)
	record := r.record(does(insert("item", idName, 1, "one")))
	r.db.Exec(t, "SELECT pg_terminate_backend($1)", to.conn.PgConn().PID())
	err := to.apply(t.Context(), []opened{record})
	var stuck *Stuck
	if err == nil || errors.As(err, &stuck) {
		t.Fatalf("got %v, want an error that is not Stuck", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.target(t).apply(ctx, []opened{record}); !errors.Is(err, context.Canceled) || errors.As(err, &stuck) {
		t.Fatalf("cancelled: got %v", err)
	}
	if err := r.target(t).apply(t.Context(), []opened{record}); err != nil {
		t.Fatal(err)
	}
}

// A huge transaction comes in parts, and is committed with the last.
func TestParts(t *testing.T) {
	g := newGround(t)
	const item = `CREATE TABLE item (id int PRIMARY KEY, name text UNIQUE); INSERT INTO item VALUES (1, 'n1'), (2, 'n2')`
	parts := func(r *rig) []opened {
		return []opened{
			r.record(does(insert("item", idName, 3, "n3")), does(update("item", id, name, 1, "tmp")).goesOn()),
			r.record(does(update("item", id, name, 2, "n1"), update("item", id, name, 1, "n2"), insert("item", idName, 4, "n4")).continues(2).goesOn()),
			r.record(does(update("item", id, name, 1, "swap"), update("item", id, name, 2, "n2"), update("item", id, name, 1, "n1")).continues(3).goesOn()), // not as a set
			r.record(does().continues(4)),
			r.record(does(insert("item", idName, 5, "n5"))),
		}
	}
	const want = "(1,n1) (2,n2) (3,n3) (4,n4) (5,n5)"
	for _, sizes := range [][]int{{5}, {1, 1, 1, 1, 1}, {2, 3}, {3, 2}, {1, 3, 1}, {4, 1}} {
		t.Run(fmt.Sprint(sizes), func(t *testing.T) {
			r := g.rig(t, item)
			records := parts(r)
			to := r.target(t)
			for _, n := range sizes {
				if err := to.apply(t.Context(), records[:n]); err != nil {
					t.Fatal(err)
				}
				open := n < len(records) && records[n].Header.Seq <= 5
				if records = records[n:]; open != (to.tx != nil) {
					t.Errorf("before record %d: open transaction %v, want %v", records[0].Header.Seq, to.tx != nil, open)
				}
			}
			if got := r.rows(t, "SELECT * FROM work.item ORDER BY 1"); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
	for killed := 1; killed < 4; killed++ {
		t.Run(fmt.Sprint("killed after part ", killed), func(t *testing.T) {
			r := g.rig(t, item)
			records := parts(r)
			to := r.target(t)
			for i := range killed {
				if err := to.apply(t.Context(), records[i:i+1]); err != nil {
					t.Fatal(err)
				}
			}
			to.conn.Close(t.Context())
			to = r.target(t)
			if err := to.apply(t.Context(), records[to.at.next()-2:]); err != nil {
				t.Fatal(err)
			}
			if got := r.rows(t, "SELECT * FROM work.item ORDER BY 1"); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// A part that cannot be applied takes the whole transaction with it.
func TestPartStuck(t *testing.T) {
	r := newRig(t, `CREATE TABLE item (id int PRIMARY KEY, name text)`)
	first := r.record(does(insert("item", idName, 1, "before")), does(insert("item", idName, 2, "in part 1")).goesOn())
	second := r.record(does(remove("item", id, 7)).continues(2))
	to := r.target(t)
	if err := to.apply(t.Context(), []opened{first}); err != nil {
		t.Fatal(err)
	}
	var stuck *Stuck
	if err := to.apply(t.Context(), []opened{second}); !errors.As(err, &stuck) || stuck.Seq != 3 || stuck.Tx != 0 {
		t.Fatalf("got %v, want Stuck in record 3", err)
	}
	if got, want := r.rows(t, "SELECT * FROM work.item"), "(1,before)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if p := r.progress(t); p.Seq != 2 || p.Txs != 1 || p.Complete {
		t.Errorf("progress: got %+v, want one transaction of record 2", p)
	}
}

// What is before a transaction in parts is committed without waiting for its end,
// wherever in a group it begins.
func TestBeforeParts(t *testing.T) {
	g := newGround(t)
	row := func(i int) tx { return does(insert("item", id, i)) }
	for _, c := range []struct {
		name    string
		records [][]tx
		want    string
	}{
		{"first", [][]tx{{row(1).goesOn()}, {row(2).continues(2).goesOn()}}, ""},
		{"behind others of its record", [][]tx{{row(1), row(2), row(3).goesOn()}, {row(4).continues(2).goesOn()}}, "(1) (2)"},
		{"in a record of its own", [][]tx{{row(1)}, {row(2), row(3)}, {row(4).goesOn()}}, "(1) (2) (3)"},
		{"behind another that ends", [][]tx{{row(1).goesOn()}, {row(2).continues(2), row(3), row(4).goesOn()}}, "(1) (2) (3)"},
		{"twice", [][]tx{{row(1), row(2).goesOn()}, {row(3).continues(2)}, {row(4), row(5).goesOn()}, {row(6).continues(2).goesOn()}}, "(1) (2) (3) (4)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := g.rig(t, `CREATE TABLE item (id int PRIMARY KEY)`)
			var records []opened
			for _, txs := range c.records {
				records = append(records, r.record(txs...))
			}
			to := r.target(t)
			if err := to.apply(t.Context(), records); err != nil {
				t.Fatal(err)
			}
			if to.tx == nil {
				t.Error("the transaction in parts is not open")
			}
			if got := r.rows(t, "SELECT id FROM work.item ORDER BY 1"); got != c.want {
				t.Errorf("committed: got %s, want %s", got, c.want)
			}
		})
	}
}

// What a person or a later start sees: the copy ends once, before the first
// record that is not part of it.
func TestEndOfCopy(t *testing.T) {
	g := newGround(t)
	for _, sizes := range [][]int{{4}, {1, 3}, {2, 2}, {1, 1, 1, 1}} {
		t.Run(fmt.Sprint(sizes), func(t *testing.T) {
			r := g.rig(t, `CREATE TABLE item (id int, name text)`)
			to := r.target(t)
			finished := 0
			to.finish = func(ctx context.Context) error {
				finished++
				if got, want := r.rows(t, "SELECT * FROM work.item ORDER BY 1"), "(1,one) (2,two)"; got != want {
					t.Errorf("when the copy ends: got %s, want %s", got, want)
				}
				_, err := to.conn.Exec(ctx, "ALTER TABLE work.item ADD PRIMARY KEY (id)")
				return err
			}
			records := []opened{
				r.record(does(insert("item", idName, 1, "one")).copied()), r.record(does(insert("item", idName, 2, "two")).copied()),
				r.record(does()), r.record(does(update("item", id, name, 1, "uno"), remove("item", id, 2))),
			}
			for _, n := range sizes {
				if err := to.apply(t.Context(), records[:n]); err != nil {
					t.Fatal(err)
				}
				records = records[n:]
			}
			if got := r.rows(t, "SELECT * FROM work.item"); got != "(1,uno)" || finished != 1 {
				t.Errorf("got %s, finished %d times", got, finished)
			}
		})
	}
}

// What is not as its header says is not committed.
func TestDamagedRecord(t *testing.T) {
	g := newGround(t)
	for _, test := range []struct {
		name  string
		spoil func(*opened)
		want  string
	}{
		{"fewer transactions", func(o *opened) { o.Header.Txs = 3 }, "holds 2 transactions, its header says 3"},
		{"more transactions", func(o *opened) { o.Header.Txs = 1 }, "holds 2 transactions, its header says 1"},
		{"cut short", func(o *opened) { o.body = o.body[:len(o.body)-10] }, "body at byte"},
		{"no UTF-8", func(o *opened) { o.body[len(o.body)-8] = 0xff }, "UTF-8"},
		{"another history", func(o *opened) { o.Header.Prev = action.Digest{9} }, "two histories"},
		{"not the next one", func(o *opened) { o.Header.Seq = 7 }, "record 7 of epoch 1 came where 2 of epoch 1 is next"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := g.rig(t, `CREATE TABLE item (id int PRIMARY KEY, name text)`)
			o := r.record(does(insert("item", idName, 1, "one")), does(insert("item", idName, 2, "two")))
			test.spoil(&o)
			err := r.target(t).apply(t.Context(), []opened{o})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want it to say %q", err, test.want)
			}
			if p := r.progress(t); p.Complete && p.Seq == 2 {
				t.Errorf("progress: got %+v, want it not to be complete", p)
			}
		})
	}
}

// Sequences move in their own direction only, and what is not here is left alone.
func TestSequenceFloors(t *testing.T) {
	r := newRig(t, `CREATE SEQUENCE up; CREATE SEQUENCE down INCREMENT -2; CREATE SEQUENCE ahead; SELECT setval('ahead', 100); CREATE SEQUENCE behind; SELECT setval('behind', 5);
		CREATE SEQUENCE "Odd.""Name"; CREATE TABLE item (id serial PRIMARY KEY); CREATE SEQUENCE low MAXVALUE 5; CREATE SEQUENCE high MINVALUE -5 MAXVALUE -1 INCREMENT -1; CREATE SEQUENCE other MINVALUE 5`)
	records := []opened{
		r.record(does(insert("item", id, 1)), does(floors("work.up", 1, "work.down", -7, "work.ahead", 50, "work.behind", 9, `work."Odd.""Name"`, 3, "work.gone", 1, "work.item", 1))),
		r.record(does(floors("work.down", -5, "work.item_id_seq", 4)), does(restart("item"), insert("item", id, 1)), does(floors("work.item_id_seq", 2))),
		r.record(does(floors("work.low", 99, "work.high", -99, "work.other", 2))), // as a later ALTER SEQUENCE allows it
	}
	if err := r.target(t).apply(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	got := r.rows(t, "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = 'work' ORDER BY 1")
	if want := `("Odd.""Name",3) (ahead,100) (behind,9) (down,-7) (high,-5) (item_id_seq,2) (low,5) (other,) (up,1)`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := r.db.Value(t, "SELECT nextval('work.up')"); got != "2" {
		t.Errorf("the next value of one that was set to 1: got %s, want 2", got)
	}
}

func TestTruncates(t *testing.T) {
	g := newGround(t)
	const two = `CREATE TABLE one (id serial PRIMARY KEY, name text); CREATE TABLE two (id serial PRIMARY KEY, one int REFERENCES one); CREATE TABLE child () INHERITS (one);
		INSERT INTO one (name) SELECT 'x' FROM generate_series(1, 3); INSERT INTO two (one) VALUES (1), (2); INSERT INTO child (id) VALUES (1)`
	for _, test := range []struct {
		name string
		txs  []tx
		want string // rows of one, two and child, last values of one's and two's sequence
	}{
		{"together", []tx{does(truncate("one"), truncate("two"))}, "0 0 1 3 2"},
		{"the other way round", []tx{does(truncate("two"), truncate("one"))}, "0 0 1 3 2"},
		{"one restarts", []tx{does(truncate("two"), restart("child")), does(restart("two"))}, "3 0 0 3 NULL"},
		{"only one restarts", []tx{does(restart("two"), truncate("child"))}, "3 0 0 3 NULL"},
		{"twice the same", []tx{does(truncate("two"), truncate("two"))}, "3 0 1 3 2"},
		{"after rows of the same transaction", []tx{does(insert("two", id, 9), truncate("two"), insert("two", id, 10))}, "3 1 1 3 2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, exact := range []bool{false, true} {
				r := g.rig(t, two)
				var err error
				records := []opened{r.record(test.txs...)}
				if to := r.target(t); exact {
					err = to.exact(t.Context(), records)
				} else {
					err = to.apply(t.Context(), records)
				}
				if err != nil {
					t.Fatal(err)
				}
				got := strings.Join(r.db.Query(t, `SELECT (SELECT count(*) FROM ONLY work.one), (SELECT count(*) FROM work.two), (SELECT count(*) FROM work.child),
					(SELECT last_value FROM pg_sequences WHERE sequencename = 'one_id_seq'), (SELECT last_value FROM pg_sequences WHERE sequencename = 'two_id_seq')`)[0], " ")
				if got != test.want {
					t.Errorf("exact %v: got %s, want %s", exact, got, test.want)
				}
			}
		})
	}
}
