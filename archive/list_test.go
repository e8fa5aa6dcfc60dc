package archive_test

import (
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/internal/fakearchive"
)

// TestListFaults reads 250 items, three pages, of an index that misbehaves:
// either all of them are listed, or there is an error.
func TestListFaults(t *testing.T) {
	color := archive.Tag{Name: "Color", Value: "red"}
	for _, test := range []struct {
		name          string
		script        []fakearchive.Fault
		lie           func([]node) []node
		endless, last bool
		fault         string
	}{
		{name: "fine"},
		{name: "429, 503, dropped", script: []fakearchive.Fault{fakearchive.Answer(429, ""), fakearchive.Answer(503, ""), fakearchive.Drop}},
		{name: "cut off", script: []fakearchive.Fault{fakearchive.Truncate}},
		{name: "each page says that it is the last", last: true},
		{name: "the first page again and again", endless: true, fault: "the same pages again"},
		{name: "all twice", lie: func(n []node) []node { return append(n, n...) }},
		{name: "what nobody asked for", lie: func(n []node) []node {
			return append(n, node{ID: archive.Address([]byte("blue")), Tags: []archive.Tag{{Name: "Color", Value: "blue"}}})
		}},
		{name: "refused", script: []fakearchive.Fault{fakearchive.Answer(400, "no")}, fault: "400"},
	} {
		for _, dialect := range []archive.Dialect{archive.Arweave, archive.Bundlr} {
			t.Run(test.name+", "+string(dialect), func(t *testing.T) {
				s := fakearchive.New(t)
				for n := range 250 {
					s.Plant(node{ID: fakearchive.NewID(byte(n)), Tags: []archive.Tag{color}, Height: 7})
				}
				s.Lie, s.Endless, s.Last = test.lie, test.endless, test.last
				s.Script(fakearchive.Index, test.script...)
				g := &archive.Gateway{URL: s.URL, Dialect: dialect, HTTP: patient(t)}
				seen := map[string]bool{}
				var err error
				for l, failed := range g.List(t.Context(), []archive.Tag{color}) {
					if err = failed; err == nil {
						seen[l.ID] = true
					}
				}
				if test.fault != "" {
					if err == nil || !strings.Contains(err.Error(), test.fault) {
						t.Errorf("got %d items, %v, want an error with %q", len(seen), err, test.fault)
					}
					return
				}
				if err != nil || len(seen) != 250 {
					t.Errorf("got %d items, %v, want 250", len(seen), err)
				}
			})
		}
	}
}
