package integration

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/applier"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/internal/pgtest"
	"github.com/pgbridge/pgbridge/postgres"
	"github.com/pgbridge/pgbridge/publisher"
)

// pipe is a source that publishes into a folder, within this process: for
// tests that are about rows, not about processes. A server can have one at a
// time, for the slot has a fixed name.
type pipe struct {
	source  *pgtest.DB
	url     string // of the source, as pgbridge connects to it
	folder  *pushingFolder
	key     archive.Key
	record  archive.Record // the genesis
	genesis postgres.Genesis
	db      postgres.Database
	scope   postgres.Scope // ScopeListed if empty
}

// newPipe runs init on the source.
func newPipe(t testing.TB, source *pgtest.DB) *pipe {
	t.Helper()
	return newPipeAs(t, source, source.URL())
}

// newPipeAs is newPipe for a pgbridge that connects as another role.
func newPipeAs(t testing.TB, source *pgtest.DB, url string) *pipe {
	t.Helper()
	return newPipeOf(t, source, url, postgres.ScopeListed)
}

// newPipeOf is newPipeAs for one that publishes tables made later, or not.
func newPipeOf(t testing.TB, source *pgtest.DB, url string, scope postgres.Scope) *pipe {
	t.Helper()
	p := &pipe{source: source, url: url, scope: scope, folder: &pushingFolder{Folder: archive.Folder{Dir: t.TempDir()}}}
	if err := p.init(t.Context()); err != nil {
		t.Fatalf("init: %v", err)
	}
	return p
}

func (p *pipe) init(ctx context.Context) error {
	conn, err := p.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if p.key, err = archive.NewKey(); err != nil {
		return err
	}
	tables, err := postgres.Tables(ctx, conn)
	if err != nil {
		return err
	}
	server, err := postgres.LoadServer(ctx, conn)
	if err != nil {
		return err
	}
	dump, err := postgres.FindDump(ctx, server.Major())
	if err != nil {
		return err
	}
	replication, err := postgres.ReplicationConfig(p.url)
	if err != nil {
		return err
	}
	in := publisher.Init{Connect: p.connect, Replication: replication, URL: p.url, Dump: dump, Name: "pipe", Tables: tables, Scope: p.scope, Key: p.key}
	if _, err = in.Run(ctx); err != nil {
		return err
	}
	if p.db, err = postgres.LoadDatabase(ctx, conn); err != nil {
		return err
	}
	if p.record, err = archive.Open(p.db.Genesis); err != nil {
		return err
	}
	p.genesis, err = applier.OpenGenesis(&p.record)
	return err
}

func (p *pipe) connect(ctx context.Context) (*pgx.Conn, error) { return postgres.Connect(ctx, p.url) }

// loop is a Run in a goroutine.
type loop struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // once done
}

// startLoop runs a loop, again as long as the session of one before it is not
// gone: the process before, killed or not, is not waited for.
func startLoop(t testing.TB, run func(context.Context) error) *loop {
	ctx, cancel := context.WithCancel(t.Context())
	l := &loop{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		var inUse *pgconn.PgError
		for l.err = run(ctx); errors.As(l.err, &inUse) && inUse.Code == "55006" && ctx.Err() == nil; l.err = run(ctx) {
			runtime.Gosched()
		}
	}()
	t.Cleanup(func() { l.cancel(); <-l.done })
	return l
}

// stop ends the loop, which must not have ended by itself.
func (l *loop) stop(t testing.TB) {
	t.Helper()
	if err := l.ended(); err != nil {
		t.Fatal(err)
	}
	l.cancel()
	<-l.done
}

// wait waits for the loop to end by itself and returns why.
func (l *loop) wait() error {
	<-l.done
	return l.err
}

// ended returns an error if the loop has ended.
func (l *loop) ended() error {
	select {
	case <-l.done:
		return fmt.Errorf("a loop ended by itself: %w", l.err)
	default:
		return nil
	}
}

// publish runs the publisher until the test ends or the loop is stopped.
func (p *pipe) publish(t testing.TB) *loop {
	t.Helper()
	noSessions(t, p.source) // the publisher before could make the chain longer
	replication, err := postgres.ReplicationConfig(p.url)
	if err != nil {
		t.Fatal(err)
	}
	run := &publisher.Publisher{
		Connect: p.connect, Replication: replication, Slot: p.db.Slot, Publication: p.db.Publication, Key: p.key, DB: p.db.ID,
		Schema: p.genesis.SchemaDigest(), Archives: []archive.Putter{p.folder}, Reader: p.reader(), Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	return startLoop(t, run.Run)
}

func (p *pipe) reader() *archive.Multi { return &archive.Multi{Members: []archive.Finder{p.folder}} }

// join makes db a follower.
func (p *pipe) join(t testing.TB, url string) {
	t.Helper()
	conn, err := postgres.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := applier.Join(t.Context(), conn, p.record, p.genesis, applier.Joining{}); err != nil {
		t.Fatal(err)
	}
}

// applier is one that follows into the database at url.
func (p *pipe) applier(t testing.TB, url string) *applier.Applier {
	return &applier.Applier{
		Connect: func(ctx context.Context) (*pgx.Conn, error) { return postgres.Connect(ctx, url) },
		Archive: p.reader(), DB: p.db.ID, Genesis: p.genesis, Log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

// follow joins db, if it has not yet, and runs an applier until the test ends
// or the loop is stopped.
func (p *pipe) follow(t testing.TB, db *pgtest.DB) *loop {
	t.Helper()
	return p.followAs(t, db.URL())
}

func (p *pipe) followAs(t testing.TB, url string) *loop {
	t.Helper()
	p.join(t, url)
	return startLoop(t, p.applier(t, url).Run)
}

// restore rebuilds the database as far as it is in the folder.
func (p *pipe) restore(t testing.TB) *pgtest.DB {
	t.Helper()
	db := p.source.Cluster.Database(t)
	p.restoreTo(t, db.URL())
	return db
}

func (p *pipe) restoreTo(t testing.TB, url string) {
	t.Helper()
	p.join(t, url)
	apply := p.applier(t, url)
	apply.ToEnd = true
	if err := apply.Run(t.Context()); err != nil {
		t.Fatalf("restore: %v", err)
	}
}

// published waits until everything that is committed at the source is in the
// folder, and returns the chain's head.
func (p *pipe) published(t testing.TB, loops ...*loop) string {
	t.Helper()
	at := p.source.Value(t, `SELECT pg_logical_emit_message(true, 'test', 'mark')`)
	eventually(t, "published", func() error {
		if err := anyEnded(loops); err != nil {
			t.Fatal(err)
		}
		return unpublished(t, p.source, at)
	})
	return p.source.Value(t, `SELECT epoch || ':' || seq FROM pgbridge.chain`)
}

// caughtUp waits until follower has applied everything that is committed at the
// source. It fails as soon as one of the loops that are to bring this about has
// ended.
func (p *pipe) caughtUp(t testing.TB, follower *pgtest.DB, loops ...*loop) {
	t.Helper()
	head := p.published(t, loops...)
	eventually(t, "caught up", func() error {
		if at := follower.Value(t, `SELECT coalesce(min(epoch || ':' || seq), '') FROM pgbridge.progress WHERE complete`); at == head {
			return nil
		}
		if err := anyEnded(loops); err != nil {
			t.Fatal(err)
		}
		return errors.New("not yet")
	})
}

func anyEnded(loops []*loop) error {
	for _, l := range loops {
		if err := l.ended(); err != nil {
			return err
		}
	}
	return nil
}

// sameSequences fails the test if a sequence of follower may yet yield a value
// that its source has yielded, or was set to pass over.
func sameSequences(t testing.TB, source, follower *pgtest.DB) {
	t.Helper()
	want, got := nextValues(t, source), nextValues(t, follower)
	if len(got) != len(want) {
		t.Errorf("got %d sequences, want %d", len(got), len(want))
	}
	for name, w := range want {
		if g := got[name]; w.step > 0 && g.next < w.next || w.step < 0 && g.next > w.next {
			t.Errorf("sequence %s: the next value is %d, want %d or beyond", name, g.next, w.next)
		}
	}
}

type sequence struct{ next, step int64 }

func nextValues(t testing.TB, db *pgtest.DB) map[string]sequence {
	t.Helper()
	all := map[string]sequence{}
	for _, row := range db.Query(t, `SELECT format('%I.%I', schemaname, sequencename), increment_by FROM pg_sequences WHERE schemaname <> 'pgbridge'`) {
		var s sequence
		for i, text := range []string{row[1], db.Value(t, `SELECT CASE WHEN is_called THEN last_value + $1::int8 ELSE last_value END FROM `+row[0], row[1])} {
			n, err := strconv.ParseInt(text, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			*[]*int64{&s.step, &s.next}[i] = n
		}
		all[row[0]] = s
	}
	return all
}

// pushingFolder is a folder with a feed.
type pushingFolder struct {
	archive.Folder
	mu       sync.Mutex
	watchers []chan struct{}
	hold     func(ctx context.Context, item []byte) error // before an item is kept; may be nil
}

func (f *pushingFolder) Put(ctx context.Context, item []byte) (archive.Receipt, error) {
	f.mu.Lock()
	hold := f.hold
	f.mu.Unlock()
	if hold != nil {
		if err := hold(ctx, item); err != nil {
			return archive.Receipt{}, err
		}
	}
	receipt, err := f.Folder.Put(ctx, item)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, news := range f.watchers {
		select {
		case news <- struct{}{}:
		default:
		}
	}
	return receipt, err
}

// Watch says after every Put that something may have been missed.
func (f *pushingFolder) Watch(ctx context.Context, _ action.Digest, ready func(), _ func(archive.Ref)) error {
	news := make(chan struct{}, 1)
	f.mu.Lock()
	f.watchers = append(f.watchers, news)
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.watchers = slices.DeleteFunc(f.watchers, func(c chan struct{}) bool { return c == news })
	}()
	for {
		ready()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-news:
		}
	}
}

// script joins statements.
func script(statements ...string) string { return strings.Join(statements, ";\n") }
