package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/internal/fakearchive"
)

// broken is an archive that lists everything and ends in the middle.
type broken struct {
	archive.Finder
	after int
}

func (b *broken) Get(ctx context.Context, id string) ([]byte, error) {
	if b.after--; b.after < 0 {
		return nil, errors.New("the line is dead")
	}
	return b.Finder.Get(ctx, id)
}

func (b *broken) Name() string { return "broken" }

// What an archive that cannot be read would have is not known, and no fault.
func TestVerifyGoesOnWithoutAnArchive(t *testing.T) {
	t.Parallel()
	w := chainOf(t, 20)
	good := folder(t, w.items...)
	v := Verify{Archives: []Archive{good, {Finder: &broken{folder(t, w.items...).Finder, 7}}}, DB: w.db, workers: 1}
	r, err := v.Run(t.Context())
	if err != nil || len(r.Faults) > 0 || r.Complete.Seq != 21 {
		t.Errorf("got %+v, %v, want it to be complete without faults", r, err)
	}
	if h := r.Archives[1]; !strings.Contains(h.Error, "the line is dead") || r.Archives[0].Error != "" {
		t.Errorf("got %+v, want that the second could not be read", r.Archives)
	}
	v.Archives = v.Archives[1:]
	if _, err := v.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "the line is dead") {
		t.Errorf("alone: got %v, want that it could not be read", err)
	}
}

// A hole that is wider than what is asked for at once does not look like the end.
func TestVerifyWideHole(t *testing.T) {
	t.Parallel()
	w := chainOf(t, 320)
	a := []Archive{folder(t, slices.Concat(w.items[:20], w.items[310:])...)}
	r := w.verify(t, a...)
	if got := told(r, a); !slices.Equal(got, []string{"missing actions 21-310"}) || r.Complete.Seq != 20 || r.Head != 321 {
		t.Errorf("got %q, complete up to %d of %d, want records 21 to 310 missing of 321", got, r.Complete.Seq, r.Head)
	}
}

// A gateway serves what is not the record, and lists what nobody has signed.
func TestVerifyGateway(t *testing.T) {
	t.Parallel()
	w := chainOf(t, 20)
	fake := fakearchive.New(t)
	for _, item := range w.items {
		fake.Store(item)
	}
	fake.Mine(20)
	client := &archive.Client{Retry: archive.Backoff{First: 1, Longest: 1, Elapsed: 1}}
	t.Cleanup(client.CloseIdle)
	a := []Archive{folder(t, w.items...), {Finder: &archive.Gateway{URL: fake.URL, HTTP: client}}}
	if r := w.verify(t, a...); len(r.Faults) > 0 || r.Archives[1].Complete != 21 {
		t.Fatalf("clean: got %+v", r)
	}
	fake.Serve(w.items[3].ID, half(slices.Clone(w.items[3].Data)))
	fake.Serve(w.items[5].ID, flip(slices.Clone(w.items[5].Data)))
	fake.Serve(w.items[7].ID, w.items[8].Data)
	tags := slices.Clone(w.items[9].Tags)
	for i := range tags {
		if tags[i].Name == "Digest" {
			tags[i].Value = strings.Repeat("cd", 32)
		}
	}
	fake.Plant(fakearchive.Node{ID: fakearchive.NewID(7), Tags: tags, Height: 1})
	r := w.verify(t, a...)
	want := []string{"damaged actions 4-4 in 1 has 0", "damaged actions 6-6 in 1 has 0", "damaged actions 8-8 in 1 has 0"}
	if got := told(r, a); !slices.Equal(got, want) || r.Strangers != 1 || r.Complete.Seq != 21 {
		t.Errorf("got %q, %d strangers, complete up to %d, want %q, 1 and 21\n%+v", got, r.Strangers, r.Complete.Seq, want, r.Faults)
	}
}

// What a gateway lists and has not is missing there, and not damaged.
func TestVerifyGatewayWithoutData(t *testing.T) {
	t.Parallel()
	b := &beside{writer: chainOf(t, 5)}
	b.confirm(b.checkpoint(b.manifest("1\tone\n")))
	fake := fakearchive.New(t)
	for n, item := range slices.Concat(b.items, b.chunks, b.manifests) {
		if n == 3 || n == len(b.items) || item.ID == b.manifests[0].ID {
			fake.Plant(fakearchive.Node{ID: item.ID, Tags: item.Tags, Height: 1})
			continue
		}
		fake.Store(item)
	}
	fake.Mine(20)
	client := &archive.Client{Retry: archive.Backoff{First: 1, Longest: 1, Elapsed: 1}}
	t.Cleanup(client.CloseIdle)
	a := []Archive{{Finder: &archive.Gateway{URL: fake.URL, HTTP: client}}}
	r := b.verify(t, a...)
	if got, want := told(r, a), []string{"missing actions 4-4", "missing checkpoint 1-1"}; !slices.Equal(got, want) || r.Archives[0].Error != "" {
		t.Errorf("got %q, %+v, want %q", got, r.Archives, want)
	}
	fake.Store(b.manifests[0])
	fake.Mine(20)
	r = b.verify(t, a...)
	if got, want := told(r, a), []string{"missing actions 4-4", "missing chunk 1-1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A genesis that another key than its owner's has signed founds nothing.
func TestVerifyGenesisOfAnother(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	body, err := w.genesis().Encode()
	if err != nil {
		t.Fatal(err)
	}
	h := w.header
	h.DB, h.Prev = action.Digest{}, action.Digest{}
	w.key = archive.KeyFromSeed([32]byte{9})
	record := w.seal(h, body)
	v := Verify{Archives: []Archive{folder(t, w.wrap(&record))}, DB: record.Digest}
	if r, err := v.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "signed by another key") {
		t.Errorf("got %+v, %v, want that another key has signed it", r, err)
	}
}

// After a hole nothing is held against the records: initial rows may go on.
func TestVerifyHoleInInitialRows(t *testing.T) {
	t.Parallel()
	w := newWriter(t)
	for n := range 4 {
		l := insert(fmt.Sprint(n), "old")
		l.copy = n < 3
		w.next(l)
	}
	a := []Archive{folder(t, slices.Concat(w.items[:2], w.items[3:])...)}
	if got := told(w.verify(t, a...), a); !slices.Equal(got, []string{"missing actions 3-3"}) {
		t.Errorf("got %q, want record 3 missing, and no more", got)
	}
}
