package integration

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// gate stands before a node and can keep checkpoints back.
type gate struct {
	url   string
	node  http.Handler
	mu    sync.Mutex
	hold  moment        // before or after the node has it; empty: nothing is kept back
	hit   chan struct{} // closed when one is kept back
	posts int           // of checkpoints
}

func newGate(t testing.TB, node string) *gate {
	t.Helper()
	to, err := url.Parse(node)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{node: httputil.NewSingleHostReverseProxy(to), hit: make(chan struct{})}
	server := httptest.NewServer(g)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	g.url = server.URL
	return g
}

// keep says when to keep checkpoints back, from now on.
func (g *gate) keep(when moment) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.hold = when
}

// posted is how many checkpoints were posted.
func (g *gate) posted() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.posts
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch when := g.caught(r); when {
	case "":
		g.node.ServeHTTP(w, r)
		return
	case after:
		g.node.ServeHTTP(httptest.NewRecorder(), r)
	}
	close(g.hit)
	<-r.Context().Done() // until the client is dead
}

// caught tells when a request is to be kept back.
func (g *gate) caught(r *http.Request) moment {
	if r.Method != http.MethodPost {
		return ""
	}
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return ""
	}
	r.Body = io.NopCloser(bytes.NewReader(raw))
	item, err := archive.ParseItem(raw)
	if err != nil {
		return "" // a question
	}
	if h, err := archive.PeekHeader(item.Data); err != nil || h.Type != archive.TypeCheckpoint {
		return ""
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.posts++
	return g.hold
}

// The maker dies when the chain names its checkpoint and the archive has not got
// it, or has not said so. Readers begin without it; the next maker brings it there,
// the same bytes, once.
func TestCheckpointKilledUnsent(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		when  moment
		found int // checkpoints that a reader finds before the next maker
		posts int // in the end
	}{{before, 0, 3}, {after, 1, 2}} {
		t.Run(fmt.Sprintf("%s the archive has it", test.when), func(t *testing.T) {
			t.Parallel()
			db := pgtest.New(t)
			db.Exec(t, `CREATE TABLE item (id int PRIMARY KEY, name text); INSERT INTO item SELECT n, 'n' || n FROM generate_series(1, 1000) n`)
			node, _ := startNode(t, t.TempDir())
			g := newGate(t, node)
			s := newSite(t, db, g.url).withKey(t)
			id := strings.TrimSpace(s.pgbridge(t, "init", "--name", "unsent"))
			s.start(t, "run")

			g.keep(test.when)
			making := s.start(t, "checkpoint", "create")
			select {
			case <-g.hit:
			case <-making.exited:
				t.Fatalf("the maker ended before its checkpoint was posted:\n%s", making)
			}
			making.kill()
			const unsent = `SELECT coalesce(string_agg(number::text, ' '), 'none') FROM pgbridge.checkpoint WHERE item IS NOT NULL`
			if got := db.Value(t, unsent); got != "1" {
				t.Fatalf("checkpoints to be sent: got %s, want 1", got)
			}
			db.Exec(t, `DELETE FROM item WHERE id % 3 = 0`)
			published(t, db)
			reader := &site{env: []string{"PGBRIDGE_ARCHIVE=" + node}}
			if r := verify(t, reader, 3*(1-test.found), "--db-id", id); r.Checkpoints != test.found || len(r.Faults) != 1-test.found {
				t.Errorf("verify: got %+v, want %d checkpoints", r, test.found)
			}
			if text, _, _ := s.try(t, "status"); !strings.Contains(text, "checkpoint 1 is not in every archive") {
				t.Errorf("status: got\n%s", text)
			}
			s.requireRestored(t, node, id, restoredTo{Checkpoint: uint64(test.found)})

			g.keep("")
			if made := s.checkpoint(t); made.Number != 2 {
				t.Errorf("got checkpoint %d, want 2", made.Number)
			}
			if got := db.Value(t, unsent); got != "none" || g.posted() != test.posts {
				t.Errorf("to be sent: got %s, after %d were posted, want none, after %d", got, g.posted(), test.posts)
			}
			published(t, db)
			list := reader.checkpoints(t, "--db-id", id)
			if len(list) != 2 || !list[0].Confirmed || !list[1].Confirmed || list[0].Digest != db.Value(t, `SELECT digest FROM pgbridge.checkpoint WHERE number = 1`) {
				t.Errorf("got %+v, want two that the chain names, the first with the digest that it was made with", list)
			}
			if r := verify(t, reader, 0, "--db-id", id); r.Checkpoints != 2 {
				t.Errorf("verify: got %+v, want 2 checkpoints", r)
			}
			s.requireRestored(t, node, id, restoredTo{Checkpoint: 1, Checked: 2}, "--checkpoint", "1")
		})
	}
}

// requireRestored restores from an archive what s holds, by way of the checkpoints
// that want names.
func (s *site) requireRestored(t *testing.T, archive, id string, want restoredTo, args ...string) {
	t.Helper()
	db := pgtest.New(t)
	got := newSite(t, db, archive).restore(t, id, args...)
	pgtest.RequireEqual(t, pgtest.Dump(t, db), pgtest.Dump(t, s.db))
	if got.Checkpoint != want.Checkpoint || got.Checked != want.Checked {
		t.Errorf("restored from checkpoint %d, equal to %d, want %d and %d", got.Checkpoint, got.Checked, want.Checkpoint, want.Checked)
	}
}
