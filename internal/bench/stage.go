package main

import (
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// stage is two servers, a source and a target, and an archive between them, up
// to where the measured work begins: the workload waits in two slots of the
// source, pgbridge's and one for the peer. Every measurement begins with a
// copy of its own.
type stage struct {
	work workload
	a    *pgtest.DB // the source
	b    *pgtest.DB // pgbridge's target
	peer *pgtest.DB // the other's target
	node string     // the folder of the archive
	key  string
	id   string
	// slot and publication are pgbridge's names for them.
	slot, publication string
	// target is a position in the source's WAL after the workload, and before
	// its closing mark.
	target string
	units  int
	digest string
	forget bool // a copy's capture is to know no definitions
}

const (
	// edge is a table whose two rows are written before and after the workload.
	edge     = `CREATE TABLE edge (id integer PRIMARY KEY);`
	peerSlot = "peer"
)

// prepare makes a stage, with the workload written and nobody at work.
func (b *bench) prepare(t testing.TB, w workload) *stage {
	b.row = "" // not measured
	dir := t.TempDir()
	config := pgtest.Config{Settings: serverSettings}
	s := &stage{
		work: w, node: filepath.Join(dir, "node"), key: filepath.Join(dir, "key"),
		a: pgtest.Start(t, config).Database(t), b: pgtest.Start(t, config).Database(t),
	}
	s.peer = &pgtest.DB{Name: "peer", Cluster: s.b.Cluster}
	execute(t, s.a, edge)
	b.fill(t, s)
	b.pgbridge(t, nil, "keygen", "--out", s.key)
	scope(t, func(t testing.TB) { b.found(t, s) })
	if w.load != nil {
		execute(t, s.a, "INSERT INTO edge VALUES (1)")
		w.load(b, t, s)
		s.target = s.a.Value(t, "SELECT pg_current_wal_insert_lsn()")
		execute(t, s.a, "INSERT INTO edge VALUES (2)")
	}
	execute(t, s.a, "VACUUM ANALYZE")
	s.digest = digest(t, s.a, w.tables)
	s.units = value[int](t, connect(t, s.a), w.count)
	return s
}

// found makes the source a writer and brings what it has to the archive and
// into the targets.
func (b *bench) found(t testing.TB, s *stage) {
	node, url := b.startNode(t, s.node)
	s.id = b.pgbridge(t, s.source(url), "init", "--name", "bench")
	execute(t, s.a, "SELECT pg_create_logical_replication_slot('"+peerSlot+"', 'pgoutput')")
	bridge := b.start(t, "bridge", s.source(url), "run")
	conn := connect(t, s.a)
	s.slot = value[string](t, conn, "SELECT slot FROM pgbridge.database")
	s.publication = value[string](t, conn, "SELECT publication FROM pgbridge.database")
	s.define(t, node, bridge)
	until(t, 20*time.Millisecond, "the first rows in the archive", []*process{node, bridge}, func() bool {
		return value[bool](t, conn, "SELECT count(*) = 0 FROM pgbridge.outbox")
	})
	if s.work.checkpoint {
		b.save(t, s, url, node, bridge)
	}
	if !s.work.follower {
		return
	}
	b.pgbridge(t, s.follower(url), "init", "--join", s.id)
	follower := b.start(t, "follower", s.follower(url), "run")
	head := value[string](t, conn, "SELECT epoch || ':' || seq FROM pgbridge.chain")
	conn = connect(t, s.b)
	until(t, 20*time.Millisecond, "the first rows in the target", []*process{node, bridge, follower}, func() bool {
		return head == value[string](t, conn, "SELECT epoch || ':' || seq FROM pgbridge.progress WHERE complete UNION ALL SELECT '' LIMIT 1")
	})
	follower.stop(t)
	conn.Close(t.Context())
	admin := &pgtest.DB{Name: "postgres", Cluster: s.b.Cluster}
	execute(t, admin, `CREATE DATABASE peer TEMPLATE "`+s.b.Name+`"`)
	execute(t, s.peer, "DROP SCHEMA pgbridge CASCADE")
}

// source and follower are the environment of pgbridge on either side.
func (s *stage) source(archive string) []string {
	return []string{"PGBRIDGE_DATABASE_URL=" + s.a.URL(), "PGBRIDGE_KEY=" + s.key, "PGBRIDGE_ARCHIVE=" + archive, "PGBRIDGE_ALLOW_SUPERUSER=true"}
}

func (s *stage) follower(archive string) []string {
	return []string{"PGBRIDGE_DATABASE_URL=" + s.b.URL(), "PGBRIDGE_ARCHIVE=" + archive, "PGBRIDGE_ALLOW_SUPERUSER=true"}
}

// freeze stops the servers: now they can be copied.
func (s *stage) freeze(t testing.TB) {
	s.a.Cluster.Stop(t)
	s.b.Cluster.Stop(t)
}

// thaw copies a frozen stage and starts the servers of the copy.
func (s *stage) thaw(t testing.TB) *stage {
	t.Helper()
	a, b := s.a.Cluster.Copy(t), s.b.Cluster.Copy(t)
	live := *s
	live.node = filepath.Join(t.TempDir(), "node")
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", s.node, live.node).CombinedOutput(); err != nil {
		t.Fatalf("copy %s: %v\n%s", s.node, err, out)
	}
	a.Start(t)
	b.Start(t)
	live.a = &pgtest.DB{Name: s.a.Name, Cluster: a}
	live.b = &pgtest.DB{Name: s.b.Name, Cluster: b}
	if s.forget {
		execute(t, live.a, "UPDATE pgbridge.chain SET definitions = '{}'")
	}
	live.peer = &pgtest.DB{Name: s.peer.Name, Cluster: b}
	settle()
	return &live
}

// settle lets the system write what it has, so that the copying does not
// disturb what comes after it.
func settle() {
	syscall.Sync()
}

// sameData ends the run if a copy differs from the source: a fast wrong answer
// counts for nothing.
func (s *stage) sameData(t testing.TB, db *pgtest.DB) {
	t.Helper()
	if got := digest(t, db, s.work.tables); got != s.digest {
		t.Fatalf("%s differs from the source:\n got %s\nwant %s", db.Name, got, s.digest)
	}
}
