package main

import (
	"strings"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/postgres"
)

func TestPassed(t *testing.T) {
	w := action.Writer{1}
	at := postgres.Progress{Writer: w, Epoch: 2, Seq: 7, Txs: 3, LSN: 100, Clock: action.Clock{Micros: 1000}}
	place := func(epoch uint32, seq uint64, tx int) archive.Moment {
		return archive.Moment{Place: archive.Place{Writer: w, Epoch: epoch, Seq: seq, Tx: tx}}
	}
	for _, c := range []struct {
		name  string
		until archive.Moment
		skip  action.LSN
		want  bool
	}{
		{"no end", archive.Moment{}, 0, false},
		{"later", archive.Moment{Time: time.UnixMicro(1000)}, 0, false},
		{"earlier", archive.Moment{Time: time.UnixMicro(999)}, 0, true},
		{"position after", archive.Moment{Before: 101}, 0, false},
		{"position of the last", archive.Moment{Before: 100}, 0, true},
		{"position of the checkpoint that was loaded", archive.Moment{Before: 100}, 100, false},
		{"this record", place(2, 7, archive.WholeRecord), 0, false},
		{"this transaction", place(2, 7, 2), 0, false},
		{"the one before", place(2, 7, 1), 0, true},
		{"the record before", place(2, 6, archive.WholeRecord), 0, true},
		{"the epoch before", place(1, 9, archive.WholeRecord), 0, true},
		{"the epoch after", place(3, 1, 0), 0, false},
	} {
		p := at
		p.Skip = c.skip
		if got := passed(c.until, p); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestRestoreOptions(t *testing.T) {
	id := strings.Repeat("0", 64)
	for _, c := range []struct {
		name string
		o    restoreOptions
		want string // of the error
	}{
		{"no session", restoreOptions{id: id}, "--jobs 0"},
		{"follow and until", restoreOptions{id: id, jobs: 2, follow: true, until: "1:1"}, "--follow goes on beyond --until"},
		{"follow a part", restoreOptions{id: id, jobs: 2, follow: true, tables: []string{"a.b"}}, "a part of a database cannot follow"},
		{"no number", restoreOptions{id: id, jobs: 2, checkpoint: "last"}, `--checkpoint "last"`},
		{"no table", restoreOptions{id: id, jobs: 2, tables: []string{"a"}}, "--table"},
		{"no database", restoreOptions{jobs: 2}, "which database?"},
		{"good", restoreOptions{id: id, jobs: 2, checkpoint: "none", tables: []string{"b.a", "a.b", "b.a"}}, ""},
	} {
		r, err := c.o.parse(&app{}, time.Now())
		if c.want == "" && err == nil {
			if got := tableList(r.tables); got != "a.b, b.a" || r.from != genesisOnly {
				t.Errorf("%s: got tables %s from %d", c.name, got, r.from)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}
