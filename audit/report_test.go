package audit

import (
	"fmt"
	"slices"
	"testing"

	"github.com/pgbridge/pgbridge/archive"
)

// Faults that are of the same kind, and follow each other, are one.
func TestReportAdd(t *testing.T) {
	t.Parallel()
	first := Fault{Kind: Missing, Type: archive.TypeActions, Epoch: 1, First: 5, Last: 5, Archive: "a", Has: []string{"b"}}
	for _, test := range []struct {
		name   string
		change func(*Fault)
		want   int // faults
	}{
		{"the next", func(*Fault) {}, 1},
		{"the same again", func(f *Fault) { f.First, f.Last = 5, 5 }, 2},
		{"the one after the next", func(f *Fault) { f.First, f.Last = 7, 7 }, 2},
		{"another kind", func(f *Fault) { f.Kind = Damaged }, 2},
		{"another type", func(f *Fault) { f.Type = archive.TypeChunk }, 2},
		{"another epoch", func(f *Fault) { f.Epoch = 2 }, 2},
		{"another archive", func(f *Fault) { f.Archive = "c" }, 2},
		{"another detail", func(f *Fault) { f.Detail = "cut short" }, 2},
		{"another has it", func(f *Fault) { f.Has = []string{"c"} }, 2},
		{"more have it", func(f *Fault) { f.Has = []string{"b", "c"} }, 2},
	} {
		var r Report
		next := first
		next.First, next.Last, next.Has = 6, 6, slices.Clone(first.Has)
		test.change(&next)
		r.add(first)
		r.add(next)
		if got := len(r.Faults); got != test.want {
			t.Errorf("%s: got %d faults, want %d", test.name, got, test.want)
		}
		if f := r.Faults[0]; test.want == 1 && (f.Last != 6 || f.Records != 2) {
			t.Errorf("%s: got records %d to %d, %d of them, want 5 to 6, 2", test.name, f.First, f.Last, f.Records)
		}
	}
}

// Beyond what is listed, faults are counted.
func TestReportOfManyFaults(t *testing.T) {
	t.Parallel()
	var r Report
	for n := range maxFaults + 3 {
		r.add(Fault{Kind: Damaged, First: uint64(n), Last: uint64(n), Detail: fmt.Sprint(n)})
	}
	if len(r.Faults) != maxFaults || r.Faulty() != maxFaults+3 {
		t.Errorf("got %d of %d faults, want %d of %d", len(r.Faults), r.Faulty(), maxFaults, maxFaults+3)
	}
}
