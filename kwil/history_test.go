package kwil

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/archive/node"
)

// served is pgbridge's own node, in this process, over HTTP.
type served struct {
	*node.Node
	url  string
	http *archive.Client
}

func serve(t *testing.T, dir string) *served {
	t.Helper()
	n, err := node.Open(t.Context(), node.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Serve(ctx, l) }()
	s := &served{n, "http://" + l.Addr().String(), &archive.Client{Retry: archive.Backoff{First: time.Millisecond, Elapsed: 5 * time.Second}}}
	t.Cleanup(func() {
		s.http.CloseIdle()
		cancel()
		if err := errors.Join(<-done, n.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// upload posts items, no two in one millisecond: that is all the order there is.
func (s *served) upload(t *testing.T, items ...archive.Item) {
	t.Helper()
	to := &archive.Bundler{URL: s.url, Currency: "matic", Addresses: []string{s.Address()}, HTTP: s.http}
	for _, item := range items {
		receipt, err := to.Put(t.Context(), item.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		var p archive.Promise
		if err := json.Unmarshal(receipt.Raw, &p); err != nil {
			t.Fatal(err)
		}
		for time.Now().UnixMilli() <= p.Timestamp { // at most one millisecond
		}
	}
}

// sources are the ways to read a node.
func (s *served) sources() map[string][]Source {
	index := &archive.Gateway{URL: s.url, Dialect: archive.Bundlr, HTTP: s.http}
	gateway := &archive.Gateway{URL: s.url, HTTP: s.http}
	return map[string][]Source{
		"node":                    {&archive.Node{URL: s.url, HTTP: s.http}},
		"bundlr":                  {index},
		"bundlr and gateway":      {index, gateway},
		"the same archives twice": {index, index, gateway, gateway},
	}
}

// testHistory are the recorded items, in order.
func testHistory(t *testing.T, kind string) []archive.Item {
	t.Helper()
	files, err := filepath.Glob("testdata/" + kind + "/*.item")
	if err != nil || len(files) == 0 {
		t.Fatalf("recorded items: got %d, %v", len(files), err)
	}
	var items []archive.Item
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		item, err := archive.ParseItem(raw)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		items = append(items, item)
	}
	return items
}

func collect(t *testing.T, h *History) ([]Action, Report) {
	t.Helper()
	var report Report
	var all []Action
	for a, err := range h.Actions(t.Context(), &report) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
	}
	return all, report
}

// itemIDs says which actions there are, and where from.
func itemIDs(actions []Action) []string {
	var ids []string
	for _, a := range actions {
		ids = append(ids, a.ID+" "+a.Item)
	}
	return ids
}

func ofItems(t *testing.T, items []archive.Item) []string {
	t.Helper()
	var ids []string
	for _, item := range items {
		claim, err := readClaim(item.Tags, dbid)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, claim.ID+" "+item.ID)
	}
	return ids
}

// TestPages reads more pages than the reader of 2023 ever did, written by two
// providers, the reader's own actions among them, with strangers in between.
func TestPages(t *testing.T) {
	first, second, stranger := newProvider(t, 1), newProvider(t, 2), newProvider(t, 3)
	s := serve(t, filepath.Join(t.TempDir(), "items"))
	var want []archive.Item
	for n := range 305 {
		by := first
		if n%3 == 1 {
			by = second
		}
		item := by.save(t, actionID(n), "insert_message_sync", "$id", fmt.Sprint(n), "$message", "hi")
		want = append(want, item)
		s.upload(t, item)
		if n%30 == 0 {
			s.upload(t, stranger.save(t, actionID(1000+n), "insert_message_sync", "$id", "evil"))
		}
	}
	allow := []Address{first.address(t), second.address(t)}
	for _, name := range []string{"node", "bundlr and gateway"} { // the others read fewer items, below
		t.Run(name, func(t *testing.T) {
			actions, report := collect(t, &History{Sources: s.sources()[name], DBID: dbid, Allow: allow})
			if got, want := itemIDs(actions), ofItems(t, want); !slices.Equal(got, want) {
				t.Errorf("got %d actions %v\nwant %d %v", len(got), got, len(want), want)
			}
			if report.Actions != 305 || report.Listed != 305+11 || report.Reasons[Signature] != 11 || report.Ties != 0 || report.Doubtful() != 0 {
				t.Errorf("report: got %+v", report)
			}
		})
	}
	t.Run("gateway", func(t *testing.T) { // its times are those of blocks, in seconds
		actions, report := collect(t, &History{Sources: []Source{&archive.Gateway{URL: s.url, HTTP: s.http}}, DBID: dbid, Allow: allow})
		got, want := itemIDs(actions), ofItems(t, want)
		if slices.Equal(got, want) || report.Ties == 0 {
			t.Errorf("the order of upload, %d ties: want ties to be told", report.Ties)
		}
		if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
			t.Errorf("got %d actions, want %d", len(got), len(want))
		}
		if !slices.IsSortedFunc(actions, func(a, b Action) int {
			return byTime(listed{id: a.Item, at: a.Time}, listed{id: b.Item, at: b.Time})
		}) {
			t.Error("not in order of time and item")
		}
	})
}

// TestHostile reads the recorded items with all that others made of them.
func TestHostile(t *testing.T) {
	s := serve(t, filepath.Join(t.TempDir(), "items"))
	good := testHistory(t, "history")
	s.upload(t, good...)
	s.upload(t, testHistory(t, "hostile")...)
	allow := []Address{newProvider(t, 1).address(t), newProvider(t, 2).address(t)}
	sources := s.sources()
	sources["gateway"] = []Source{&archive.Gateway{URL: s.url, HTTP: s.http}}
	for name, sources := range sources {
		t.Run(name, func(t *testing.T) {
			actions, report := collect(t, &History{Sources: sources, DBID: dbid, Allow: allow})
			want := map[Reason]int{Signature: 2, Owner: 2, Tags: 1, Payload: 1, Clash: 1}
			if !maps.Equal(report.Reasons, want) {
				t.Errorf("refused: got %v, want %v\n%+v", report.Reasons, want, report.Refused)
			}
			if len(actions) != 27 || report.Repeats != 3 || report.Doubtful() != 2 {
				t.Errorf("got %d actions, %d repeats, %d doubtful, want 27, 3, 2", len(actions), report.Repeats, report.Doubtful())
			}
			if name == "gateway" {
				return // which of two comes first, it cannot tell
			}
			for _, a := range actions {
				for _, p := range a.Params {
					if p.Value == "evil" {
						t.Errorf("taken from a stranger: %+v", a)
					}
				}
			}
			if got := actions[0].Params[1].Value; got != "message 0: \"hi\"\n\\ <&> ü 😀 \u2028" {
				t.Errorf("a value: got %q", got)
			}
		})
	}
	t.Run("one provider allowed", func(t *testing.T) {
		actions, report := collect(t, &History{Sources: s.sources()["node"], DBID: dbid, Allow: allow[:1]})
		if len(actions) != 19 || report.Reasons[Signature] != 2+5+6 {
			t.Errorf("got %d actions, %v, want 19 and 13 with a signature that is not allowed", len(actions), report.Reasons)
		}
	})
	t.Run("nobody allowed", func(t *testing.T) {
		if actions, _ := collect(t, &History{Sources: s.sources()["node"], DBID: dbid}); len(actions) != 0 {
			t.Errorf("got %d actions, want none", len(actions))
		}
	})
	t.Run("another database", func(t *testing.T) {
		actions, report := collect(t, &History{Sources: s.sources()["node"], DBID: "x" + strings.Repeat("0", 56), Allow: allow})
		if len(actions) != 0 || report.Listed != 0 {
			t.Errorf("got %d actions of %d items, want none", len(actions), report.Listed)
		}
	})
	t.Run("from the folder", func(t *testing.T) {
		dir := t.TempDir()
		f := &archive.Folder{Dir: dir}
		at := time.Date(2023, 8, 8, 12, 0, 0, 0, time.UTC)
		for i, item := range good {
			if _, err := f.Keep(&item, at.Add(time.Duration(i)*time.Millisecond)); err != nil {
				t.Fatal(err)
			}
		}
		actions, report := collect(t, &History{Sources: []Source{f}, DBID: dbid, Allow: allow})
		if len(actions) != 27 || report.Repeats != 3 || report.Ties != 0 || !actions[0].Time.Equal(at) {
			t.Errorf("got %d actions from %s on, %d repeats, %d ties", len(actions), actions[0].Time, report.Repeats, report.Ties)
		}
	})
}

// memory is a source that lists what it is told to, in no order.
type memory struct {
	items  map[string]archive.Item
	listed []archive.Listed
	fail   error // of Item
	broken error // of List, after all items
}

func (m *memory) Name() string { return "memory" }

func (m *memory) List(_ context.Context, _ []archive.Tag) iter.Seq2[archive.Listed, error] {
	return func(yield func(archive.Listed, error) bool) {
		for _, i := range rand.Perm(len(m.listed)) {
			if !yield(m.listed[i], nil) {
				return
			}
		}
		if m.broken != nil {
			yield(archive.Listed{}, m.broken)
		}
	}
}

func (m *memory) Item(_ context.Context, id string, _ int) (archive.Item, error) {
	if item, ok := m.items[id]; ok {
		return item, nil
	}
	if m.fail != nil {
		return archive.Item{}, m.fail
	}
	return archive.Item{}, archive.ErrNotFound
}

// remember is a source of the recorded history, one item every millisecond.
func remember(t *testing.T) *memory {
	t.Helper()
	m := &memory{items: map[string]archive.Item{}}
	for i, item := range testHistory(t, "history") {
		m.items[item.ID] = item
		m.listed = append(m.listed, archive.Listed{ID: item.ID, Tags: item.Tags, At: time.UnixMilli(1691496000000 + int64(i))})
	}
	return m
}

// TestOrder: whatever the order and the number of sources, one history.
func TestOrder(t *testing.T) {
	allow := []Address{newProvider(t, 1).address(t), newProvider(t, 2).address(t)}
	m := remember(t)
	// Two in one millisecond, two without a time.
	m.listed[4].At = m.listed[3].At
	m.listed[5].At, m.listed[6].At = time.Time{}, time.Time{}
	untimed := remember(t)
	for i := range untimed.listed {
		untimed.listed[i].At = time.Time{}
		if i%2 == 0 {
			untimed.listed[i].Tags = nil // garbled
		}
	}
	want, report := collect(t, &History{Sources: []Source{m}, DBID: dbid, Allow: allow})
	if report.Ties != 2 {
		t.Errorf("ties: got %d, want 2", report.Ties)
	}
	if last := want[len(want)-1]; !last.Time.IsZero() {
		t.Errorf("last: got %+v, want one without a time", last)
	}
	for range 8 {
		sources := []Source{untimed, m, m, untimed}
		rand.Shuffle(len(sources), func(i, j int) { sources[i], sources[j] = sources[j], sources[i] })
		got, _ := collect(t, &History{Sources: sources, DBID: dbid, Allow: allow})
		if !slices.Equal(itemIDs(got), itemIDs(want)) {
			t.Fatalf("got %v, want %v", itemIDs(got), itemIDs(want))
		}
	}
}

// TestMissing: what is listed and nobody has stops the history, unless a person
// has said otherwise; what cannot be asked for now may be there later.
func TestMissing(t *testing.T) {
	allow := []Address{newProvider(t, 1).address(t), newProvider(t, 2).address(t)}
	gone := testHistory(t, "history")[5].ID
	down := errors.New("connection refused")
	tests := []struct {
		name    string
		sources func() []Source
		skip    []string
		actions int
		want    error
		reason  Reason
	}{
		{"gone", func() []Source { return []Source{without(t, gone, nil), without(t, gone, nil)} }, nil, 5, archive.ErrNotFound, ""},
		{"gone, skipped", func() []Source { return []Source{without(t, gone, nil)} }, []string{gone}, 26, nil, ""},
		{"elsewhere", func() []Source { return []Source{without(t, gone, nil), remember(t)} }, nil, 27, nil, ""},
		{"elsewhere, one lies", func() []Source { return []Source{without(t, gone, archive.ErrForged), remember(t)} }, nil, 27, nil, ""},
		{"one is down", func() []Source { return []Source{without(t, gone, down), without(t, gone, archive.ErrForged)} }, nil, 5, down, ""},
		{"all lie", func() []Source { return []Source{without(t, gone, nil), without(t, gone, archive.ErrForged)} }, nil, 26, nil, Item},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := &History{Sources: test.sources(), DBID: dbid, Allow: allow, Skip: test.skip}
			var report Report
			var last error
			for _, err := range h.Actions(t.Context(), &report) {
				last = err
			}
			if !errors.Is(last, test.want) || test.want == nil && last != nil {
				t.Errorf("got error %v, want %v", last, test.want)
			}
			if report.Actions != test.actions || report.Skipped != len(test.skip) {
				t.Errorf("got %d actions, %d skipped, want %d, %d", report.Actions, report.Skipped, test.actions, len(test.skip))
			}
			if test.reason != "" && (report.Reasons[test.reason] != 1 || report.Doubtful() != 1) {
				t.Errorf("got %v, want one %s", report.Reasons, test.reason)
			}
		})
	}
}

func without(t *testing.T, id string, fail error) *memory {
	t.Helper()
	m := remember(t)
	delete(m.items, id)
	m.fail = fail
	return m
}

// TestLyingIndex: what the owner has signed for another database, or for another
// purpose, is no action here, whatever the index says.
func TestLyingIndex(t *testing.T) {
	first := newProvider(t, 1)
	tags := first.tags(t, actionID(0))
	data := stringify("insert_message_sync", "$id", "x")
	tests := []struct {
		name   string
		reason Reason
		item   archive.Item
	}{
		{"another database", Tags, first.item(t, withTag(slices.Clone(tags), "Original-DBID", "x"+strings.Repeat("0", 56)), data)},
		{"another program", Tags, first.item(t, withTag(slices.Clone(tags), "Application", "Other"), data)},
		{"another type", Tags, first.item(t, withTag(slices.Clone(tags), "Type", "Export"), data)},
		{"another content type", Tags, first.item(t, withTag(slices.Clone(tags), "Content-Type", "text/plain"), data)},
		{"an action id that is none", Tags, first.item(t, withTag(slices.Clone(tags), "Action-Id", "1"), data)},
		{"no tags", Tags, first.item(t, nil, data)},
		{"the signature of another id", Signature, first.item(t, withTag(slices.Clone(tags), "Signature", first.signed(t, "x")), data)},
		{"a signature that is none", Signature, first.item(t, withTag(slices.Clone(tags), "Signature", "0x00"), data)},
		{"not of an Ethereum key", Owner, otherItem(t, tags, data)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := &memory{
				items:  map[string]archive.Item{test.item.ID: test.item},
				listed: []archive.Listed{{ID: test.item.ID, Tags: tags, At: time.UnixMilli(1)}},
			}
			actions, report := collect(t, &History{Sources: []Source{m}, DBID: dbid, Allow: []Address{first.address(t)}})
			if len(actions) != 0 || len(report.Refused) != 1 || report.Refused[0].Reason != test.reason || report.Doubtful() != 0 {
				t.Errorf("got %v, %+v, want it refused for its %s", actions, report, test.reason)
			}
		})
	}
}

// otherItem is signed by an ed25519 key.
func otherItem(t *testing.T, tags []archive.Tag, data string) archive.Item {
	t.Helper()
	item, err := archive.SignItem(archive.KeyWallet(archive.KeyFromSeed([32]byte{1})), tags, []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return item
}

// TestListFails: a source that breaks off may hide what comes first.
func TestListFails(t *testing.T) {
	m := remember(t)
	m.broken = errors.New("connection reset")
	h := &History{Sources: []Source{remember(t), m}, DBID: dbid, Allow: []Address{newProvider(t, 1).address(t)}}
	n := 0
	for a, err := range h.Actions(t.Context(), nil) {
		if n++; !errors.Is(err, m.broken) {
			t.Errorf("got %+v, %v, want %v at once", a, err, m.broken)
		}
	}
	if n != 1 {
		t.Errorf("got %d results, want 1", n)
	}
}

func TestReportIsBounded(t *testing.T) {
	var r Report
	for range maxRefused + 5 {
		r.refuse(Refusal{Reason: Tags})
	}
	r.refuse(Refusal{Reason: Clash})
	if r.Reasons[Tags] != maxRefused+5 || len(r.Refused) != maxRefused+1 || r.Doubtful() != 1 {
		t.Errorf("got %v, %d listed, want all counted and %d listed", r.Reasons, len(r.Refused), maxRefused+1)
	}
}
