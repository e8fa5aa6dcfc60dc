package applier

import (
	"errors"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/postgres"
)

func TestCursor(t *testing.T) {
	one, two, three := action.Digest{1}, action.Digest{2}, action.Digest{3}
	record := func(epoch uint32, seq uint64, prev, digest action.Digest) archive.Record {
		return archive.Record{Header: archive.Header{Epoch: epoch, Seq: seq, Prev: prev}, Digest: digest}
	}
	for _, test := range []struct {
		name     string
		complete bool // progress is at the end of record 5, or inside of it
		next     uint64
		record   archive.Record
		fork     *ForkError // of which Seq, One and Two are looked at
		refused  string
	}{
		{"next", true, 6, record(1, 6, one, two), nil, ""},
		{"the same again", true, 6, record(1, 5, three, one), nil, "record 5 of epoch 1 came where 6 of epoch 1 is next"},
		{"one left out", true, 6, record(1, 7, two, three), nil, "came where 6"},
		{"another epoch", true, 6, record(2, 6, one, two), nil, "epoch 2 came where"},
		{"after another history", true, 6, record(1, 6, three, two), &ForkError{Seq: 5, One: one, Two: three}, ""},
		{"inside", false, 5, record(1, 5, three, one), nil, ""},
		{"inside of another record", false, 5, record(1, 5, three, two), &ForkError{Seq: 5, One: one, Two: two}, ""},
		{"past what is not over", false, 5, record(1, 6, one, two), nil, "record 6 of epoch 1 came where 5"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := cursorAt(postgres.Progress{Epoch: 1, Seq: 5, Digest: one, Complete: test.complete})
			if got := c.next(); got != test.next {
				t.Errorf("next: got %d, want %d", got, test.next)
			}
			before := c
			err := c.advance(&test.record)
			var fork *ForkError
			switch {
			case test.fork != nil:
				if !errors.As(err, &fork) || fork.Seq != test.fork.Seq || fork.One != test.fork.One || fork.Two != test.fork.Two {
					t.Errorf("got %v, want %v", err, test.fork)
				}
			case test.refused != "":
				if err == nil || errors.As(err, &fork) || !strings.Contains(err.Error(), test.refused) {
					t.Errorf("got %v, want it to say %q", err, test.refused)
				}
			case err != nil:
				t.Error(err)
			default:
				if want := (cursor{epoch: 1, seq: test.record.Header.Seq, digest: test.record.Digest}); c != want {
					t.Errorf("got %+v, want %+v", c, want)
				}
				return
			}
			if c != before {
				t.Errorf("moved to %+v in spite of the error", c)
			}
		})
	}
}
