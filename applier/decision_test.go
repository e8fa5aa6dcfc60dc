package applier

import (
	"errors"
	"strings"
	"testing"
)

// another is a function that writes another title than its origin did.
const another = `; CREATE OR REPLACE FUNCTION add_post(id int, author text, title text, at timestamptz, tags text[]) RETURNS int LANGUAGE plpgsql AS
	'BEGIN INSERT INTO post VALUES (id, author, upper(title), at, tags); INSERT INTO note VALUES (''added''); RETURN id; END'`

// stuck applies records until one is stuck, and puts it into quarantine.
func (r *rig) stuck(t *testing.T, records []opened) {
	t.Helper()
	var stuck *Stuck
	if err := r.target(t).apply(t.Context(), records); !errors.As(err, &stuck) {
		t.Fatalf("got %v, want a transaction stuck", err)
	}
	if err := quarantine(t.Context(), r.connect(t), stuck); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) decide(t *testing.T, d Decision) {
	t.Helper()
	r.exec(t, "UPDATE pgbridge.quarantine SET decision = '"+string(d)+"', reason = 'test'")
}

// rest are the records from where the progress is.
func (r *rig) rest(t *testing.T, records []opened) []opened {
	t.Helper()
	p := r.progress(t)
	for i, x := range records {
		if x.Header.Seq > p.Seq || x.Header.Seq == p.Seq && !p.Complete {
			return records[i:]
		}
	}
	return nil
}

func TestDecisions(t *testing.T) {
	g := newGround(t)
	const titles = "SELECT id, title, (SELECT posts FROM work.author a WHERE a.name = author) FROM work.post ORDER BY id"
	for _, test := range []struct {
		name     string
		decision Decision
		want     string
	}{
		{"skip", Skip, "(2,two,0)"},
		{"use rows", UseRows, "(1,one,1) (2,two,1)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := g.rig(t, board+another)
			records := []opened{
				r.record(defined),
				r.record(does(insert("author", idless, "carol")), does(addPost(1, 1, "alice", "one", when, nil)), does(insert("post", postCols, 2, "alice", "two", nil, nil))),
				r.record(does(insert("author", idless, "dave"))),
			}
			r.stuck(t, records)
			r.decide(t, test.decision)
			if err := r.target(t).apply(t.Context(), r.rest(t, records)); err != nil {
				t.Fatal(err)
			}
			if got := r.rows(t, titles); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if got, want := r.rows(t, "SELECT name FROM work.author ORDER BY name"), "(alice) (bob) (carol) (dave)"; got != want {
				t.Errorf("the other transactions: got %s, want %s", got, want)
			}
			if p := r.progress(t); p.Seq != records[2].Header.Seq || !p.Complete {
				t.Errorf("progress is at record %d, want all of %d", p.Seq, records[2].Header.Seq)
			}
			if got, want := r.rows(t, "SELECT decision, reason FROM pgbridge.quarantine"), "("+string(test.decision)+",test)"; got != want {
				t.Errorf("the entry is %s, want %s: it is history", got, want)
			}
		})
	}
}

// A decision on the last transaction of a record, which is also the first that
// was not applied.
func TestSkipLast(t *testing.T) {
	r := newRig(t, board+another)
	records := []opened{r.record(defined, does(addPost(1, 1, "alice", "one", when, nil))), r.record(does(insert("author", idless, "dave")))}
	r.stuck(t, records)
	r.decide(t, Skip)
	if err := r.target(t).apply(t.Context(), r.rest(t, records)); err != nil {
		t.Fatal(err)
	}
	if got, want := r.rows(t, "SELECT count(*) FROM work.post UNION ALL SELECT count(*) FROM work.author"), "(0) (3)"; got != want {
		t.Errorf("posts and authors: got %s, want %s", got, want)
	}
}

// A part of a huge transaction is never skipped, and why it failed stays known.
func TestSkipPart(t *testing.T) {
	r := newRig(t, board)
	records := []opened{
		r.record(does(insert("author", idless, "carol")).goesOn()),
		r.record(does(insert("author", idless, "alice")).continues(2)),
	}
	r.stuck(t, records)
	r.decide(t, Skip)
	err := r.target(t).apply(t.Context(), records)
	var stuck *Stuck
	if !errors.As(err, &stuck) || !errors.Is(err, errPart) {
		t.Fatalf("got %v, want it refused", err)
	}
	if err := quarantine(t.Context(), r.connect(t), stuck); err != nil {
		t.Fatal(err)
	}
	if got, want := r.rows(t, "SELECT sqlstate, decision FROM pgbridge.quarantine"), "(23505,skip)"; got != want {
		t.Errorf("the entry is %s, want %s", got, want)
	}
	if got, want := r.rows(t, "SELECT name FROM work.author ORDER BY name"), "(alice) (bob)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// What differs is kept with the entry, by column.
func TestQuarantineDetail(t *testing.T) {
	g := newGround(t)
	const add = `; CREATE OR REPLACE FUNCTION add_post(id int, author text, title text, at timestamptz, tags text[]) RETURNS int LANGUAGE plpgsql AS `
	for _, test := range []struct {
		name, sabotage, want string
	}{
		{"a column", another, `(work.post,"{""id"":""1""}",one,ONE)`},
		{"a row that is not there", add + `'BEGIN RETURN id; END'`, `(work.author,"{""name"":""alice""}",,)`},
		{
			"a row without a key", add + `'BEGIN INSERT INTO post VALUES (id, author, title, at, tags); INSERT INTO note VALUES (''ADDED''); RETURN id; END'`,
			`(work.note,,,)`,
		},
		{"no row", `; DROP FUNCTION add_post`, `(,,,)`},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := g.rig(t, board+test.sabotage)
			r.stuck(t, []opened{r.record(defined, does(addPost(1, 1, "alice", "one", when, nil)))})
			const query = "SELECT detail->>'table', detail->>'key', detail->'want'->>'title', detail->'got'->>'title' FROM pgbridge.quarantine"
			if got := r.rows(t, query); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if text := r.db.Value(t, "SELECT error FROM pgbridge.quarantine"); strings.Contains(text, "ONE") {
				t.Errorf("the error has a value: %s", text)
			}
		})
	}
}
