package archive_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/archive/storetest"
	"github.com/pgbridge/pgbridge/internal/fakearchive"
)

type node = fakearchive.Node

// TestFindFaults reads a chain of 60 records through an index that misbehaves.
func TestFindFaults(t *testing.T) {
	answer := fakearchive.Answer
	for _, test := range []struct {
		name    string
		script  []fakearchive.Fault
		lie     func([]node) []node
		endless bool
		last    bool
		missing []uint64
	}{
		{name: "fine"},
		{name: "429, 500, 503", script: []fakearchive.Fault{answer(429, ""), answer(500, ""), answer(503, "")}},
		{name: "dropped", script: []fakearchive.Fault{fakearchive.Drop}},
		{name: "cut off", script: []fakearchive.Fault{fakearchive.Truncate}},
		{name: "shuffled", lie: func(n []node) []node {
			rand.Shuffle(len(n), func(i, j int) { n[i], n[j] = n[j], n[i] })
			return n
		}},
		{name: "all twice", lie: func(n []node) []node { return append(n, n...) }},
		{name: "all thrice", lie: func(n []node) []node { return slices.Concat(n, n, n) }},
		{name: "all thrice, and each page says it is the last", last: true, lie: func(n []node) []node {
			n = slices.Concat(n, n, n)
			slices.SortFunc(n, func(a, b node) int { return strings.Compare(a.ID, b.ID) })
			return n
		}},
		{name: "pages without end", endless: true},
		{name: "other people's items", lie: func(n []node) []node {
			return append(n, node{ID: fakearchive.NewID(9)}, node{ID: "../../etc/passwd"}, node{ID: fakearchive.NewID(8), Tags: []archive.Tag{{Name: "Seq", Value: "1"}}})
		}},
		{name: "tags lost", missing: []uint64{7}, lie: func(n []node) []node { return edit(n, "7", func(n *node) { n.Tags = nil }) }},
		{name: "tags of another number", missing: []uint64{7}, lie: func(n []node) []node {
			return edit(n, "7", func(n *node) { set(n.Tags, "Seq", "9007") })
		}},
		{name: "missing item", missing: []uint64{7}, lie: func(n []node) []node {
			return slices.DeleteFunc(n, func(n node) bool { return seqOf(n) == "7" })
		}},
	} {
		for _, dialect := range []archive.Dialect{archive.Arweave, archive.Bundlr} {
			t.Run(fmt.Sprintf("%s/%s", test.name, dialect), func(t *testing.T) {
				s := fakearchive.New(t)
				c := storetest.NewChain(t, "find")
				for range 60 {
					s.Store(c.Next(t, archive.TypeActions, nil))
				}
				s.Lie, s.Endless, s.Last = test.lie, test.endless, test.last
				s.Script(fakearchive.Index, test.script...)
				g := &archive.Gateway{URL: s.URL, Dialect: dialect, HTTP: patient(t)}
				refs, err := g.Find(t.Context(), c.Query(1, 100))
				if err != nil {
					t.Fatalf("Find: %v", err)
				}
				if got, want := missing(refs, 60), test.missing; !slices.Equal(got, want) {
					t.Errorf("missing: got %v, want %v", got, want)
				}
				for _, r := range refs {
					if r.Seq > 60 || r.DB != c.DB || r.Writer != c.Key.Writer() {
						t.Errorf("got %v, which nobody asked for", r)
					}
				}
				if got := s.Asked(fakearchive.Index); got > 40 {
					t.Errorf("asked %d times for 100 numbers", got)
				}
			})
		}
	}
}

func TestFindFails(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault fakearchive.Fault
		want  string
	}{
		{"errors", fakearchive.Answer(200, `{"errors":[{"message":"too \u0007 complex"}]}`), "too complex"},
		{"null", fakearchive.Answer(200, `null`), "no transactions"},
		{"no data", fakearchive.Answer(200, `{"data":null}`), "no transactions"},
		{"page of a proxy", fakearchive.Answer(200, `<html>`), "invalid character"},
		{"400", fakearchive.Answer(400, `Unknown argument "sort"`), "400 Bad Request: Unknown argument"},
		{"402", fakearchive.Answer(402, ``), "402 Payment Required"},
		{"too long", fakearchive.Answer(200, strings.Repeat(" ", 9<<20)), "over the limit"},
		{"asks for an hour", fakearchive.Busy(3600), "come back in 1h0m0s"},
		{"redirect", fakearchive.Redirect("https://elsewhere.example/graphql?key=hidden"), "redirects to https://elsewhere.example/graphql, which"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := fakearchive.New(t)
			s.Script(fakearchive.Index, test.fault)
			g := &archive.Gateway{URL: s.URL, HTTP: hasty(t)}
			refs, err := g.Find(t.Context(), storetest.NewChain(t, "find").Query(1, 10))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Find: got %v, %v, want an error with %q", refs, err, test.want)
			}
			if got := s.Asked(fakearchive.Index); got != 1 {
				t.Errorf("asked %d times, want once", got)
			}
		})
	}
}

// Strangers fill the index with items that carry our tags, and whose ids come
// before all others.
func TestFindFlooded(t *testing.T) {
	wallet := archive.KeyFromSeed([32]byte{1})
	for _, test := range []struct {
		name    string
		wallet  *archive.Key // nil: the writer's
		owners  []string
		flooded uint64 // the numbers from 1 to this
		each    int    // items
		missing []uint64
	}{
		{name: "one number", flooded: 1, each: 5000},
		{name: "all numbers", flooded: 10, each: 300},
		{name: "more than can be looked at", flooded: 100, each: 120},
		{name: "another wallet", wallet: &wallet, owners: []string{archive.Address(public(wallet))}, flooded: 10, each: 300},
		{name: "another wallet, not configured", wallet: &wallet, flooded: 10, each: 300},
		{name: "another wallet, not configured, one number", wallet: &wallet, flooded: 1, each: 1100, missing: []uint64{1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := fakearchive.New(t)
			c := storetest.NewChain(t, "flood")
			for seq := uint64(1); seq <= max(10, test.flooded); seq++ {
				item := c.Next(t, archive.TypeActions, nil)
				if test.wallet != nil {
					item = rewrap(t, item, *test.wallet)
				}
				if seq <= 10 {
					s.Store(item)
				}
				for i := 0; i < test.each && seq <= test.flooded; i++ {
					s.Plant(node{ID: fmt.Sprintf("-%02d%040d", seq, i*4), Owner: "stranger", Tags: item.Tags})
				}
			}
			g := &archive.Gateway{URL: s.URL, Owners: test.owners, HTTP: patient(t)}
			refs, err := g.Find(t.Context(), c.Query(1, 100))
			if err != nil {
				t.Fatalf("Find: %v", err)
			}
			refs = slices.DeleteFunc(refs, func(r archive.Ref) bool { return strings.HasPrefix(r.ID, fmt.Sprintf("-%02d00000", r.Seq)) })
			if got := missing(refs, 10); !slices.Equal(got, test.missing) {
				t.Errorf("missing: got %v, want %v", got, test.missing)
			}
			if got := s.Asked(fakearchive.Index); got > 64 {
				t.Errorf("asked %d times, want at most 64", got)
			}
		})
	}
}

func public(k archive.Key) []byte {
	w := k.Writer()
	return w[:]
}

func rewrap(t *testing.T, item archive.Item, wallet archive.Key) archive.Item {
	t.Helper()
	record, err := archive.Open(item.Data)
	if err != nil {
		t.Fatalf("open record: %v", err)
	}
	item, err = archive.Wrap(archive.KeyWallet(wallet), &record, nil)
	if err != nil {
		t.Fatalf("wrap record: %v", err)
	}
	return item
}

func TestFindGenesisFlooded(t *testing.T) {
	s := fakearchive.New(t)
	c := storetest.NewChain(t, "flood")
	s.Store(c.Genesis)
	flood := make([]node, 250)
	for i := range flood {
		flood[i] = node{ID: "-" + fmt.Sprintf("%042d", i*4), Owner: "stranger", Tags: c.Genesis.Tags}
	}
	s.Plant(flood...)
	for _, endless := range []bool{false, true} {
		s.Endless = endless
		refs, err := (&archive.Gateway{URL: s.URL, HTTP: patient(t)}).FindGenesis(t.Context(), c.DB)
		if err != nil {
			t.Fatalf("FindGenesis: %v", err)
		}
		if found := slices.ContainsFunc(refs, func(r archive.Ref) bool { return r.ID == c.Genesis.ID }); found == endless {
			t.Errorf("endless %v: found the genesis: %v", endless, found)
		}
	}
	if got := s.Asked(fakearchive.Index); got > 13 {
		t.Errorf("asked %d times, want the number of pages bounded", got)
	}
}

func TestGetFaults(t *testing.T) {
	answer := fakearchive.Answer
	type script []fakearchive.Fault
	for _, test := range []struct {
		name   string
		script script
		want   string // nothing: the bytes
		absent bool
	}{
		{name: "fine"},
		{name: "429, 500", script: script{answer(429, ""), answer(500, "")}},
		{name: "dropped", script: script{fakearchive.Drop}},
		{name: "cut off", script: script{fakearchive.Truncate, fakearchive.Truncate}},
		{name: "slow", script: script{fakearchive.Drip}},
		{name: "pending at /raw", script: script{answer(202, "Pending")}},
		{name: "no /raw", script: script{answer(404, "")}},
		{name: "gone", script: script{answer(404, ""), answer(404, "")}, want: "not in this archive", absent: true},
		{name: "pending", script: script{answer(404, ""), answer(202, "Pending")}, want: "not in this archive", absent: true},
		{name: "gone, sandbox", script: script{answer(404, ""), fakearchive.Redirect("https://sandbox.example/")}, want: "not in this archive", absent: true},
		{name: "forbidden", script: script{answer(403, "blocked")}, want: "403 Forbidden: blocked"},
		{name: "no /raw, then refused", script: script{answer(404, ""), answer(400, "")}, want: "400 Bad Request"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := fakearchive.New(t)
			item := storetest.NewChain(t, "get").Next(t, archive.TypeActions, bytes.Repeat([]byte("body"), 1000))
			s.Store(item)
			s.Script(fakearchive.Data, test.script...)
			c := patient(t)
			if test.name == "slow" {
				c.Exchange = time.Second
			}
			got, err := (&archive.Gateway{URL: s.URL, HTTP: c}).Get(t.Context(), item.ID)
			if test.want == "" && (err != nil || !bytes.Equal(got, item.Data)) {
				t.Errorf("Get: got %d bytes, %v, want the %d of the item", len(got), err, len(item.Data))
			}
			if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("Get: got %d bytes, %v, want %q", len(got), err, test.want)
			}
			if is := errors.Is(err, archive.ErrNotFound); is != test.absent {
				t.Errorf("Get: got %v, is it ErrNotFound: %v, want %v", err, is, test.absent)
			}
		})
	}
}

func missing(refs []archive.Ref, last uint64) (seqs []uint64) {
	for seq := uint64(1); seq <= last; seq++ {
		if !slices.ContainsFunc(refs, func(r archive.Ref) bool { return r.Seq == seq }) {
			seqs = append(seqs, seq)
		}
	}
	return seqs
}

func seqOf(n node) string {
	for _, t := range n.Tags {
		if t.Name == "Seq" {
			return t.Value
		}
	}
	return ""
}

func edit(nodes []node, seq string, change func(*node)) []node {
	for i := range nodes {
		if seqOf(nodes[i]) == seq {
			nodes[i].Tags = slices.Clone(nodes[i].Tags)
			change(&nodes[i])
		}
	}
	return nodes
}

func set(tags []archive.Tag, name, value string) {
	for i := range tags {
		if tags[i].Name == name {
			tags[i].Value = value
		}
	}
}
