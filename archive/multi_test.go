package archive_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/archive/storetest"
	"github.com/pgbridge/pgbridge/internal/fakearchive"
)

var errDown = errors.New("it is down")

// member is a Finder in memory.
type member struct {
	name  string
	refs  []archive.Ref
	data  map[string][]byte
	err   error         // of every answer
	after time.Duration // before each
	asked atomic.Int32
}

func (m *member) Name() string { return m.name }

func (m *member) answer(ctx context.Context) error {
	m.asked.Add(1)
	if m.after > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(m.after):
		}
	}
	if m.err != nil {
		return m.err
	}
	return ctx.Err()
}

func (m *member) Find(ctx context.Context, _ archive.Query) ([]archive.Ref, error) {
	return slices.Clone(m.refs), m.answer(ctx)
}

func (m *member) FindGenesis(ctx context.Context, _ action.Digest) ([]archive.Ref, error) {
	return slices.Clone(m.refs), m.answer(ctx)
}

func (m *member) Get(ctx context.Context, id string) ([]byte, error) {
	if err := m.answer(ctx); err != nil {
		return nil, err
	}
	if data, ok := m.data[id]; ok {
		return data, nil
	}
	return nil, archive.ErrNotFound
}

func TestMultiFind(t *testing.T) {
	c := storetest.NewChain(t, "multi")
	one, two := refOf(t, c.Next(t, archive.TypeActions, nil)), refOf(t, c.Next(t, archive.TypeActions, nil))
	for _, test := range []struct {
		name    string
		members []archive.Finder
		want    []archive.Ref
		wrong   string
	}{
		{"union", []archive.Finder{&member{refs: []archive.Ref{one}}, &member{refs: []archive.Ref{two, one}}}, []archive.Ref{one, two}, ""},
		{"one down", []archive.Finder{&member{err: errDown}, &member{refs: []archive.Ref{two}}}, []archive.Ref{two}, ""},
		{"one hangs", []archive.Finder{&member{after: time.Hour}, &member{refs: []archive.Ref{two}}}, []archive.Ref{two}, ""},
		{"one is slow, the other down", []archive.Finder{&member{err: errDown}, &member{refs: []archive.Ref{two}, after: time.Minute}}, []archive.Ref{two}, ""},
		{"within another", []archive.Finder{&archive.Multi{Members: []archive.Finder{&member{refs: []archive.Ref{one}}}}}, []archive.Ref{one}, ""},
		{"all down", []archive.Finder{&member{err: errDown}, &member{err: errors.New("no route")}}, nil, "no route"},
		{"none", nil, nil, "no archive to read from"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &archive.Multi{Members: test.members}
				for range 2 { // the second time the failing one is known
					got, err := m.Find(t.Context(), c.Query(1, 2))
					slices.SortFunc(got, func(a, b archive.Ref) int { return int(a.Seq) - int(b.Seq) })
					if !slices.Equal(got, test.want) {
						t.Errorf("Find: got %v, want %v", got, test.want)
					}
					if (err == nil) != (test.wrong == "") || err != nil && !strings.Contains(err.Error(), test.wrong) {
						t.Errorf("Find: got %v, want %q", err, test.wrong)
					}
				}
			})
		})
	}
}

// A member that hangs costs its grace once in a while, not at each question.
func TestMultiHanging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		item := storetest.NewChain(t, "multi").Next(t, archive.TypeActions, nil)
		hangs := &member{name: "hangs", after: time.Hour}
		works := &member{name: "works", refs: []archive.Ref{refOf(t, item)}, data: map[string][]byte{item.ID: item.Data}}
		m := &archive.Multi{Members: []archive.Finder{hangs, works}, Grace: 5 * time.Second}
		begin := time.Now()
		for range 50 {
			if _, err := m.Find(t.Context(), archive.Query{First: 1, Last: 1}); err != nil {
				t.Fatalf("Find: %v", err)
			}
			if _, err := m.Fetch(t.Context(), refOf(t, item)); err != nil {
				t.Fatalf("Fetch: %v", err)
			}
		}
		if spent := time.Since(begin); spent != 5*time.Second {
			t.Errorf("spent %s, want 5s", spent)
		}
	})
}

func TestMultiGet(t *testing.T) {
	id := fakearchive.NewID(1)
	has := func() *member { return &member{data: map[string][]byte{id: []byte("data")}} }
	for _, test := range []struct {
		name     string
		members  []archive.Finder
		want     string
		notFound bool
	}{
		{"second has it", []archive.Finder{&member{}, has()}, "data", false},
		{"first is down", []archive.Finder{&member{err: errDown}, has()}, "data", false},
		{"first hangs", []archive.Finder{&member{after: time.Hour}, has()}, "data", false},
		{"nobody has it", []archive.Finder{&member{}, &member{}}, "", true},
		{"one is down, so who knows", []archive.Finder{&member{}, &member{err: errDown}}, "", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, err := (&archive.Multi{Members: test.members}).Get(t.Context(), id)
				if string(got) != test.want || (err == nil) != (test.want != "") || errors.Is(err, archive.ErrNotFound) != test.notFound {
					t.Errorf("Get: got %q, %v, want %q, ErrNotFound: %v", got, err, test.want, test.notFound)
				}
			})
		})
	}
}

func TestMultiCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &archive.Multi{Members: []archive.Finder{&member{after: time.Hour}, &member{after: time.Hour}}}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if _, err := m.Find(ctx, archive.Query{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Find: got %v, want the end of the context", err)
		}
		if _, err := m.Get(ctx, fakearchive.NewID(1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Get: got %v, want the end of the context", err)
		}
	})
}

// TestFetch asks two gateways for one record; what each serves is in the table.
func TestFetch(t *testing.T) {
	c := storetest.NewChain(t, "fetch")
	item, other := c.Next(t, archive.TypeActions, []byte("wanted")), c.Next(t, archive.TypeActions, []byte("other"))
	strange := storetest.NewChain(t, "stranger").Guest(c).Next(t, archive.TypeActions, []byte("strange"))
	changed := bytes.Clone(item.Data)
	changed[len(changed)-1] ^= 1
	long := append(bytes.Clone(item.Data), make([]byte, 2<<20)...)
	for _, test := range []struct {
		name          string
		first, second []byte // nil: it does not have it
		down          bool   // the second
		copy          []byte // what both serve under another id
		forged, gone  bool   // of the error; neither: no error, unless down
	}{
		{name: "both", first: item.Data, second: item.Data},
		{name: "the second only", second: item.Data},
		{name: "the first changed a byte", first: changed, second: item.Data},
		{name: "the first has a page", first: []byte("<html>"), second: item.Data},
		{name: "the first has nothing in it", first: []byte{}, second: item.Data},
		{name: "the first has another number", first: other.Data, second: item.Data},
		{name: "the first has a stranger's", first: strange.Data, second: item.Data},
		{name: "the first goes on and on", first: long, second: item.Data},
		{name: "both lie", first: other.Data, second: changed, forged: true},
		{name: "one lies, the other is without", first: changed, forged: true},
		{name: "one lies, the other is down", first: changed, down: true},
		{name: "one is without, the other down", down: true},
		{name: "gone", gone: true},
		{name: "both lie, a copy", first: other.Data, second: changed, copy: item.Data},
		{name: "gone, a copy", copy: item.Data},
		{name: "gone, a bad copy", copy: strange.Data, gone: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			ref := refOf(t, item)
			m := &archive.Multi{}
			for i, data := range [][]byte{test.first, test.second} {
				s := fakearchive.New(t)
				if data != nil {
					s.Serve(item.ID, data)
				}
				if test.copy != nil {
					s.Plant(node{ID: fakearchive.NewID(7), Tags: item.Tags})
					s.Serve(fakearchive.NewID(7), test.copy)
				}
				if i == 1 && test.down {
					s.Script(fakearchive.Data, slices.Repeat([]fakearchive.Fault{fakearchive.Answer(500, "")}, 10000)...)
				}
				m.Members = append(m.Members, &archive.Gateway{URL: s.URL, HTTP: hasty(t)})
			}
			record, err := m.Fetch(t.Context(), ref)
			if ok := !test.forged && !test.gone && !test.down; ok && (err != nil || record.Digest != ref.Digest || !bytes.Equal(record.Bytes, item.Data)) {
				t.Fatalf("Fetch: got %v, %v, want %v", record.Digest, err, ref.Digest)
			} else if !ok && err == nil {
				t.Fatalf("Fetch: got %v, want an error", record.Header)
			}
			if forged, gone := errors.Is(err, archive.ErrForged), errors.Is(err, archive.ErrNotFound); forged != test.forged || gone != test.gone {
				t.Errorf("Fetch: got %v, forged %v, not found %v, want %v, %v", err, forged, gone, test.forged, test.gone)
			}
		})
	}
}

// A gigabyte under our tags is not read when its head is not that of the record.
func TestFetchReadsTheHeadFirst(t *testing.T) {
	c := storetest.NewChain(t, "fetch")
	item := c.Next(t, archive.TypeActions, nil)
	body := make([]byte, 32<<20)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(body)
	stranger := storetest.NewChain(t, "stranger").Guest(c).Next(t, archive.TypeActions, body)
	for _, test := range []struct {
		name string
		head []byte
	}{
		{"zeros", nil},
		{"a record of a stranger", stranger.Data},
		{"the record and more", item.Data},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := fakearchive.New(t)
			s.Serve(item.ID, append(bytes.Clone(test.head), make([]byte, 64<<20)...))
			m := &archive.Multi{Members: []archive.Finder{&archive.Gateway{URL: s.URL, HTTP: patient(t)}}}
			before := allocated()
			_, err := m.Fetch(t.Context(), refOf(t, item))
			after := allocated()
			if !errors.Is(err, archive.ErrForged) {
				t.Errorf("Fetch: got %v, want ErrForged", err)
			}
			if got := after - before; got > 8<<20 {
				t.Errorf("Fetch allocated %d bytes for 64 MiB of a stranger, want little", got)
			}
		})
	}
}

func TestWatch(t *testing.T) {
	s := fakearchive.New(t)
	c, other := storetest.NewChain(t, "watch"), storetest.NewChain(t, "other")
	n := &archive.Node{URL: s.URL, HTTP: patient(t)}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	up, found, ended := make(chan bool, 10), make(chan archive.Ref, 10), make(chan error, 1)
	go func() {
		ended <- n.Watch(ctx, c.DB, func() { up <- true }, func(r archive.Ref) { found <- r })
	}()
	<-up
	s.Store(other.Next(t, archive.TypeActions, nil))
	for range 3 {
		item := c.Next(t, archive.TypeActions, nil)
		s.Store(item)
		if got, want := <-found, refOf(t, item); got != want {
			t.Errorf("pushed: got %v, want %v", got, want)
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch: got %v, want the end of the context", err)
	}
}

func TestWatchBreaks(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault fakearchive.Fault
		want  string
	}{
		{"no feed", fakearchive.Answer(404, ""), "404 Not Found"},
		{"busy", fakearchive.Busy(9), "429"},
		{"a page", fakearchive.Answer(200, "<html>"), "not a feed"},
		{"dropped", fakearchive.Drop, "EOF"},
		{"silent", fakearchive.Fine, "silent for 50ms"},
		{"garbage", fakearchive.Feed("data: {\n\n"), "read event"},
		{"without end", fakearchive.Feed(strings.Repeat("data: ", 20_000)), "too long"},
		{"ended", fakearchive.Feed(": bye\n\n"), "the node ended it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := fakearchive.New(t)
			s.Script(fakearchive.Events, test.fault)
			n := &archive.Node{URL: s.URL, HTTP: patient(t)}
			if test.name == "silent" {
				n.Silence = 50 * time.Millisecond
			}
			err := n.Watch(t.Context(), action.Digest{1}, func() {}, func(archive.Ref) {})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Watch: got %v, want %q", err, test.want)
			}
			if got := s.Asked(fakearchive.Events); got != 1 {
				t.Errorf("asked %d times, want once", got)
			}
		})
	}
}

// What a stranger's items say in the feed is not ours to fail on.
func TestWatchSkips(t *testing.T) {
	s := fakearchive.New(t)
	c := storetest.NewChain(t, "watch")
	item := c.Next(t, archive.TypeActions, nil)
	other := storetest.NewChain(t, "other").Next(t, archive.TypeActions, nil)
	s.Script(fakearchive.Events, fakearchive.Feed(": ready\n\ndata: {\"id\":\"x\"}\n\nevent: news\ndata:{}\n\n"+fakearchive.Event(other)+fakearchive.Event(item)))
	var found []archive.Ref
	ready := 0
	err := (&archive.Node{URL: s.URL, HTTP: patient(t)}).Watch(t.Context(), c.DB, func() { ready++ }, func(r archive.Ref) { found = append(found, r) })
	if err == nil || ready != 1 || !slices.Equal(found, []archive.Ref{refOf(t, item)}) {
		t.Errorf("Watch: got %v, %d times ready, %v, want the one item", err, ready, found)
	}
}

func TestMultiWatch(t *testing.T) {
	a, b := fakearchive.New(t), fakearchive.New(t)
	c := storetest.NewChain(t, "watch")
	client := patient(t)
	m := &archive.Multi{
		Members: []archive.Finder{&archive.Node{URL: a.URL, HTTP: client}, &member{}, &archive.Node{URL: b.URL, HTTP: client}},
		Rejoin:  archive.Backoff{First: time.Millisecond, Longest: time.Millisecond},
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	up, found, ended := make(chan bool, 10), make(chan archive.Ref, 10), make(chan error, 1)
	go func() {
		ended <- m.Watch(ctx, c.DB, func() { up <- true }, func(r archive.Ref) { found <- r })
	}()
	push := func(s *fakearchive.Server) {
		t.Helper()
		item := c.Next(t, archive.TypeActions, nil)
		s.Store(item)
		if got, want := <-found, refOf(t, item); got != want {
			t.Errorf("pushed: got %v, want %v", got, want)
		}
	}
	<-up
	<-up
	push(a)
	push(b)
	a.Script(fakearchive.Events, fakearchive.Answer(503, ""), fakearchive.Drop)
	a.Break()
	push(b) // goes on meanwhile
	<-up    // and a comes back
	push(a)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Watch: got %v, want the end of the context", err)
	}
}

// feeder is a feed that breaks after a second.
type feeder struct {
	member
	ready bool
	asked atomic.Int32
}

func (f *feeder) Watch(ctx context.Context, _ action.Digest, ready func(), _ func(archive.Ref)) error {
	f.asked.Add(1)
	if f.ready {
		ready()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Second):
		return errDown
	}
}

// A feed that worked is asked for again soon, one that does not ever later.
func TestMultiWatchPauses(t *testing.T) {
	for _, test := range []struct {
		name        string
		ready       bool
		least, most int32
	}{
		{"worked", true, 290, 400},
		{"never worked", false, 10, 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &feeder{ready: test.ready}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				m := &archive.Multi{Members: []archive.Finder{f}}
				if err := m.Watch(ctx, action.Digest{}, func() {}, func(archive.Ref) {}); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Watch: got %v, want the end of the context", err)
				}
				if got := f.asked.Load(); got < test.least || got > test.most {
					t.Errorf("asked for the feed %d times in ten minutes, want %d to %d", got, test.least, test.most)
				}
			})
		})
	}
}

// What an archive without a look at the head serves is looked at too.
func TestFetchFromOthers(t *testing.T) {
	c := storetest.NewChain(t, "fetch")
	item, other := c.Next(t, archive.TypeActions, nil), c.Next(t, archive.TypeActions, nil)
	ref := refOf(t, item)
	m := &archive.Multi{Members: []archive.Finder{&member{data: map[string][]byte{ref.ID: other.Data}}}}
	if _, err := m.Fetch(t.Context(), ref); !errors.Is(err, archive.ErrForged) {
		t.Errorf("Fetch of another record: got %v, want ErrForged", err)
	}
	m.Members = append(m.Members, &member{data: map[string][]byte{ref.ID: item.Data}})
	if record, err := m.Fetch(t.Context(), ref); err != nil || record.Digest != ref.Digest {
		t.Errorf("Fetch with a good member: got %v, %v, want %v", record.Digest, err, ref.Digest)
	}
}

// A record of the chain is not a chunk of the same number, whatever the index says.
func TestFetchOfAnotherSeries(t *testing.T) {
	item := storetest.NewChain(t, "fetch").Next(t, archive.TypeActions, nil)
	ref := refOf(t, item)
	m := &archive.Multi{Members: []archive.Finder{&member{data: map[string][]byte{ref.ID: item.Data}}}}
	for _, test := range []struct {
		claimed archive.Type
		forged  bool
	}{{archive.TypeActions, false}, {archive.TypeAck, false}, {archive.TypeChunk, true}, {archive.TypeCheckpoint, true}} {
		ref.Type = test.claimed
		if _, err := m.Fetch(t.Context(), ref); errors.Is(err, archive.ErrForged) != test.forged {
			t.Errorf("Fetch of actions listed as %s: got %v, want forged %v", test.claimed, err, test.forged)
		}
	}
}

func TestMultiWatchNobody(t *testing.T) {
	m := &archive.Multi{Members: []archive.Finder{&member{}}}
	if err := m.Watch(t.Context(), action.Digest{}, func() {}, func(archive.Ref) {}); !errors.Is(err, archive.ErrNoFeed) {
		t.Errorf("Watch: got %v, want ErrNoFeed", err)
	}
}

// The log names a member that fails, and keeps its secrets.
func TestMultiLog(t *testing.T) {
	var text lockedBuffer
	c := hasty(t)
	c.Log = slog.New(slog.NewTextHandler(&text, nil))
	m := &archive.Multi{
		Members: []archive.Finder{&archive.Node{URL: "http://user:secret@127.0.0.1:1/x", HTTP: c}, &member{}},
		Log:     c.Log,
	}
	if _, err := m.Find(t.Context(), storetest.NewChain(t, "log").Query(1, 1)); err != nil {
		t.Fatalf("Find: %v", err)
	}
	if _, err := m.Get(t.Context(), fakearchive.NewID(1)); err == nil {
		t.Fatal("Get: got something from nobody")
	} else {
		expectNoSecret(t, err.Error())
	}
	if got := text.String(); !strings.Contains(got, "archive=http://127.0.0.1:1/x") {
		t.Errorf("log: got %s, want the archive named", got)
	}
	expectNoSecret(t, text.String(), m.Name())
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
