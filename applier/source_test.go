package applier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
)

// shelf is an archive of one chain whose index and data can be told to fail.
type shelf struct {
	writer action.Writer
	db     action.Digest
	chain  []archive.Record // genesis first

	mu      sync.Mutex
	listed  map[uint64][]archive.Ref
	held    map[string]archive.Record
	away    bool
	slow    func(seq uint64) time.Duration
	fetches []uint64
	push    func(archive.Ref) // once watched
	up      func()
}

// newShelf makes a chain with records up to last. It is called outside of
// bubbles, for the compressor is made at its first use and serves them all.
func newShelf(t *testing.T, last uint64) *shelf {
	t.Helper()
	key := archive.KeyFromSeed([32]byte{1})
	s := &shelf{writer: key.Writer(), listed: map[uint64][]archive.Ref{}, held: map[string]archive.Record{}}
	h := archive.Header{Type: archive.TypeGenesis, Epoch: 1, Seq: 1, Timeline: 1}
	for ; h.Seq <= last; h.Seq++ {
		record, err := archive.Seal(key, h, fmt.Append(nil, "body ", h.Seq))
		if err != nil {
			t.Fatal(err)
		}
		if h.Seq == 1 {
			s.db = record.Digest
		}
		s.chain = append(s.chain, record)
		h.Type, h.DB, h.Prev = archive.TypeActions, s.db, record.Digest
	}
	return s
}

// ref is what an index says of record seq.
func (s *shelf) ref(seq uint64) archive.Ref {
	r := s.chain[seq-1]
	return archive.Ref{ID: fmt.Sprint("item ", seq), DB: s.db, Writer: s.writer, Type: r.Header.Type, Epoch: 1, Seq: seq, Digest: r.Digest}
}

func (s *shelf) list(refs ...archive.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range refs {
		s.listed[r.Seq] = append(s.listed[r.Seq], r)
	}
}

func (s *shelf) hold(first, last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for seq := first; seq <= last; seq++ {
		s.held[s.ref(seq).ID] = s.chain[seq-1]
	}
}

// keep lists and holds.
func (s *shelf) keep(first, last uint64) {
	for seq := first; seq <= last; seq++ {
		s.list(s.ref(seq))
	}
	s.hold(first, last)
}

func (s *shelf) setAway(away bool) { s.mu.Lock(); defer s.mu.Unlock(); s.away = away }

var errAway = errors.New("no route to host")

func (s *shelf) Find(_ context.Context, q archive.Query) ([]archive.Ref, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return nil, errAway
	}
	var found []archive.Ref
	for seq := q.First; seq <= q.Last; seq++ {
		found = append(found, s.listed[seq]...)
	}
	rand.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	return found, nil
}

func (s *shelf) Fetch(ctx context.Context, ref archive.Ref) (archive.Record, error) {
	s.mu.Lock()
	s.fetches = append(s.fetches, ref.Seq)
	record, ok := s.held[ref.ID]
	away, slow := s.away, s.slow
	s.mu.Unlock()
	if slow != nil {
		select {
		case <-time.After(slow(ref.Seq)):
		case <-ctx.Done():
			return archive.Record{}, ctx.Err()
		}
	}
	switch {
	case away:
		return archive.Record{}, errAway
	case !ok:
		return archive.Record{}, archive.ErrNotFound
	}
	return record, nil
}

func (s *shelf) FindGenesis(context.Context, action.Digest) ([]archive.Ref, error) { return nil, nil }

func (s *shelf) Name() string { return "shelf" }

func (s *shelf) Watch(ctx context.Context, _ action.Digest, ready func(), found func(archive.Ref)) error {
	s.mu.Lock()
	s.push, s.up = found, ready
	s.mu.Unlock()
	ready()
	<-ctx.Done()
	return ctx.Err()
}

// reading is a source at work inside of a synctest bubble.
type reading struct {
	*source
	stop context.CancelFunc

	mu   sync.Mutex
	got  []uint64
	err  error
	done bool
	log  strings.Builder
}

// Write is the log.
func (r *reading) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(b)
}

// read runs a source from record 2 on and collects what it delivers. With hold
// the reader takes nothing until it is closed.
func (s *shelf) read(t *testing.T, setup func(*source), hold <-chan struct{}) *reading {
	t.Helper()
	out := make(chan opened)
	r := &reading{}
	r.source = &source{
		archive: s, db: s.db, writer: s.writer, at: cursor{epoch: 1, seq: 1, digest: s.db}, out: out, feed: newFeed(), known: map[uint64][]archive.Ref{},
		log: slog.New(slog.NewTextHandler(r, nil)),
	}
	if setup != nil {
		setup(r.source)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r.stop = cancel
	t.Cleanup(cancel)
	go func() {
		err := r.run(ctx)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.err, r.done = err, true
	}()
	go func() {
		if hold != nil {
			<-hold
		}
		for o := range out {
			r.mu.Lock()
			r.got = append(r.got, o.Header.Seq)
			r.mu.Unlock()
			if want := fmt.Sprint("body ", o.Header.Seq); string(o.body) != want {
				t.Errorf("record %d: got body %q, want %q", o.Header.Seq, o.body, want)
			}
		}
	}()
	return r
}

// ended waits until nothing moves and tells whether the source has ended, and why.
func (r *reading) ended() (bool, error) {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.done, r.err
}

// expect waits until nothing moves and compares what was delivered.
func (r *reading) expect(t *testing.T, first, last uint64) {
	t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if want := numbers(first, last); !slices.Equal(r.got, want) {
		t.Fatalf("delivered: got %v, want %v (ended: %v %v)", r.got, want, r.done, r.err)
	}
}

func toEnd(s *source) { s.toEnd = true }

func TestSourcePolls(t *testing.T) {
	s := newShelf(t, 300)
	synctest.Test(t, func(t *testing.T) {
		r := s.read(t, nil, nil)
		r.expect(t, 2, 1)
		s.keep(2, 250)
		r.expect(t, 2, 1)
		time.Sleep(pollUnfed)
		r.expect(t, 2, 250)
		s.keep(251, 251)
		time.Sleep(pollUnfed)
		r.expect(t, 2, 251)
		r.stop()
		if done, err := r.ended(); !done || !errors.Is(err, context.Canceled) {
			t.Errorf("stopped: got %v, %v", done, err)
		}
	})
}

// With a feed there is no need to ask, but now and then.
func TestSourceIsFed(t *testing.T) {
	s := newShelf(t, 20)
	synctest.Test(t, func(t *testing.T) {
		r := s.read(t, nil, nil)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = r.feed.run(ctx, s, s.db, s.writer) }()
		synctest.Wait()
		s.hold(2, 20)
		stranger := s.ref(2)
		stranger.Writer = action.Writer{9}
		s.push(stranger)
		s.push(s.ref(3)) // out of order: nothing to deliver, and the index does not know 2
		r.expect(t, 2, 1)
		s.push(s.ref(2))
		r.expect(t, 2, 3)
		s.list(s.ref(4)) // was not pushed
		time.Sleep(pollFed - time.Millisecond)
		r.expect(t, 2, 3)
		time.Sleep(time.Millisecond)
		r.expect(t, 2, 4)
		s.list(s.ref(5), s.ref(6))
		s.up() // the feed broke and is back: what came meanwhile was not pushed
		r.expect(t, 2, 6)
		cancel()
		r.stop()
		synctest.Wait()
	})
}

func TestSourceIsPatient(t *testing.T) {
	for _, test := range []struct {
		name      string
		before    func(*shelf)
		delivered uint64 // before the cure
		cure      func(*shelf)
		said      string
	}{
		{"index before data", func(s *shelf) { s.keep(2, 5); s.list(s.ref(6)); s.keep(7, 20) }, 5, func(s *shelf) { s.hold(6, 6) }, "not to be had"},
		{"away", func(s *shelf) { s.setAway(true) }, 1, func(s *shelf) { s.setAway(false); s.keep(2, 20) }, "not reachable"},
		{"hole", func(s *shelf) { s.keep(2, 5); s.keep(8, 20) }, 5, func(s *shelf) { s.keep(6, 7) }, "records are missing"},
		{"hole, and away when it is looked at", func(s *shelf) {
			s.keep(2, 5)
			s.keep(8, 20)
			s.slow = func(seq uint64) time.Duration { s.setAway(seq == 8); return 0 }
		}, 5, func(s *shelf) { s.slow = nil; s.setAway(false); s.keep(6, 7) }, "no route"},
		{"strangers", func(s *shelf) {
			s.keep(2, 5)
			for _, spoil := range []func(*archive.Ref){
				func(r *archive.Ref) { r.DB = action.Digest{9} }, func(r *archive.Ref) { r.Writer = action.Writer{9} }, func(r *archive.Ref) { r.Epoch = 2 },
			} {
				r := s.ref(6)
				spoil(&r)
				s.list(r)
			}
		}, 5, func(s *shelf) { s.keep(6, 20) }, ""},
		{"everything twice", func(s *shelf) { s.keep(2, 10); s.keep(2, 10) }, 10, func(s *shelf) { s.keep(11, 20); s.keep(2, 20) }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newShelf(t, 20)
			synctest.Test(t, func(t *testing.T) {
				test.before(s)
				r := s.read(t, nil, nil)
				time.Sleep(10 * time.Minute)
				r.expect(t, 2, test.delivered)
				if done, err := r.ended(); done {
					t.Fatalf("ended by itself: %v", err)
				}
				most := 0
				for _, refs := range r.known {
					most = max(most, len(refs))
				}
				if most > 4 {
					t.Errorf("remembers %d items of one record", most)
				}
				test.cure(s)
				time.Sleep(time.Minute)
				r.expect(t, 2, 20)
				r.mu.Lock()
				log := r.log.String()
				r.mu.Unlock()
				if !strings.Contains(log, test.said) {
					t.Errorf("log: got %q, want it to say %q", log, test.said)
				}
				r.stop()
				synctest.Wait()
			})
		})
	}
}

// A reader that is slow, or fetches that overtake each other, change nothing.
func TestSourceKeepsOrder(t *testing.T) {
	s := newShelf(t, 150)
	synctest.Test(t, func(t *testing.T) {
		s.keep(2, 150)
		s.slow = func(seq uint64) time.Duration { return time.Duration(seq*7919%50) * time.Millisecond }
		hold := make(chan struct{})
		r := s.read(t, toEnd, hold)
		time.Sleep(time.Hour)
		synctest.Wait()
		s.mu.Lock()
		n := len(s.fetches)
		s.mu.Unlock()
		if n > prefetch+3 {
			t.Errorf("fetched %d records ahead of a reader that takes none, want no more than %d", n, prefetch+3)
		}
		close(hold)
		time.Sleep(time.Hour)
		r.expect(t, 2, 150)
		if done, err := r.ended(); !done || err != nil {
			t.Errorf("at the end: got %v, %v", done, err)
		}
	})
}

func TestSourceToTheEnd(t *testing.T) {
	for _, test := range []struct {
		name  string
		shelf func(*testing.T) *shelf
		last  uint64
		ends  func(error) bool
	}{
		{"all there", func(t *testing.T) *shelf { s := newShelf(t, 205); s.keep(2, 205); return s }, 205, func(err error) bool { return err == nil }},
		{"nothing there", func(t *testing.T) *shelf { return newShelf(t, 1) }, 1, func(err error) bool { return err == nil }},
		{"hole", func(t *testing.T) *shelf { s := newShelf(t, 20); s.keep(2, 9); s.keep(12, 20); return s }, 9, isHole(10, 11)},
		{"hole wider than a window", func(t *testing.T) *shelf { s := newShelf(t, 120); s.keep(2, 5); s.keep(120, 120); return s }, 5, isHole(6, 119)},
		{"hole much wider", func(t *testing.T) *shelf { s := newShelf(t, 1010); s.keep(2, 5); s.keep(1010, 1010); return s }, 5, isHole(6, 1009)},
		{"hole wider than a window, few records after it", func(t *testing.T) *shelf { s := newShelf(t, 620); s.keep(2, 5); s.keep(610, 620); return s }, 5, isHole(6, 609)},
		{"claims of a hole", func(t *testing.T) *shelf { s := newShelf(t, 20); s.keep(2, 9); s.list(s.ref(15)); return s }, 9, func(err error) bool { return err == nil }},
		{"listed and not there", func(t *testing.T) *shelf { s := newShelf(t, 20); s.keep(2, 9); s.list(s.ref(10)); return s }, 9, func(err error) bool { return errors.Is(err, archive.ErrNotFound) }},
		{"away", func(t *testing.T) *shelf { s := newShelf(t, 20); s.setAway(true); return s }, 1, func(err error) bool { return errors.Is(err, errAway) }},
		{"fork", func(t *testing.T) *shelf {
			s := newShelf(t, 20)
			s.keep(2, 20)
			h := s.chain[9].Header
			h.Timeline++
			twin, err := archive.Seal(archive.KeyFromSeed([32]byte{1}), h, []byte("another history"))
			if err != nil {
				t.Fatal(err)
			}
			ref := s.ref(10)
			ref.ID, ref.Digest = "twin", twin.Digest
			s.list(ref)
			s.held["twin"] = twin
			return s
		}, 9, func(err error) bool { var fork *ForkError; return errors.As(err, &fork) && fork.Seq == 10 }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := test.shelf(t)
			synctest.Test(t, func(t *testing.T) {
				r := s.read(t, toEnd, nil)
				time.Sleep(24 * time.Hour)
				r.expect(t, 2, test.last)
				if done, err := r.ended(); !done || !test.ends(err) {
					t.Errorf("got %v, %v", done, err)
				}
			})
		})
	}
}

func isHole(first, last uint64) func(error) bool {
	return func(err error) bool {
		var hole *Hole
		return errors.As(err, &hole) && hole.First == first && hole.Last == last
	}
}

// Progress inside of a record: it is read once more, if it is the same one.
func TestSourceBeginsInside(t *testing.T) {
	for _, same := range []bool{true, false} {
		s := newShelf(t, 20)
		synctest.Test(t, func(t *testing.T) {
			s.keep(2, 20)
			r := s.read(t, func(src *source) {
				src.toEnd, src.at = true, cursor{epoch: 1, seq: 7, digest: s.chain[6].Digest, again: true}
				if !same {
					src.at.digest = action.Digest{9}
				}
			}, nil)
			time.Sleep(time.Minute)
			done, err := r.ended()
			var fork *ForkError
			switch {
			case same:
				r.expect(t, 7, 20)
			case !done || !errors.As(err, &fork) || fork.Seq != 7:
				t.Errorf("another record 7: got %v", err)
			default:
				r.expect(t, 2, 1)
			}
		})
	}
}
