package checkpoint_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/checkpoint"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// mark puts record seq of the chain, signed with key, into the folder: it names
// checkpoints by number and digest.
func (o *origin) mark(t *testing.T, seq uint64, names map[uint64]action.Digest, tags ...string) {
	t.Helper()
	var b action.Body
	b.Begin(action.Tx{LSN: 1 << 40, XID: 7, At: 1, Clock: action.Clock{Micros: 1}})
	for n, d := range names {
		b.Row(action.NewMark(), [][]byte{[]byte(strconv.FormatUint(n, 10)), []byte(d.String())})
	}
	b.End()
	genesis := o.genesis(t)
	h := genesis.Header
	h.Type, h.DB, h.Seq, h.Prev, h.Txs, h.From, h.To = archive.TypeActions, o.id, seq, genesis.Digest, 1, 1<<40, 1<<40
	o.put(t, o.key, h, b.Bytes(), tags...)
}

// put signs a record and puts it into the folder.
func (o *origin) put(t *testing.T, key archive.Key, h archive.Header, body []byte, tags ...string) archive.Record {
	t.Helper()
	record, err := archive.Seal(key, h, body)
	if err != nil {
		t.Fatal(err)
	}
	item, err := archive.Wrap(archive.KeyWallet(key), &record, tags)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.folder.Folder.Put(t.Context(), item.Bytes); err != nil {
		t.Fatal(err)
	}
	return record
}

func every(context.Context, *checkpoint.Checkpoint) error { return nil }

// TestNewest: a checkpoint counts if its owner signed it and the chain names it.
func TestNewest(t *testing.T) {
	a := pgtest.New(t)
	a.Exec(t, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 100)")
	o := newOrigin(t, a)
	first := o.create(t)
	o.create(t)
	head := first.ChainSeq
	var log bytes.Buffer
	newest := func(until uint64) uint64 {
		t.Helper()
		log.Reset()
		f := o.finder(until, o.folder.Folder)
		f.Log = slog.New(slog.NewTextHandler(&log, nil))
		c, err := f.Newest(t.Context(), 0, every)
		if err != nil {
			t.Fatal(err)
		}
		if c == nil {
			return 0
		}
		return c.Number
	}
	if got := newest(head); got != 0 || strings.Count(log.String(), "the chain does not confirm it") != 2 {
		t.Errorf("no mark: got %d, want none, said of both:\n%s", got, &log)
	}
	name := action.NewMark().Action()
	o.mark(t, head+1, map[uint64]action.Digest{1: first.Digest}, name)
	if got := newest(head + 1); got != 1 || !strings.Contains(log.String(), "checkpoint=2") {
		t.Errorf("a mark of the first: got %d, want 1, and a word on the second:\n%s", got, &log)
	}
	o.mark(t, head+2, map[uint64]action.Digest{2: {7}}, name)
	if got := newest(head + 2); got != 1 || !strings.Contains(log.String(), "it names another") {
		t.Errorf("a mark of another second: got %d, want 1:\n%s", got, &log)
	}
	third := o.create(t)
	o.mark(t, head+3, map[uint64]action.Digest{3: third.Digest}) // without a tag
	if got := newest(head + 3); got != 3 {
		t.Errorf("a mark that no tag names: got %d, want 3:\n%s", got, &log)
	}
	f := o.finder(head+3, o.folder.Folder)
	c, err := f.Newest(t.Context(), 0, func(_ context.Context, c *checkpoint.Checkpoint) error {
		if c.Number == 3 {
			return checkpoint.ErrUnfit
		}
		return nil
	})
	if err != nil || c == nil || c.Number != 1 {
		t.Errorf("the third does not fit: got %v, %v, want 1", c, err)
	}
	if c, err := f.Newest(t.Context(), 3, every); err != nil || c != nil {
		t.Errorf("after the third: got %v, %v, want none", c, err)
	}
}

// lying is an index that lists what it was told under the names of others.
type lying struct {
	archive.Finder
	extra []archive.Ref
}

func (l *lying) Find(ctx context.Context, q archive.Query) ([]archive.Ref, error) {
	refs, err := l.Finder.Find(ctx, q)
	if q.Type == archive.TypeCheckpoint {
		for _, r := range l.extra {
			if q.First <= r.Seq && r.Seq <= q.Last {
				refs = append(refs, r)
			}
		}
	}
	return refs, err
}

// TestNewestForged: what another key signed, and a record of another kind, are not
// taken, whatever an index says of them.
func TestNewestForged(t *testing.T) {
	a := pgtest.New(t)
	a.Exec(t, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 100)")
	o := newOrigin(t, a)
	first := o.create(t)
	o.mark(t, first.ChainSeq+1, map[uint64]action.Digest{1: first.Digest}, action.NewMark().Action())
	h, body := o.read(t, archive.TypeCheckpoint, 1, first.Digest)
	stranger, err := archive.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	h.Seq, h.Prev = 2, first.Digest
	forged := o.put(t, stranger, h, body)
	index := &lying{Finder: o.folder.Folder}
	find := func(typ archive.Type, w action.Writer, seq uint64) archive.Ref {
		t.Helper()
		refs, err := o.folder.Find(t.Context(), archive.Query{DB: o.id, Writer: w, Epoch: 1, First: seq, Last: seq, Type: typ})
		if err != nil || len(refs) == 0 {
			t.Fatalf("%s %d: %v, %v", typ, seq, refs, err)
		}
		return refs[0]
	}
	theirs := find(archive.TypeCheckpoint, stranger.Writer(), 2)
	theirs.Writer = o.key.Writer()
	chunk := find(archive.TypeChunk, o.key.Writer(), 3)
	chunk.Type = archive.TypeCheckpoint
	index.extra = []archive.Ref{theirs, chunk}
	f := o.finder(first.ChainSeq+1, index)
	if numbers, err := f.Numbers(t.Context()); err != nil || len(numbers) != 3 {
		t.Errorf("numbers: got %v, %v, want three", numbers, err)
	}
	if _, err := f.Open(t.Context(), 2); !errors.Is(err, archive.ErrForged) {
		t.Errorf("signed by a stranger (%s): got %v, want ErrForged", forged.Digest, err)
	}
	if _, err := f.Open(t.Context(), 3); !errors.Is(err, archive.ErrForged) {
		t.Errorf("a chunk: got %v, want ErrForged", err)
	}
	if c, err := f.Newest(t.Context(), 0, every); err != nil || c == nil || c.Number != 1 {
		t.Errorf("newest: got %v, %v, want 1", c, err)
	}
	// Two that the owner signed are a fork: nobody knows which is right.
	h.Seq, h.Prev, h.Timeline = 1, o.id, h.Timeline+1
	o.put(t, o.key, h, body)
	if _, err := f.Open(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "signed two") {
		t.Errorf("two of one number: got %v, want an error", err)
	}
}
