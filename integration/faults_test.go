package integration

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/applier"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/internal/fakearchive"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// archiveFault is a fault that a bridge rides out.
type archiveFault struct {
	name  string
	on    fakearchive.Route
	fault fakearchive.Fault
}

var (
	alreadyThere = fakearchive.Answer(http.StatusCreated, "Transaction already received")
	accepted     = fakearchive.Answer(http.StatusAccepted, "")
)

var archiveFaults = []archiveFault{
	{"too many requests", fakearchive.Post, fakearchive.Busy(1)},
	{"internal error", fakearchive.Post, fakearchive.Answer(500, "oops")},
	{"stored, then an internal error", fakearchive.Post, fakearchive.Done(fakearchive.Answer(500, "oops"))},
	{"no connection", fakearchive.Post, fakearchive.Drop},
	{"stored, then no connection", fakearchive.Post, fakearchive.Done(fakearchive.Drop)},
	{"stored, 202 without a body", fakearchive.Post, fakearchive.Done(accepted)},
	{"stored, 201 without a receipt", fakearchive.Post, fakearchive.Done(alreadyThere)},
	{"receipt for another item, stored", fakearchive.Post, fakearchive.Done(fakearchive.Misread)},
	{"no funds", fakearchive.Post, fakearchive.Answer(402, "no credits")},
	{"receipt cut short", fakearchive.Post, fakearchive.Truncate},
	{"status: too many requests", fakearchive.Status, fakearchive.Busy(1)},
	{"status: no connection", fakearchive.Status, fakearchive.Drop},
	{"index: internal error", fakearchive.Index, fakearchive.Answer(503, "")},
	{"index: no connection", fakearchive.Index, fakearchive.Drop},
	{"index: cut short", fakearchive.Index, fakearchive.Truncate},
	{"index: rubbish", fakearchive.Index, fakearchive.Answer(200, "<html>")},
	{"data: not there yet", fakearchive.Data, fakearchive.Answer(404, "")},
	{"data: internal error", fakearchive.Data, fakearchive.Answer(500, "")},
	{"data: no connection", fakearchive.Data, fakearchive.Drop},
	{"data: cut short", fakearchive.Data, fakearchive.Truncate},
	{"data: a bit flipped", fakearchive.Data, flip(0.9)},
	{"data: a bit of the head flipped", fakearchive.Data, flip(0.01)},
	{"feed: rubbish", fakearchive.Events, fakearchive.Feed("data: rubbish\n\n")},
}

// slowFaults take the archive's whole patience.
var slowFaults = []archiveFault{
	{"202, and nothing stored", fakearchive.Post, accepted},
	{"201, and nothing stored", fakearchive.Post, alreadyThere},
	{"no answer", fakearchive.Post, fakearchive.Hang},
	{"index: no answer", fakearchive.Index, fakearchive.Hang},
	{"data: no end", fakearchive.Data, fakearchive.Drip},
}

// flip serves with one bit changed at a place of the body.
func flip(place float64) fakearchive.Fault {
	return func(_ *fakearchive.Server, w http.ResponseWriter, r *http.Request, serve http.HandlerFunc) {
		answer := httptest.NewRecorder()
		serve(answer, r)
		body := answer.Body.Bytes()
		if len(body) > 0 {
			body[int(place*float64(len(body)))] ^= 4
		}
		_, _ = w.Write(body) // the client may be gone
	}
}

// Whatever an archive does to one request costs a delay: neither side has to be
// started again, and nothing is lost, doubled or changed.
func TestArchiveFaults(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	publishing, following := p.writer.serve(t, "run"), p.reader.serve(t, "run")
	faults := archiveFaults
	if matrix {
		faults = append(faults, slowFaults...)
	}
	for _, f := range faults {
		t.Logf("fault: %s", f.name)
		asked := p.archive.Asked(f.on)
		p.archive.Script(f.on, f.fault)
		switch f.on {
		case fakearchive.Events:
			p.archive.Break()
		case fakearchive.Status: // asked for when there is no receipt
			p.archive.Script(fakearchive.Post, fakearchive.Truncate)
		}
		eventually(t, f.name, func() error {
			p.work(t, small)
			if p.archive.Asked(f.on) <= asked {
				return errors.New("nobody has asked")
			}
			return nil
		})
	}
	p.same(t)
	requireOneStart(t, publishing, following)
	publishing.kill()
	following.kill()
	p.archive.Script(fakearchive.Data, fakearchive.Fine, flip(0.9)) // the genesis, then a record
	p.restored(t)
}

// liar is an index that shuffles, repeats, hides and makes up.
type liar struct {
	mu     sync.Mutex
	hidden map[string]bool // numbers of records
	forge  int             // how many made up entries for each true one
}

func (l *liar) hide(seqs ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hidden = map[string]bool{}
	for _, s := range seqs {
		l.hidden[s] = true
	}
}

func (l *liar) lie(nodes []fakearchive.Node) []fakearchive.Node {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []fakearchive.Node
	for _, n := range nodes {
		if l.hidden[tagOf(n, "Seq")] {
			continue
		}
		all = append(all, n, n)
		for i := range l.forge {
			all = append(all, forged(n, byte(i)))
		}
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

func tagOf(n fakearchive.Node, name string) string {
	for _, tag := range n.Tags {
		if tag.Name == name {
			return tag.Value
		}
	}
	return ""
}

// forged is an entry that claims to be what n is, or, every third, what comes
// after it. What its id serves is another record, rubbish, or nothing.
func forged(n fakearchive.Node, i byte) fakearchive.Node {
	n.ID = fakearchive.NewID(100 + i)
	n.Tags = slices.Clone(n.Tags)
	for at, tag := range n.Tags {
		switch {
		case tag.Name == "Digest" && i%2 == 0:
			n.Tags[at] = archive.Tag{Name: "Digest", Value: strings.Repeat("ab", 32)}
		case tag.Name == "Seq" && i%3 == 0:
			n.Tags[at].Value += "0"
		}
	}
	return n
}

// lying makes the pair's archive lie from now on.
func (p *pair) lying(l *liar) {
	p.archive.Lie = l.lie
	p.archive.Script(fakearchive.Post) // orders this before the next request
}

// An index that repeats, shuffles and makes up entries under our tags neither
// stops nor misleads anyone.
func TestLyingIndex(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	p.lying(&liar{forge: 4})
	p.archive.Serve(fakearchive.NewID(101), []byte("rubbish"))
	p.archive.Serve(fakearchive.NewID(102), []byte(`{"v":1}`+"\nAAAA\n{}"))
	publishing := p.writer.serve(t, "run")
	for _, l := range []load{small, wide, huge, small} {
		p.source.Exec(t, l.sql)
		published(t, p.source)
	}
	following := p.reader.serve(t, "run")
	p.source.Exec(t, small.sql)
	p.same(t)
	requireOneStart(t, publishing, following)
	publishing.kill()
	following.kill()
	p.restored(t)
}

// Somebody else's record is no genesis of the database, even if it holds one and
// is tagged as one.
func TestForgedGenesis(t *testing.T) {
	t.Parallel()
	source := pgtest.New(t)
	source.Exec(t, crashSchema)
	server, url := newArchive(t)
	writer := newSite(t, source, url).withKey(t)
	db, err := action.ParseDigest(strings.TrimSpace(writer.pgbridge(t, "init", "--name", "real")))
	if err != nil {
		t.Fatal(err)
	}
	server.Plant(plantGenesis(t, server, source, db))
	target := newSite(t, pgtest.New(t), url)
	stdout, stderr, code := target.try(t, "restore", "--db-id", db.String())
	if code == 0 || !strings.Contains(stderr, "no genesis of "+db.String()) {
		t.Errorf("restore of a forged genesis: exit code %d, want an error that there is none:\n%s%s", code, stdout, stderr)
	}
	publishing := writer.serve(t, "run")
	published(t, source)
	publishing.kill()
	target.pgbridge(t, "restore", "--db-id", db.String())
}

// plantGenesis signs a genesis of its own as a later record of db.
func plantGenesis(t testing.TB, server *fakearchive.Server, source *pgtest.DB, db action.Digest) fakearchive.Node {
	t.Helper()
	raw, err := hex.DecodeString(source.Value(t, `SELECT encode(genesis, 'hex') FROM pgbridge.database`))
	if err != nil {
		t.Fatal(err)
	}
	record, err := archive.Open(raw)
	if err != nil {
		t.Fatal(err)
	}
	genesis, err := applier.OpenGenesis(&record)
	if err != nil {
		t.Fatal(err)
	}
	key, err := archive.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	genesis.Owner, genesis.Writers = key.Writer(), []action.Writer{key.Writer()}
	body, err := genesis.Encode()
	if err != nil {
		t.Fatal(err)
	}
	h := record.Header
	h.Type, h.DB, h.Writer, h.Seq, h.Prev, h.Txs = archive.TypeActions, db, key.Writer(), 2, db, 1
	forged, err := archive.Seal(key, h, body)
	if err != nil {
		t.Fatal(err)
	}
	item, err := archive.Wrap(archive.KeyWallet(key), &forged, nil)
	if err != nil {
		t.Fatal(err)
	}
	server.Serve(item.ID, forged.Bytes)
	for i, tag := range item.Tags {
		if tag.Name == "Type" {
			item.Tags[i].Value = string(archive.TypeGenesis)
		}
	}
	return fakearchive.Node{ID: item.ID, Owner: item.Address(), Tags: item.Tags}
}

// A record that is withheld stops followers, who say so, and restore, which
// says what it looked for and where; both go on once it is there.
func TestHole(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	lies := &liar{}
	p.lying(lies)
	publishing := p.writer.serve(t, "run")
	published(t, p.source)
	next := p.source.Value(t, `SELECT seq + 1 FROM pgbridge.chain`)
	for range 3 {
		p.source.Exec(t, small.sql)
		published(t, p.source)
	}
	lies.hide(next)
	following := p.reader.serve(t, "run")
	eventually(t, "follower tells of the hole", func() error {
		if !strings.Contains(following.log(), "records are missing") {
			return errors.New(following.log())
		}
		return nil
	})
	p.follower.Wait(t, next, `SELECT seq + 1 FROM pgbridge.progress`)
	restored := pgtest.New(t)
	target := newSite(t, restored, p.url)
	_, stderr, code := target.try(t, "restore", "--db-id", p.id)
	if code != 3 {
		t.Errorf("restore of a chain with a hole: exit code %d, want 3:\n%s", code, stderr)
	}
	writer := p.source.Value(t, `SELECT writer FROM pgbridge.chain`)
	for _, want := range []string{writer, "epoch 1", next, p.archive.URL} {
		if !strings.Contains(stderr, want) {
			t.Errorf("restore of a chain with a hole does not say %q:\n%s", want, stderr)
		}
	}
	lies.hide()
	p.source.Exec(t, small.sql) // wakes the follower, who would ask again by itself in a while
	p.same(t)
	publishing.kill()
	following.kill()
	target.pgbridge(t, "restore", "--db-id", p.id)
	pgtest.RequireEqual(t, pgtest.Dump(t, restored), pgtest.Dump(t, p.source))
}

// A database that was cloned, or taken back to where it was, must not write a
// second history; if two write at once, whoever reads stops.
func TestForkAndRewind(t *testing.T) {
	t.Parallel()
	origin := pgtest.Start(t, pgtest.Config{NoSync: true})
	source := origin.Database(t)
	source.Exec(t, crashSchema)
	server, url := newArchive(t)
	server.Forks = true
	writer := newSite(t, source, url).withKey(t)
	id := strings.TrimSpace(writer.pgbridge(t, "init", "--name", "fork"))
	publishing := writer.serve(t, "run")
	source.Exec(t, small.sql)
	published(t, source)
	publishing.kill()
	origin.Stop(t)
	at := func(c *pgtest.Cluster) (*pgtest.DB, *site) {
		c.Start(t)
		db := &pgtest.DB{Name: source.Name, Cluster: c}
		return db, &site{db: db, env: append(slices.Clone(writer.env), "PGBRIDGE_DATABASE_URL="+db.URL())}
	}
	cloned, twin := at(origin.Copy(t))
	old := origin.Copy(t)
	origin.Start(t)

	seq := source.Value(t, `SELECT seq + 1 FROM pgbridge.chain`)
	runs := []*process{writer.start(t, "run"), twin.start(t, "run")}
	eventually(t, "both have looked at the archive's head", func() error {
		for _, r := range runs {
			if !strings.Contains(r.String(), "publishing") {
				return errors.New(r.String())
			}
		}
		return idle(source, cloned)
	})
	follower := pgtest.New(t)
	reader := newSite(t, follower, url)
	eventually(t, "join", func() error { return reader.tryJoin(t, id) })
	for _, db := range []*pgtest.DB{source, cloned} {
		db.Exec(t, small.sql)
		published(t, db)
	}
	digests := []string{digestOf(t, source), digestOf(t, cloned)}
	following := reader.start(t, "run")
	requireFork(t, "run", following.wait(t), following.String(), seq, digests)
	_, stderr, code := newSite(t, pgtest.New(t), url).try(t, "restore", "--db-id", id)
	requireFork(t, "restore", code, stderr, seq, digests)

	_, rewound := at(old)
	_, stderr, code = rewound.try(t, "run")
	if code != 3 || !strings.Contains(stderr, "was rewound or cloned; nothing was published") {
		t.Errorf("run on a rewound database: exit code %d, want 3 and what happened:\n%s", code, stderr)
	}
	for i, r := range runs {
		r.kill()
		s := []*site{writer, twin}[i]
		noSessions(t, s.db)
		stdout, stderr, code := s.try(t, "run")
		if code != 3 {
			t.Errorf("run %d after the fork: exit code %d, want 3:\n%s%s", i, code, stdout, stderr)
		}
	}
}

// idle tells whether the uploaders have come to their first question.
func idle(dbs ...*pgtest.DB) error {
	for _, db := range dbs {
		if err := db.ExecErr(`DO $$ BEGIN ASSERT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pgbridge' AND query ILIKE '%pgbridge.outbox o%') > 0; END $$`); err != nil {
			return fmt.Errorf("not yet: %w", err)
		}
	}
	return nil
}

func digestOf(t testing.TB, db *pgtest.DB) string {
	t.Helper()
	return db.Value(t, `SELECT digest FROM pgbridge.chain`)
}

func requireFork(t testing.TB, what string, code int, said, seq string, digests []string) {
	t.Helper()
	if code != 3 {
		t.Errorf("%s of a chain with a fork: exit code %d, want 3:\n%s", what, code, said)
	}
	for _, want := range append([]string{"record " + seq}, digests...) {
		if !strings.Contains(said, want) {
			t.Errorf("%s of a chain with a fork does not say %q:\n%s", what, want, said)
		}
	}
}
