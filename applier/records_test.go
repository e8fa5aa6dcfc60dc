package applier

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/archive/storetest"
)

// library is a folder with the chain of one writer, genesis and records 2 to last.
type library struct {
	folder  *archive.Folder
	chain   *storetest.Chain
	genesis archive.Record
	items   map[uint64]archive.Item
}

func newLibrary(t *testing.T, last uint64) *library {
	t.Helper()
	l := &library{folder: &archive.Folder{Dir: t.TempDir()}, chain: storetest.NewChain(t, t.Name()), items: map[uint64]archive.Item{}}
	record, err := archive.Open(l.chain.Genesis.Data)
	if err != nil {
		t.Fatalf("open genesis: %v", err)
	}
	l.genesis, l.chain.Header.Seq = record, 1
	for l.chain.Header.Seq < last {
		item := l.chain.Next(t, archive.TypeActions, fmt.Append(nil, "body of ", l.chain.Header.Seq+1))
		l.items[l.chain.Header.Seq] = item
		l.put(t, item)
	}
	return l
}

func (l *library) put(t *testing.T, item archive.Item) {
	t.Helper()
	if _, err := l.folder.Put(t.Context(), item.Bytes); err != nil {
		t.Fatalf("put: %v", err)
	}
}

func (l *library) remove(t *testing.T, seq uint64) {
	t.Helper()
	item := l.items[seq]
	if err := os.Remove(filepath.Join(l.folder.Dir, archive.Path(&item))); err != nil {
		t.Fatal(err)
	}
}

// forge puts an item that claims to be record seq and is not signed by the writer.
func (l *library) forge(t *testing.T, seq uint64) {
	t.Helper()
	item := l.items[seq]
	record, err := archive.Open(item.Data)
	if err != nil {
		t.Fatal(err)
	}
	record.Bytes = bytes.Replace(record.Bytes, []byte(`"timeline":1`), []byte(`"timeline":2`), 1)
	forged, err := archive.Wrap(archive.KeyWallet(archive.KeyFromSeed([32]byte{9})), &record, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.put(t, forged)
}

// read returns the numbers and bodies that Records yields, how it ended, and what it logged.
func (l *library) read(t *testing.T, most int) (seqs []uint64, logged string, err error) {
	t.Helper()
	var log bytes.Buffer
	from := &archive.Multi{Members: []archive.Finder{l.folder}}
	for entry, err := range Records(t.Context(), from, &l.genesis, slog.New(slog.NewTextHandler(&log, nil))) {
		if err != nil {
			return seqs, log.String(), err
		}
		if want := fmt.Sprint("body of ", entry.Header.Seq); string(entry.Text) != want {
			t.Errorf("record %d: got body %q, want %q", entry.Header.Seq, entry.Text, want)
		}
		if seqs = append(seqs, entry.Header.Seq); len(seqs) == most {
			break
		}
	}
	return seqs, log.String(), nil
}

func numbers(first, last uint64) (all []uint64) {
	for seq := first; seq <= last; seq++ {
		all = append(all, seq)
	}
	return all
}

func TestRecords(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(*testing.T, *library)
		most  int
		want  []uint64
		check func(error) bool
		log   string
	}{
		{name: "whole chain", want: numbers(2, 120)},
		{name: "broken off", most: 7, want: numbers(2, 8)},
		{
			name: "hole", want: numbers(2, 107),
			spoil: func(t *testing.T, l *library) { l.remove(t, 108); l.remove(t, 109) },
			check: func(err error) bool {
				var hole *Hole
				return errors.As(err, &hole) && hole.First == 108 && hole.Last == 109
			},
		},
		{
			name: "forgery beside the record", want: numbers(2, 120),
			spoil: func(t *testing.T, l *library) { l.forge(t, 40) },
		},
		{
			name: "forgery instead of the record", want: numbers(2, 39), log: "not to be had",
			spoil: func(t *testing.T, l *library) { l.forge(t, 40); l.remove(t, 40) },
			check: func(err error) bool {
				var hole *Hole
				return errors.As(err, &hole) && hole.First == 40 && hole.Last == 40
			},
		},
		{
			name: "fork",
			spoil: func(t *testing.T, l *library) {
				twin := *l.chain
				twin.Header.Seq = 119
				twin.Header.Prev = l.genesis.Digest
				l.put(t, twin.Next(t, archive.TypeActions, []byte("another history")))
			},
			want: numbers(2, 119),
			check: func(err error) bool {
				var fork *ForkError
				return errors.As(err, &fork) && fork.Seq == 120
			},
		},
		{
			name: "record of a type to come", want: numbers(2, 120),
			spoil: func(t *testing.T, l *library) { l.put(t, l.chain.Next(t, archive.TypePolicy, nil)) },
			check: func(err error) bool { return errors.Is(err, ErrUnknown) },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			l := newLibrary(t, 120)
			if test.spoil != nil {
				test.spoil(t, l)
			}
			got, logged, err := l.read(t, test.most)
			if !slices.Equal(got, test.want) {
				t.Errorf("got records %v, want %v", got, test.want)
			}
			if test.check == nil && err != nil || test.check != nil && !test.check(err) {
				t.Errorf("got error %v", err)
			}
			if !strings.Contains(logged, test.log) {
				t.Errorf("got log %q, want %q in it", logged, test.log)
			}
		})
	}
}

// Follow yields what is there, waits, and yields what comes.
func TestFollow(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	l := newLibrary(t, 3)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	from := &archive.Multi{Members: []archive.Finder{l.folder}}
	var seqs []uint64
	var ended error
	for entry, err := range Follow(ctx, from, &l.genesis, slog.New(slog.DiscardHandler)) {
		if ended = err; err != nil {
			break
		}
		seqs = append(seqs, entry.Header.Seq)
		switch entry.Header.Seq {
		case 3:
			l.put(t, l.chain.Next(t, archive.TypeActions, []byte("body of 4")))
		case 4:
			cancel()
		}
	}
	if !slices.Equal(seqs, []uint64{2, 3, 4}) || !errors.Is(ended, context.Canceled) {
		t.Errorf("got records %v, then %v, want 2, 3, 4, then cancelled", seqs, ended)
	}
}
