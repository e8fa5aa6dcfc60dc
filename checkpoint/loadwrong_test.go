package checkpoint_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/checkpoint"
	"github.com/pgbridge/pgbridge/internal/pgtest"
	"github.com/pgbridge/pgbridge/postgres"
)

// TestLoadOfWrongManifests: what a manifest says of its chunks and of the tables
// has to be so.
func TestLoadOfWrongManifests(t *testing.T) {
	a := pgtest.New(t)
	a.Exec(t, `CREATE TABLE one (id int PRIMARY KEY); INSERT INTO one SELECT generate_series(1, 100);
		CREATE TABLE two (id int PRIMARY KEY); INSERT INTO two SELECT generate_series(1, 100)`)
	o := newOrigin(t, a)
	r := o.create(t)
	one, two := action.Name{Schema: "public", Name: "one"}, action.Name{Schema: "public", Name: "two"}
	for _, c := range []struct {
		name    string
		change  func(*checkpoint.Checkpoint)
		chunk   bool
		differs []action.Name
	}{
		{"right", func(*checkpoint.Checkpoint) {}, false, nil},
		{"another sum", func(c *checkpoint.Checkpoint) { c.State[1].Sum[0] ^= 1 }, false, []action.Name{two}},
		{"a row more", func(c *checkpoint.Checkpoint) { c.State[0].Rows++ }, false, []action.Name{one}},
		{"rows of no table", func(c *checkpoint.Checkpoint) { c.State = c.State[1:] }, false, []action.Name{one}},
		{"a file is missing", func(c *checkpoint.Checkpoint) { c.Files = c.Files[:1] }, false, []action.Name{two}},
		{"a file is there twice", func(c *checkpoint.Checkpoint) { c.Files = append(c.Files, c.Files[1]) }, false, []action.Name{two}},
		{"a chunk of other rows", func(c *checkpoint.Checkpoint) { c.Files[0].Chunks[0].Rows-- }, true, nil},
		{"a chunk of another size", func(c *checkpoint.Checkpoint) { c.Files[0].Chunks[0].Size++ }, true, nil},
		{"another chunk", func(c *checkpoint.Checkpoint) { c.Files[0].Chunks[0].Digest[0] ^= 1 }, true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := o.loader(t, pgtest.New(t), r.Number)
			c.change(l.Checkpoint)
			for range 2 { // what was wrong is wrong the next time, too
				err := load(t, l)
				var differ *checkpoint.StateError
				switch {
				case c.chunk:
					if !errors.Is(err, checkpoint.ErrChunk) {
						t.Errorf("got %v, want ErrChunk", err)
					}
				case c.differs == nil:
					if err != nil {
						t.Error(err)
					}
				case !errors.As(err, &differ) || !slices.Equal(differ.Tables, c.differs):
					t.Errorf("got %v, want that %v differ", err, c.differs)
				}
			}
		})
	}
}

// TestLockRestore: a restore waits for another one, and for what a killed one left
// running.
func TestLockRestore(t *testing.T) {
	db := pgtest.New(t)
	first, worker, second := db.Connect(t), db.Connect(t), db.Connect(t)
	if err := postgres.Install(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if err := checkpoint.LockRestore(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	if err := postgres.LockLoad.Share(t.Context(), worker); err != nil {
		t.Fatal(err)
	}
	locked := make(chan error, 1)
	go func() { locked <- checkpoint.LockRestore(t.Context(), second) }()
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	db.Wait(t, "1", "SELECT count(*) FROM pgbridge.session_lock l JOIN pg_stat_activity a USING (pid) WHERE l.name = 'restore' AND a.backend_start = l.backend_start")
	select {
	case err := <-locked:
		t.Fatalf("locked beside a session that loads: %v", err)
	default:
	}
	if err := worker.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-locked; err != nil {
		t.Fatal(err)
	}
}
