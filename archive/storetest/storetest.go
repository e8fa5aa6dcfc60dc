// Package storetest says what every archive that pgbridge can write to must
// do. It is for tests: run it against each implementation.
package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/pgbridge/pgbridge/archive"
)

// Store is an archive that is written and read.
type Store interface {
	archive.Finder
	archive.Putter
}

// Run runs the suite. open returns an empty store, and cleans up with t.
func Run(t *testing.T, open func(t *testing.T) Store) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Store)
	}{
		{"put, find, get", putFindGet},
		{"empty", empty},
		{"the same bytes twice", twice},
		{"windows", windows},
		{"chains are apart", chainsApart},
		{"fork and second wrapper", fork},
		{"genesis", genesis},
		{"large item", large},
		{"no item", rejects},
		{"concurrent puts", concurrent},
		{"not a query", badQuery},
		{"cancelled", cancelled},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
	}
}

func putFindGet(t *testing.T, s Store) {
	c := NewChain(t, "one")
	item := c.Next(t, archive.TypeActions, []byte("hello"))
	mustPut(t, s, item)
	want := refOf(t, item)
	expect(t, s, c.Query(1, 10), want)
	expectData(t, s, want.ID, item.Data)
	if _, err := archive.Open(item.Data); err != nil {
		t.Fatalf("the suite made a bad record: %v", err)
	}
}

func empty(t *testing.T, s Store) {
	c := NewChain(t, "nobody")
	expect(t, s, c.Query(1, 100))
	if refs, err := s.FindGenesis(t.Context(), c.DB); err != nil || len(refs) != 0 {
		t.Errorf("FindGenesis of an unknown database: got %v, %v, want nothing", refs, err)
	}
	unknown := c.Next(t, archive.TypeActions, nil).ID
	for _, id := range []string{unknown, "", "x", "../../etc/passwd", unknown + "A", unknown[:42] + "="} {
		if got, err := s.Get(t.Context(), id); !errors.Is(err, archive.ErrNotFound) {
			t.Errorf("Get(%q): got %d bytes and %v, want ErrNotFound", id, len(got), err)
		}
	}
	if state, err := s.Status(t.Context(), unknown); err != nil || state != archive.Unknown {
		t.Errorf("Status of an unknown item: got %v, %v, want unknown", state, err)
	}
}

func twice(t *testing.T, s Store) {
	c := NewChain(t, "twice")
	item := c.Next(t, archive.TypeActions, []byte("again"))
	mustPut(t, s, item)
	mustPut(t, s, item)
	mustPut(t, s, item)
	expect(t, s, c.Query(1, 1), refOf(t, item))
	expectData(t, s, item.ID, item.Data)
}

func windows(t *testing.T, s Store) {
	c := NewChain(t, "windows")
	const holeAt, last = 57, 1130
	refs := make(map[uint64]archive.Ref)
	c.Header.Seq = 40
	for c.Header.Seq < last {
		if c.Header.Seq == 60 {
			c.Header.Seq = 990 // across a thousand
		}
		kind := archive.TypeActions
		if c.Header.Seq%10 == 0 {
			kind = archive.TypeAck
		}
		item := c.Next(t, kind, []byte("w"))
		seq := c.Header.Seq
		if seq != holeAt {
			mustPut(t, s, item)
			refs[seq] = refOf(t, item)
		}
		if seq == 1010 {
			c.Header.Seq = 1120
		}
	}
	for _, test := range []struct {
		first, last uint64
		kind        archive.Type
	}{
		{1, 40, ""},
		{41, 41, ""},
		{40, 42, ""},
		{50, 60, ""},
		{holeAt, holeAt, ""},
		{1, 100, ""},
		{61, 160, ""},
		{999, 1000, ""},
		{1000, 1000, ""},
		{950, 1049, ""},
		{1031, 1130, ""},
		{1130, 1229, ""},
		{1131, 1230, ""},
		{991, 1010, archive.TypeAck},
		{991, 1010, archive.TypeActions},
		{991, 1010, archive.TypeCheckpoint},
	} {
		q := c.Query(test.first, test.last)
		q.Type = test.kind
		var want []archive.Ref
		for seq := test.first; seq <= test.last; seq++ {
			if ref, ok := refs[seq]; ok && (test.kind == "" || test.kind == ref.Type) {
				want = append(want, ref)
			}
		}
		expect(t, s, q, want...)
	}
}

func chainsApart(t *testing.T, s Store) {
	a, b := NewChain(t, "a"), NewChain(t, "b")
	inA := a.Next(t, archive.TypeActions, []byte("a"))
	inB := b.Next(t, archive.TypeActions, []byte("b"))
	guest := b.Guest(a)
	ofB := guest.Next(t, archive.TypeActions, []byte("b writes to a"))
	later := *a
	later.Header.Epoch, later.Header.Seq = 2, 0
	epoch2 := later.Next(t, archive.TypeActions, []byte("epoch 2"))
	for _, item := range []archive.Item{inA, inB, ofB, epoch2} {
		mustPut(t, s, item)
	}
	expect(t, s, a.Query(1, 100), refOf(t, inA))
	expect(t, s, b.Query(1, 100), refOf(t, inB))
	expect(t, s, guest.Query(1, 100), refOf(t, ofB))
	expect(t, s, later.Query(1, 100), refOf(t, epoch2))
}

func fork(t *testing.T, s Store) {
	c := NewChain(t, "fork")
	other := *c
	left := c.Next(t, archive.TypeActions, []byte("left"))
	right := other.Next(t, archive.TypeActions, []byte("right"))
	record, err := archive.Open(left.Data)
	if err != nil {
		t.Fatalf("open record: %v", err)
	}
	again, err := archive.Wrap(archive.KeyWallet(keyOf("another wallet")), &record, nil)
	if err != nil {
		t.Fatalf("wrap record: %v", err)
	}
	for _, item := range []archive.Item{left, right, again} {
		mustPut(t, s, item)
	}
	expect(t, s, c.Query(1, 1), refOf(t, left), refOf(t, right), refOf(t, again))
	named := c.Query(1, 1)
	named.Action = "app.create_post" // again does not say what it holds
	expect(t, s, named, refOf(t, left), refOf(t, right))
	named.Action = "app.create"
	expect(t, s, named)
	for _, item := range []archive.Item{left, right, again} {
		expectData(t, s, item.ID, item.Data)
	}
}

func genesis(t *testing.T, s Store) {
	c, other := NewChain(t, "genesis"), NewChain(t, "other genesis")
	for _, item := range []archive.Item{c.Genesis, other.Genesis, c.Next(t, archive.TypeActions, []byte("x"))} {
		mustPut(t, s, item)
	}
	refs, err := s.FindGenesis(t.Context(), c.DB)
	if err != nil {
		t.Fatalf("FindGenesis: %v", err)
	}
	sameRefs(t, "FindGenesis", refs, []archive.Ref{refOf(t, c.Genesis)})
	raw, err := s.Get(t.Context(), c.Genesis.ID)
	if err != nil {
		t.Fatalf("Get genesis: %v", err)
	}
	record, err := archive.Open(raw)
	if err != nil || record.DB() != c.DB {
		t.Errorf("the genesis that was found is of %v (%v), want %v", record.DB(), err, c.DB)
	}
}

func large(t *testing.T, s Store) {
	body := make([]byte, 9<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(body) // never fails
	item := NewChain(t, "large").Next(t, archive.TypeCheckpoint, body)
	mustPut(t, s, item)
	expectData(t, s, item.ID, item.Data)
}

func rejects(t *testing.T, s Store) {
	c := NewChain(t, "rejects")
	item := c.Next(t, archive.TypeActions, []byte("good"))
	changed := bytes.Clone(item.Bytes)
	changed[len(changed)-1] ^= 1
	for _, test := range []struct {
		name string
		raw  []byte
	}{
		{"empty", nil},
		{"text", []byte("hello")},
		{"cut short", item.Bytes[:len(item.Bytes)-1]},
		{"one bit changed", changed},
		{"one byte too many", append(bytes.Clone(item.Bytes), 0)},
	} {
		if _, err := s.Put(t.Context(), test.raw); !errors.Is(err, archive.ErrRejected) {
			t.Errorf("Put of an item that is %s: got %v, want ErrRejected", test.name, err)
		}
	}
	expect(t, s, c.Query(1, 1))
}

func concurrent(t *testing.T, s Store) {
	const writers, each = 6, 12
	var done sync.WaitGroup
	for w := range writers {
		c := NewChain(t, fmt.Sprint("writer ", w))
		var items []archive.Item
		var refs []archive.Ref
		for n := range each {
			items = append(items, c.Next(t, archive.TypeActions, fmt.Append(nil, w, n)))
			refs = append(refs, refOf(t, items[n]))
		}
		done.Go(func() {
			for n := range items {
				if _, err := s.Put(t.Context(), items[n].Bytes); err != nil {
					t.Errorf("Put: %v", err)
					return
				}
				found, err := s.Find(t.Context(), c.Query(1, 100))
				if err != nil {
					t.Errorf("Find: %v", err)
					return
				}
				sameRefs(t, "Find while others put", found, refs[:n+1])
			}
		})
	}
	done.Wait()
	same := NewChain(t, "the same")
	item := same.Next(t, archive.TypeActions, []byte("same"))
	for range writers {
		done.Go(func() {
			if _, err := s.Put(t.Context(), item.Bytes); err != nil {
				t.Errorf("Put of the same bytes at once: %v", err)
			}
		})
	}
	done.Wait()
	expect(t, s, same.Query(1, 1), refOf(t, item))
}

func badQuery(t *testing.T, s Store) {
	c := NewChain(t, "bad query")
	for _, q := range []archive.Query{c.Query(0, 5), c.Query(6, 5), c.Query(1, archive.MaxWindow+1)} {
		if refs, err := s.Find(t.Context(), q); err == nil {
			t.Errorf("Find of %d to %d: got %v, want an error", q.First, q.Last, refs)
		}
	}
}

func cancelled(t *testing.T, s Store) {
	c := NewChain(t, "cancelled")
	item := c.Next(t, archive.TypeActions, []byte("late"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Put(ctx, item.Bytes); !errors.Is(err, context.Canceled) {
		t.Errorf("Put: got %v, want context.Canceled", err)
	}
	if _, err := s.Find(ctx, c.Query(1, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("Find: got %v, want context.Canceled", err)
	}
}

func mustPut(t *testing.T, s Store, item archive.Item) {
	t.Helper()
	receipt, err := s.Put(t.Context(), item.Bytes)
	if err != nil {
		t.Fatalf("Put: %v", err)
	}
	if receipt.ID != item.ID {
		t.Errorf("Put: a receipt for %q, want %q", receipt.ID, item.ID)
	}
	if state, err := s.Status(t.Context(), item.ID); err != nil || state < archive.Accepted {
		t.Errorf("Status after Put: got %v, %v, want accepted or better", state, err)
	}
}

func expectData(t *testing.T, s Store, id string, want []byte) {
	t.Helper()
	got, err := s.Get(t.Context(), id)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("Get: got %d bytes, want %d, or they differ", len(got), len(want))
	}
}

func expect(t *testing.T, s Store, q archive.Query, want ...archive.Ref) {
	t.Helper()
	refs, err := s.Find(t.Context(), q)
	if err != nil {
		t.Fatalf("Find %d to %d: %v", q.First, q.Last, err)
	}
	sameRefs(t, fmt.Sprintf("Find %d to %d %s", q.First, q.Last, q.Type), refs, want)
}

// sameRefs compares as sets: a store may repeat itself and has no order.
func sameRefs(t *testing.T, what string, got, want []archive.Ref) {
	t.Helper()
	byID := func(a, b archive.Ref) int { return bytes.Compare([]byte(a.ID), []byte(b.ID)) }
	got, want = slices.SortedFunc(slices.Values(got), byID), slices.SortedFunc(slices.Values(want), byID)
	if got = slices.Compact(got); !slices.Equal(got, want) {
		t.Errorf("%s: got %d refs %v, want %d refs %v", what, len(got), numbers(got), len(want), numbers(want))
	}
}

func numbers(refs []archive.Ref) (seqs []uint64) {
	for _, r := range refs {
		seqs = append(seqs, r.Seq)
	}
	return seqs
}

func refOf(t *testing.T, item archive.Item) archive.Ref {
	t.Helper()
	ref, err := item.Ref()
	if err != nil {
		t.Fatalf("ref of item: %v", err)
	}
	return ref
}

func keyOf(name string) archive.Key { return archive.KeyFromSeed(sha256.Sum256([]byte(name))) }
