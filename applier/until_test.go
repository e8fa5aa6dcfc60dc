package applier

import (
	"errors"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/postgres"
)

func TestApplyUntil(t *testing.T) {
	g := newGround(t)
	// Positions and times are 16, 32, 48 and so on.
	for _, c := range []struct {
		name  string
		until archive.Moment
		slow  bool // a row that makes the group be replayed one by one
		want  string
		txs   int // of record 3 that are applied
	}{
		{"inside of a record", archive.Moment{Before: 48}, false, "(1) (2)", 0},
		{"by time", archive.Moment{Time: time.UnixMicro(50)}, false, "(1) (2) (3)", 1},
		{"transaction by transaction", archive.Moment{Before: 64}, true, "(1) (2) (3)", 1},
		{"between records", archive.Moment{Before: 32}, false, "(1)", 0},
		{"nowhere", archive.Moment{Before: 1000}, false, "(1) (2) (3) (4)", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := g.rig(t, "CREATE TABLE t (id int PRIMARY KEY)")
			row := func(id int) tx { return does(insert("t", []string{"id"}, id)) }
			to := r.target(t)
			to.until = c.until
			records := []opened{r.record(row(1), row(2)), r.record(row(3), row(4))}
			if c.slow {
				to.decided = decisions{place{1, 2, 7}: UseRows}
			}
			if err := to.apply(t.Context(), records); err != nil {
				t.Fatal(err)
			}
			if got := r.rows(t, "SELECT id FROM work.t ORDER BY id"); got != c.want {
				t.Errorf("rows: got %s, want %s", got, c.want)
			}
			// What was not applied is applied by the next start.
			rest := []opened{records[0], records[1]}
			if p := r.progress(t); p.Complete {
				rest = rest[p.Seq-1:]
			} else {
				rest = rest[p.Seq-2:]
			}
			if err := r.target(t).apply(t.Context(), rest); err != nil {
				t.Fatal(err)
			}
			if got, want := r.rows(t, "SELECT id FROM work.t ORDER BY id"), "(1) (2) (3) (4)"; got != want {
				t.Errorf("rows in the end: got %s, want %s", got, want)
			}
		})
	}
}

func TestApplyUntilTooEarly(t *testing.T) {
	r := newRig(t, "CREATE TABLE t (id int PRIMARY KEY)")
	to := r.target(t)
	to.until = archive.Moment{Before: 1}
	err := to.apply(t.Context(), []opened{r.record(does(insert("t", []string{"id"}, 1)).copied())})
	if !errors.Is(err, ErrTooEarly) {
		t.Errorf("got %v, want ErrTooEarly", err)
	}
}

// TestApplySkip: what came with a checkpoint is passed over, also in parts, and
// the progress moves.
func TestApplySkip(t *testing.T) {
	g := newGround(t)
	for _, c := range []struct {
		name string
		slow bool
	}{{"as a group", false}, {"transaction by transaction", true}} {
		t.Run(c.name, func(t *testing.T) {
			r := g.rig(t, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3)")
			row := func(id int) tx { return does(insert("t", []string{"id"}, id)) }
			p := r.progress(t)
			p.Skip = 48 // positions are 16, 32, 48, 64
			if err := postgres.SaveProgress(t.Context(), r.connect(t), p); err != nil {
				t.Fatal(err)
			}
			to := r.target(t)
			if c.slow {
				to.decided = decisions{place{1, 2, 7}: UseRows, place{1, 3, 7}: UseRows, place{1, 4, 7}: UseRows}
			}
			steps := []struct {
				record opened
				want   string
				skip   action.LSN
			}{
				{r.record(row(1), row(2).goesOn()), "(1) (2) (3)", 48},
				{r.record(row(3).continues(2)), "(1) (2) (3)", 48},
				{r.record(row(4), row(5)), "(1) (2) (3) (4) (5)", 0},
			}
			for i, s := range steps {
				if err := to.apply(t.Context(), []opened{s.record}); err != nil {
					t.Fatalf("record %d: %v", i, err)
				}
				if to.pos.Skip != s.skip {
					t.Errorf("after record %d: skip is %s, want %s", i, to.pos.Skip, s.skip)
				}
				if got := r.rows(t, "SELECT id FROM work.t ORDER BY id"); got != s.want {
					t.Errorf("after record %d: got %s, want %s", i, got, s.want)
				}
			}
			if got := r.progress(t); got.Skip != 0 || got.Seq != 4 || !got.Complete {
				t.Errorf("progress: got %+v, want record 4, complete, nothing to skip", got)
			}
		})
	}
}
