package checkpoint_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/checkpoint"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

const manyTables = `DO $$ BEGIN
		FOR i IN 1..20 LOOP
			EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, v text); INSERT INTO t%1$s VALUES (1, %L)', i, i);
		END LOOP;
	END $$`

// Interrupted anywhere, the next Create sends what is not there and no more, and
// no number is given twice.
func TestCreateInterrupted(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(t, manyTables)
	o := newOrigin(t, db)
	o.maker.Jobs = 1
	stop := errors.New("stop")
	for _, at := range []int{1, 4, 9} {
		ctx, cancel := context.WithCancelCause(t.Context())
		done := 0
		o.folder.after = func(int) error {
			if done++; done == at {
				cancel(stop)
			}
			return nil
		}
		o.folder.serial = true
		if _, err := o.maker.Create(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped at chunk %d: got %v, want context.Canceled", at, err)
		}
		cancel(nil)
		noneMakes(t, db)
	}
	o.folder.after = nil
	before, _ := o.folder.puts()
	r := o.create(t)
	last, _ := o.folder.puts()
	const inFlight = 3 * 2 // of each attempt: what was sent and not noted yet
	if before+last > r.Chunks+inFlight || r.Fresh != last {
		t.Errorf("got %d chunks sent before and %d after, want %d in all and %d more at most", before, last, r.Chunks, inFlight)
	}
	if before < 9 {
		t.Errorf("got %d chunks sent before, want 9 or more", before)
	}
	seen := map[uint64]bool{}
	for _, f := range o.manifest(t, r).Files {
		for _, c := range f.Chunks {
			if seen[c.Seq] {
				t.Errorf("chunk number %d is there twice", c.Seq)
			}
			seen[c.Seq] = true
		}
	}
	refs, err := o.folder.Find(t.Context(), archive.Query{DB: o.id, Writer: o.key.Writer(), Epoch: 1, First: 1, Last: 100, Type: archive.TypeChunk})
	if err != nil {
		t.Fatal(err)
	}
	numbers := map[uint64]string{}
	for _, ref := range refs {
		if other := numbers[ref.Seq]; other != "" {
			t.Errorf("chunk number %d was given to %s and %s", ref.Seq, other, ref.Digest)
		}
		numbers[ref.Seq] = ref.Digest.String()
	}
}

// Every put may fail, and may fail though the archive has it.
func TestCreateWithFaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		before func(n int) error
		after  func(n int) error
		want   error
		puts   int // more than there are chunks
	}{
		{name: "failed once", before: failAt(3, errors.New("away")), puts: 1},
		{name: "failed but persisted", after: failAt(3, errors.New("connection lost"))},
		{name: "perhaps", after: failAt(3, archive.ErrMaybe)},
		{name: "perhaps, and not there", before: failAt(3, archive.ErrMaybe), puts: 1},
		{name: "refused", before: failAt(3, archive.ErrRejected), want: archive.ErrRejected},
		{name: "no money", before: failAt(3, archive.ErrFunds), want: archive.ErrFunds},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			db := pgtest.New(t)
			db.Exec(t, manyTables)
			o := newOrigin(t, db)
			o.folder.before, o.folder.after = test.before, test.after
			r, err := o.maker.Create(t.Context())
			if !errors.Is(err, test.want) {
				t.Fatalf("got %v, want %v", err, test.want)
			}
			if test.want != nil {
				return
			}
			if puts, _ := o.folder.puts(); puts != r.Chunks+test.puts {
				t.Errorf("got %d puts for %d chunks, want %d more", puts, r.Chunks, test.puts)
			}
			o.rows(t, o.manifest(t, r))
		})
	}
}

// failAt fails the n-th put.
func failAt(at int, err error) func(int) error {
	return func(n int) error {
		if n == at {
			return err
		}
		return nil
	}
}

// A checkpoint that is in the chain and not in the archive is brought there by the
// next Create, the same bytes.
func TestCreateSettles(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(t, `CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)`)
	o := newOrigin(t, db)
	o.folder.checkpoint = archive.ErrRejected
	if _, err := o.maker.Create(t.Context()); !errors.Is(err, archive.ErrRejected) {
		t.Fatalf("got %v, want that the archive refuses the checkpoint", err)
	}
	if got := fmt.Sprint(db.Query(t, `SELECT number, item IS NOT NULL FROM pgbridge.checkpoint`)); got != "[[1 t]]" {
		t.Errorf("checkpoints: got %s, want the first, waiting", got)
	}
	o.folder.checkpoint = nil
	second := o.create(t)
	if second.Number != 2 || second.Fresh != 0 {
		t.Errorf("got %+v, want number 2 of chunks that are there", second)
	}
	h, _ := o.read(t, archive.TypeCheckpoint, 2, second.Digest)
	if _, body := o.read(t, archive.TypeCheckpoint, 1, h.Prev); len(body) == 0 {
		t.Error("the first is empty")
	}
	if got := db.Value(t, `SELECT count(*) FROM pgbridge.checkpoint WHERE item IS NOT NULL`); got != "0" {
		t.Errorf("got %s checkpoints that wait, want none", got)
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(t, `CREATE TABLE t (id int PRIMARY KEY)`)
	o := newOrigin(t, db)
	for _, test := range []struct {
		name   string
		change func(*checkpoint.Maker)
		with   string // statement
		want   string
	}{
		{"another key", func(m *checkpoint.Maker) { m.Key, _ = archive.NewKey() }, "SELECT 1", "the key is not that of this database's writer"},
		{"no archive", func(m *checkpoint.Maker) { m.Archives = nil }, "SELECT 1", "needs an archive"},
		{"a second maker", func(*checkpoint.Maker) {}, "SELECT pgbridge.take_lock('checkpoint', false)", checkpoint.ErrBusy.Error()},
		{"a clone in another cluster", func(*checkpoint.Maker) {}, "UPDATE pgbridge.chain SET system = '1'", "not where its chain left it: cluster"},
		{"after a failover", func(*checkpoint.Maker) {}, "UPDATE pgbridge.chain SET (system, timeline) = ((SELECT system_identifier::text FROM pg_control_system()), 99)", "not where its chain left it: cluster"},
		{"a clone in this cluster", func(*checkpoint.Maker) {}, "UPDATE pgbridge.database SET slot = 'pgbridge_1'", "a copy of the one with slot pgbridge_1"},
		{"a follower", func(*checkpoint.Maker) {}, "UPDATE pgbridge.database SET role = 'follower'", "are made where it is written"},
	} {
		t.Run(test.name, func(t *testing.T) {
			conn := db.Connect(t)
			defer noneMakes(t, db)
			defer conn.Close(t.Context())
			if _, err := conn.Exec(t.Context(), test.with); err != nil {
				t.Fatal(err)
			}
			maker := o.maker
			test.change(&maker)
			if _, err := maker.Create(t.Context()); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if chunks, others := o.folder.puts(); chunks+others > 0 {
		t.Errorf("got %d puts, want none", chunks+others)
	}
}

// noneMakes waits until the session of a maker that was stopped has ended.
func noneMakes(t *testing.T, db *pgtest.DB) {
	t.Helper()
	db.Wait(t, "0", `SELECT count(*) FROM pgbridge.session_lock WHERE name = 'checkpoint' AND pgbridge.is_alive(pid, backend_start)`)
}
