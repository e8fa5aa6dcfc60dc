package integration

import (
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/internal/bridgetest"
	"github.com/pgbridge/pgbridge/internal/fakearchive"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// matrix tells whether every crash point is to be tried with every load, at
// several occurrences. The default is one occurrence of each point, with the
// loads by turns.
var matrix = os.Getenv("PGBRIDGE_TEST_MATRIX") != ""

// chooseNth is at which occurrences of a point to kill.
func chooseNth() []int {
	if matrix {
		return []int{1, 2, 5}
	}
	return []int{1}
}

// load is one kind of work at the source, a transaction for each call.
type load struct {
	name string
	sql  string
	// pause: only one transaction is on its way at a time.
	pause time.Duration
}

var (
	small = load{name: "small", sql: `INSERT INTO app.note (body) VALUES (md5(random()::text))`}
	wide  = load{name: "wide", pause: 100 * time.Millisecond, sql: `
		INSERT INTO app.note (body) SELECT md5(random()::text || n) FROM generate_series(1, 1000) n;
		UPDATE app.note SET body = body || '!' WHERE id % 7 = 0 AND id > (SELECT max(id) FROM app.note) - 1500;
		DELETE FROM app.note WHERE id % 3 = 0 AND id > (SELECT max(id) FROM app.note) - 1200`}
	huge = load{name: "huge", pause: 5 * time.Second, sql: `
		DELETE FROM app.big;
		INSERT INTO app.big SELECT n, repeat(md5(random()::text || n), 3000) FROM generate_series(1, 220) n;
		UPDATE app.big SET body = 'short' WHERE id % 50 = 0`}
	loads = []load{small, wide, huge}
)

const crashSchema = `CREATE SCHEMA app;
	CREATE TABLE app.note (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL);
	CREATE TABLE app.big (id int PRIMARY KEY, body text);
	INSERT INTO app.note (body) SELECT 'old ' || n FROM generate_series(1, 3000) n`

// pair is a writer and a follower, each with a proxy in front of its database.
type pair struct {
	source, follower   *pgtest.DB
	sourceP, followerP *proxy
	archive            *fakearchive.Server
	url                string // of the archive
	writer, reader     *site
	id                 string
	conn               *pgx.Conn // where the loads run
	last               time.Time // when one did
}

// through is the site with its database behind p.
func (s *site) through(p *proxy) *site {
	return &site{db: s.db, env: append(append([]string{}, s.env...), "PGBRIDGE_DATABASE_URL="+p.url)}
}

// newArchive is a fake that is like pgbridge's own node.
func newArchive(t testing.TB) (s *fakearchive.Server, url string) {
	t.Helper()
	s = fakearchive.New(t)
	s.Blockless = true
	s.Script(fakearchive.Post) // nothing; its lock orders this before the first request
	return s, s.URL + "?address=" + s.Address
}

// newPair has run init and, once the genesis is uploaded, init --join.
func newPair(t testing.TB) *pair {
	t.Helper()
	p := &pair{source: pgtest.New(t), follower: pgtest.New(t)}
	p.source.Exec(t, crashSchema)
	p.sourceP, p.followerP = newProxy(t, p.source), newProxy(t, p.follower)
	p.archive, p.url = newArchive(t)
	p.writer = newSite(t, p.source, p.url).withKey(t).through(p.sourceP)
	p.reader = newSite(t, p.follower, p.url).through(p.followerP)
	p.id = strings.TrimSpace(p.writer.pgbridge(t, "init", "--name", "crash"))
	run := p.writer.start(t, "run")
	eventually(t, "join", func() error { return p.reader.tryJoin(t, p.id) })
	run.kill()
	noSessions(t, p.source)
	p.conn = p.source.Connect(t)
	return p
}

// work runs one transaction of l, if it is time.
func (p *pair) work(t testing.TB, l load) {
	t.Helper()
	if time.Since(p.last) < l.pause {
		return
	}
	p.last = time.Now()
	if err := p.conn.PgConn().Exec(t.Context(), l.sql).Close(); err != nil {
		t.Fatalf("%s load: %v", l.name, err)
	}
}

// killed runs a command, again if it ends with exit code 1, until hit, and
// kills it there. It returns false if the command came to its end before.
func (s *site) killed(t testing.TB, hit <-chan struct{}, work func(), args ...string) bool {
	t.Helper()
	deadline := time.NewTimer(3 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		p := s.start(t, args...)
		for alive := true; alive; {
			select {
			case <-hit:
				p.kill()
				return true
			case <-p.exited:
				if p.cmd.ProcessState.ExitCode() == 0 {
					return false
				}
				requireAgain(t, p)
				alive = false
			case <-deadline.C:
				t.Fatalf("pgbridge %s did not come to the point where it is killed:\n%s", strings.Join(args, " "), p)
			case <-tick.C:
				work()
			}
		}
	}
}

// requireAgain fails the test if p did not end in a way after which it is
// started again.
func requireAgain(t testing.TB, p *process) {
	t.Helper()
	if code := p.cmd.ProcessState.ExitCode(); code != 1 {
		t.Fatalf("pgbridge ended with exit code %d, want 1:\n%s", code, p)
	}
}

// service is a pgbridge that is started again after exit code 1, as the systemd
// unit does.
type service struct {
	stopping chan struct{}
	done     chan struct{}
	mu       sync.Mutex
	now      *process
	starts   int
}

func (s *site) serve(t testing.TB, args ...string) *service {
	t.Helper()
	v := &service{stopping: make(chan struct{}), done: make(chan struct{}), now: s.start(t, args...), starts: 1}
	go func() {
		defer close(v.done)
		for {
			<-v.now.exited
			select {
			case <-v.stopping:
				return
			case <-time.After(100 * time.Millisecond): // RestartSec
			}
			if code := v.now.cmd.ProcessState.ExitCode(); code != 1 {
				t.Errorf("pgbridge %s ended with exit code %d, want 1:\n%s", strings.Join(args, " "), code, v.now)
				return
			}
			v.mu.Lock()
			v.now = s.start(t, args...)
			v.starts++
			v.mu.Unlock()
		}
	}()
	t.Cleanup(v.kill)
	return v
}

// kill ends the service with kill -9.
func (v *service) kill() {
	v.mu.Lock()
	select {
	case <-v.stopping:
	default:
		close(v.stopping)
	}
	p := v.now
	v.mu.Unlock()
	p.kill()
	<-v.done
}

// log is what its last process has said.
func (v *service) log() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now.String()
}

// requireOneStart fails the test if a service had to be started again.
func requireOneStart(t testing.TB, services ...*service) {
	t.Helper()
	for _, v := range services {
		v.mu.Lock()
		if v.starts != 1 {
			t.Errorf("%s was started %d times, want once:\n%s", v.now.cmd, v.starts, v.now)
		}
		v.mu.Unlock()
	}
}

// settled runs both sides without faults until all is applied, and requires
// that follower and a restored copy equal the source.
func (p *pair) settled(t testing.TB) {
	t.Helper()
	p.sourceP.set(nil)
	p.followerP.set(nil)
	publishing, following := p.writer.serve(t, "run"), p.reader.serve(t, "run")
	p.same(t)
	publishing.kill()
	following.kill()
	p.restored(t)
}

// same waits until the follower has all that is committed at the source, and
// compares them.
func (p *pair) same(t testing.TB) {
	t.Helper()
	applied(t, p.source, p.follower)
	pgtest.RequireEqual(t, pgtest.Dump(t, p.follower), pgtest.Dump(t, p.source))
}

// restored requires that a copy restored from the archive equals the source.
func (p *pair) restored(t testing.TB) {
	t.Helper()
	requireRestore(t, p.source.Cluster.Database(t), p.url, p.id, p.source)
}

// published waits until all that is committed at source has left its outbox,
// and returns the chain's head.
func published(t testing.TB, source *pgtest.DB) string {
	t.Helper()
	return bridgetest.Published(t, source)
}

// unpublished says what of source's WAL up to position at is not yet in all
// archives; nil if everything is.
func unpublished(t testing.TB, source *pgtest.DB, at string) error {
	t.Helper()
	return bridgetest.Unpublished(t, source, at)
}

// applied waits until follower has all that is committed at source.
func applied(t testing.TB, source, follower *pgtest.DB) {
	t.Helper()
	head := published(t, source)
	eventually(t, "applied "+head, func() error { return bridgetest.NotApplied(t, follower, head) })
}

// The publisher dies, again and again, at every step that makes something
// durable, just before and just after it.
func TestPublisherKilled(t *testing.T) {
	t.Parallel()
	points := []struct {
		name  string
		match func(sent) bool
	}{
		{"outbox", runs("INSERT INTO pgbridge.outbox")},
		{"acknowledge", acknowledges},
		{"delivery", runs("INSERT INTO pgbridge.delivery")},
		{"release", runs("DELETE FROM pgbridge.outbox")},
		{"commit of release", is("commit")},
	}
	p := newPair(t)
	turn := 0
	for _, point := range points {
		for _, when := range []moment{before, after} {
			for _, nth := range chooseNth() {
				for _, l := range someLoads(&turn) {
					t.Logf("kill %s %s %d with %s transactions", when, point.name, nth, l.name)
					trap := p.sourceP.set(newTrap(nth, when, point.match))
					p.writer.killed(t, trap.hit, func() { p.work(t, l) }, "run")
				}
			}
		}
	}
	p.settled(t)
}

// someLoads is all loads, or the next one.
func someLoads(turn *int) []load {
	if matrix {
		return loads
	}
	*turn++
	return loads[*turn%len(loads) : *turn%len(loads)+1]
}

// The publisher dies around the upload of a record.
func TestPublisherKilledAtPost(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	turn := 0
	for _, point := range []string{"before storing", "after storing", "after the answer"} {
		for _, nth := range chooseNth() {
			for _, l := range someLoads(&turn) {
				t.Logf("kill %s %d with %s transactions", point, nth, l.name)
				hit := make(chan struct{})
				for range nth - 1 {
					p.archive.Script(fakearchive.Post, fakearchive.Fine)
				}
				p.archive.Script(fakearchive.Post, dieAt(point, hit))
				p.writer.killed(t, hit, func() { p.work(t, l) }, "run")
			}
		}
	}
	p.settled(t)
}

// dieAt closes hit at a point of serving a request.
func dieAt(point string, hit chan struct{}) fakearchive.Fault {
	hang := func(s *fakearchive.Server, w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
		close(hit)
		fakearchive.Hang(s, w, r, serve)
	}
	switch point {
	case "before storing":
		return hang
	case "after storing":
		return fakearchive.Done(hang)
	}
	return func(_ *fakearchive.Server, w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
		serve(w, r)
		w.(http.Flusher).Flush()
		close(hit)
	}
}

// The follower dies, again and again, around its commits and in the middle of
// its work.
func TestFollowerKilled(t *testing.T) {
	t.Parallel()
	points := []struct {
		name  string
		match func(sent) bool
		when  []moment
		loads []load
	}{
		{"commit", is("commit"), []moment{before, after}, loads},
		{"progress", runs("INSERT INTO pgbridge.progress"), []moment{before, after}, loads},
		{"copy", copies, []moment{before}, loads},
		{"begin", is("begin"), []moment{after}, loads},
		{"part of a huge transaction", runs("SAVEPOINT pgbridge"), []moment{before, after}, []load{huge}},
	}
	p := newPair(t)
	publishing := p.writer.serve(t, "run")
	turn := 0
	for _, point := range points {
		for _, when := range point.when {
			for _, nth := range chooseNth() {
				some := point.loads
				if len(some) > 1 {
					some = someLoads(&turn)
				}
				for _, l := range some {
					t.Logf("kill %s %s %d with %s transactions", when, point.name, nth, l.name)
					trap := p.followerP.set(newTrap(nth, when, point.match))
					p.reader.killed(t, trap.hit, func() { p.work(t, l) }, "run")
				}
			}
		}
	}
	publishing.kill()
	p.settled(t)
}
