package integration

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// worker runs a load again and again, whatever becomes of the server.
type worker struct {
	stopping chan struct{}
	wait     sync.WaitGroup
}

func startWorker(t testing.TB, db *pgtest.DB, l load) *worker {
	w := &worker{stopping: make(chan struct{})}
	w.wait.Go(func() {
		for {
			_ = db.ExecErr(l.sql) // the server may be down
			select {
			case <-w.stopping:
				return
			case <-time.After(l.pause):
			}
		}
	})
	t.Cleanup(w.stop)
	return w
}

func (w *worker) stop() {
	select {
	case <-w.stopping:
	default:
		close(w.stopping)
	}
	w.wait.Wait()
}

// progressed waits until something more was applied at the follower.
func progressed(t testing.TB, follower *pgtest.DB) {
	t.Helper()
	at := follower.Value(t, `SELECT coalesce(max(seq), 0) FROM pgbridge.progress`)
	follower.Wait(t, "t", `SELECT coalesce(max(seq), 0) > $1::bigint FROM pgbridge.progress`, at)
}

// Either server dies under load, as systemd would have it, and comes back.
func TestServersKilled(t *testing.T) {
	t.Parallel()
	here, there := pgtest.Start(t, pgtest.Config{}), pgtest.Start(t, pgtest.Config{})
	source, follower := here.Database(t), there.Database(t)
	source.Exec(t, crashSchema)
	_, url := newArchive(t)
	writer, reader := newSite(t, source, url).withKey(t), newSite(t, follower, url)
	id := strings.TrimSpace(writer.pgbridge(t, "init", "--name", "servers"))
	publishing := writer.serve(t, "run")
	eventually(t, "join", func() error { return reader.tryJoin(t, id) })
	following := reader.serve(t, "run")
	work := startWorker(t, source, wide)
	for _, c := range []struct {
		name    string
		cluster *pgtest.Cluster
		end     func(*pgtest.Cluster, testing.TB)
	}{
		{"source, stopped at once", here, (*pgtest.Cluster).StopImmediate},
		{"target, stopped at once", there, (*pgtest.Cluster).StopImmediate},
		{"source, killed", here, (*pgtest.Cluster).Kill},
		{"target, killed", there, (*pgtest.Cluster).Kill},
	} {
		progressed(t, follower)
		t.Log(c.name)
		c.end(c.cluster, t)
		c.cluster.Start(t)
	}
	progressed(t, follower)
	work.stop()
	applied(t, source, follower)
	pgtest.RequireEqual(t, pgtest.Dump(t, follower), pgtest.Dump(t, source))
	publishing.kill()
	following.kill()
	requireRestore(t, here.Database(t), url, id, source)
}

// freeAddress is where nobody listens, nor will, for all else is on 127.0.0.1.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// The node is killed under load, stays away while the source goes on, and comes
// back on the same folder: meanwhile the outbox grows and the server's WAL does
// not, and in the end everything has arrived.
func TestNodeKilledAndAway(t *testing.T) {
	t.Parallel()
	source, follower := pgtest.New(t), pgtest.New(t)
	source.Exec(t, crashSchema)
	dir, address := t.TempDir(), freeAddress(t)
	url, node := startNodeAt(t, dir, address)
	writer, reader := newSite(t, source, url).withKey(t), newSite(t, follower, url)
	id := strings.TrimSpace(writer.pgbridge(t, "init", "--name", "node"))
	publishing := writer.serve(t, "run")
	eventually(t, "join", func() error { return reader.tryJoin(t, id) })
	following := reader.serve(t, "run")
	work := startWorker(t, source, small)
	for range 3 {
		progressed(t, follower)
		node.kill()
		_, node = startNodeAt(t, dir, address)
	}
	node.kill()
	const state = `SELECT (SELECT count(*) FROM pgbridge.outbox) > 5 AND confirmed_flush_lsn > $1::pg_lsn FROM pg_replication_slots WHERE database = current_database()`
	at := source.Value(t, `SELECT pg_current_wal_insert_lsn()`)
	source.Wait(t, "t", state, at)
	work.stop()
	startNodeAt(t, dir, address)
	applied(t, source, follower)
	pgtest.RequireEqual(t, pgtest.Dump(t, follower), pgtest.Dump(t, source))
	publishing.kill()
	following.kill()
	requireRestore(t, pgtest.New(t), url, id, source)
}

// What only a person can decide ends run with exit code 3 and says what it is.
func TestRunRefuses(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.Config{NoSync: true, Settings: map[string]string{"max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB", "max_wal_size": "32MB"}})
	for _, c := range []struct {
		name string
		do   func(t *testing.T, source *pgtest.DB, s *site)
		code int
		says []string
	}{
		{"slot dropped", func(t *testing.T, source *pgtest.DB, _ *site) {
			source.Exec(t, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()`)
		}, 3, []string{"slot", "gone"}},
		{"slot invalidated", func(t *testing.T, source *pgtest.DB, _ *site) {
			for source.Value(t, `SELECT wal_status FROM pg_replication_slots WHERE database = current_database()`) != "lost" {
				source.Exec(t, wide.sql)
				source.Exec(t, `SELECT pg_switch_wal()`)
				source.Exec(t, `CHECKPOINT`)
			}
		}, 3, []string{"slot", "lost"}},
		{"wrong key", func(t *testing.T, _ *pgtest.DB, s *site) { s.withKey(t) }, 3, []string{"the key is not that of this database's writer"}},
		{"no key", func(_ *testing.T, _ *pgtest.DB, s *site) { s.env = append(s.env, "PGBRIDGE_KEY=") }, 2, []string{"--key"}},
		{"another run", func(t *testing.T, source *pgtest.DB, s *site) {
			s.start(t, "run")
			source.Wait(t, "t", `SELECT active FROM pg_replication_slots WHERE database = current_database()`)
		}, 1, []string{"is another pgbridge run at work on this database?"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			source := cluster.Database(t)
			source.Exec(t, crashSchema)
			_, url := newArchive(t)
			s := newSite(t, source, url).withKey(t)
			s.pgbridge(t, "init", "--name", "refused")
			c.do(t, source, s)
			_, stderr, code := s.try(t, "run")
			if code != c.code {
				t.Errorf("exit code %d, want %d:\n%s", code, c.code, stderr)
			}
			for _, want := range c.says {
				if !strings.Contains(stderr, want) {
					t.Errorf("it does not say %q:\n%s", want, stderr)
				}
			}
		})
	}
}

// A node whose disk is full answers with an error, loses nothing, and takes
// everything once there is room.
func TestNodeDiskFull(t *testing.T) {
	t.Parallel()
	source, restored := pgtest.New(t), pgtest.New(t)
	source.Exec(t, crashSchema)
	dir := smallDisk(t)
	ballast := filepath.Join(dir, "ballast")
	url, node := startNode(t, filepath.Join(dir, "items"))
	writer := newSite(t, source, url).withKey(t)
	id := strings.TrimSpace(writer.pgbridge(t, "init", "--name", "disk"))
	publishing := writer.serve(t, "run")
	published(t, source)
	fill(t, ballast)
	source.Exec(t, wide.sql)
	source.Wait(t, "t", `SELECT count(*) > 0 FROM pgbridge.outbox`)
	eventually(t, "node tells of its disk", func() error {
		if !strings.Contains(node.String(), "no space left") && !strings.Contains(node.String(), "status=507") {
			return errors.New(node.String())
		}
		return nil
	})
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	published(t, source)
	requireOneStart(t, publishing)
	publishing.kill()
	requireRestore(t, restored, url, id, source)
}

// smallDisk mounts a disk of a few megabytes.
func smallDisk(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Fatalf("mount a small disk (this test runs as root): %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v\n%s", err, out)
		}
	})
	return dir
}

// fill writes to a file until the disk is full.
func fill(t testing.TB, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for piece := make([]byte, 64<<10); err == nil; {
		if _, err = f.Write(piece); err != nil && len(piece) > 1 {
			piece, err = piece[:len(piece)/2], nil
		}
	}
}

// An archive that cannot be written is said to be so, by name.
func TestFolderNotWritable(t *testing.T) {
	t.Parallel()
	source := pgtest.New(t)
	source.Exec(t, crashSchema)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	writer := newSite(t, source, "dir://"+file+"/archive").withKey(t)
	writer.pgbridge(t, "init", "--name", "folder")
	running := writer.start(t, "run")
	eventually(t, "run tells of the folder", func() error {
		said := running.String()
		if !strings.Contains(said, file) || !strings.Contains(said, "not a directory") {
			return fmt.Errorf("it says: %s", said)
		}
		return nil
	})
}
