package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// statusReport is what status --json prints.
type statusReport struct {
	DB, Name, Role, Stage string
	Running               bool
	Publishes             *struct {
		Writer string
		Epoch  uint32
		Seq    uint64
		At     time.Time
		Slot   struct {
			Name          string
			Found, Active bool
			WALStatus     string `json:"wal_status"`
			LagBytes      int64  `json:"lag_bytes"`
			WALBytes      int64  `json:"wal_bytes"`
		}
		Outbox struct {
			Records, Bytes int64
			OldestSeconds  float64 `json:"oldest_seconds"`
		}
		Archives []struct {
			Archive                              string
			Accepted, Confirmed, Failing, Parked *struct {
				Epoch    uint32
				Seq      uint64
				At       time.Time
				Attempts int
				Error    string
			}
			Waiting int64
		}
	}
	Follows []struct {
		Writer       string
		Seq          uint64
		Complete     bool
		At           time.Time
		Head         *uint64
		ArchiveError string   `json:"archive_error"`
		LagRecords   *uint64  `json:"lag_records"`
		LagSeconds   *float64 `json:"lag_seconds"`
		Holes        []struct{ First, Last uint64 }
	}
	Quarantine []struct {
		Seq      uint64
		SQLState string
		Error    string
	}
	Problems []struct {
		Problem string
		Person  bool
	}
}

// status asks how the site is, as a program would, without a key.
func (s *site) status(t testing.TB) (r statusReport, code int) {
	t.Helper()
	stdout, stderr, code := s.try(t, "status", "--json", "--key", "", "--log-level", "error")
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("status --json: %v: %s\n%s", err, stdout, stderr)
	}
	return r, code
}

// board makes a table and a site that publishes it.
func board(t testing.TB, archives ...string) (writer *site, id string) {
	t.Helper()
	db := pgtest.New(t)
	db.Exec(t, `CREATE TABLE post (id int PRIMARY KEY, title text); INSERT INTO post SELECT n, 'post ' || n FROM generate_series(1, 100) n`)
	writer = newSite(t, db, archives...).withKey(t)
	return writer, strings.TrimSpace(writer.pgbridge(t, "init", "--name", "board"))
}

func TestStatusOfWriter(t *testing.T) {
	t.Parallel()
	dir := "dir://" + t.TempDir()
	writer, id := board(t, dir)

	offline := &site{db: writer.db, env: []string{"PGBRIDGE_DATABASE_URL=" + writer.db.URL()}}
	r, code := offline.status(t)
	if p := r.Publishes; code != 1 || r.Running || r.DB != id || r.Name != "board" || r.Role != "writer" || r.Stage != "ready" || p == nil ||
		p.Seq < 3 || p.Outbox.Records != int64(p.Seq) || p.Outbox.Bytes < 1000 || !p.Slot.Found || p.Slot.Active || p.Slot.WALStatus != "reserved" ||
		p.Slot.WALBytes <= 0 || len(p.Archives) != 0 || time.Since(p.At) > time.Minute {
		t.Fatalf("after init: got exit code %d, %+v", code, r)
	}

	running := writer.start(t, "run")
	eventually(t, "status is well", func() error {
		r, code := writer.status(t)
		if p := r.Publishes; code != 0 || !r.Running || !p.Slot.Active || p.Outbox.Records != 0 || len(p.Archives) != 1 || p.Archives[0].Archive != dir ||
			p.Archives[0].Confirmed == nil || p.Archives[0].Confirmed.Seq != p.Seq || p.Archives[0].Accepted.Seq != p.Seq || len(r.Problems) != 0 {
			return fmt.Errorf("got exit code %d, %+v", code, r)
		}
		return nil
	})
	text := writer.pgbridge(t, "status")
	for _, want := range []string{"database", id, "writer, ready, running", "WAL reserved", "outbox", "empty", "archive", dir, "confirmed"} {
		if !strings.Contains(text, want) {
			t.Errorf("status: got\n%s\nwant %q in it", text, want)
		}
	}

	running.stop(t)
	noSessions(t, writer.db)
	writer.db.Exec(t, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()`)
	if r, code := writer.status(t); code != 3 || r.Publishes.Slot.Found || len(r.Problems) != 2 || !r.Problems[1].Person {
		t.Errorf("without a slot: got exit code %d, %+v", code, r)
	}
}

func TestStatusOfFailingArchive(t *testing.T) {
	t.Parallel()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + closed.Addr().String()
	closed.Close()
	writer, _ := board(t, "dir://"+filepath.Join(t.TempDir(), "not mounted"))
	running := writer.start(t, "run")
	eventually(t, "the archive is said to fail", func() error {
		r, code := writer.status(t)
		if a := r.Publishes.Archives; code != 1 || len(a) != 1 || a[0].Failing == nil || a[0].Failing.Seq != 1 || a[0].Failing.Error == "" ||
			a[0].Failing.Attempts < 1 || a[0].Accepted != nil || a[0].Waiting != r.Publishes.Outbox.Records {
			return fmt.Errorf("got exit code %d, %+v", code, r)
		}
		return nil
	})

	running.stop(t) // it would note again that the archive fails
	noSessions(t, writer.db)
	writer.db.Exec(t, `UPDATE pgbridge.delivery SET state = 'parked' WHERE seq = 1`)
	if r, code := writer.status(t); code != 3 || r.Publishes.Archives[0].Parked == nil || r.Publishes.Archives[0].Parked.Seq != 1 {
		t.Errorf("parked: got exit code %d, %+v", code, r)
	}

	peer := newSite(t, pgtest.New(t), url)
	if _, stderr, code := peer.try(t, "status"); code != 3 || !strings.Contains(stderr, "pgbridge init") {
		t.Errorf("status of a database that is not set up: got exit code %d, %s", code, stderr)
	}
}

func TestStatusOfFollower(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	archive := "dir://" + dir
	writer, id := board(t, archive)
	writer.start(t, "run")
	peer := newSite(t, pgtest.New(t), archive)
	eventually(t, "join", func() error { return peer.tryJoin(t, id) })

	if r, code := peer.status(t); code != 1 || r.Stage != "copy" || r.Role != "follower" || r.Running || r.Publishes != nil || len(r.Follows) != 1 {
		t.Errorf("after the join: got exit code %d, %+v", code, r)
	}
	running := peer.start(t, "run")
	sameData(t, writer.db, peer.db)
	eventually(t, "follower is well", func() error {
		r, code := peer.status(t)
		if f := r.Follows[0]; code != 0 || !r.Running || r.Stage != "ready" || f.Head == nil || *f.Head != f.Seq || *f.LagRecords != 0 || *f.LagSeconds != 0 {
			return fmt.Errorf("got exit code %d, %+v", code, r)
		}
		return nil
	})

	running.stop(t)
	before, _ := peer.status(t)
	for n := range 3 {
		writer.db.Exec(t, `INSERT INTO post VALUES ($1, 'late')`, 1000+n)
		want := before.Follows[0].Seq + uint64(n) + 1
		eventually(t, "the follower falls behind", func() error {
			r, code := peer.status(t)
			f := r.Follows[0]
			if code != 1 || r.Running || f.Head == nil || *f.Head != want || *f.LagRecords != uint64(n)+1 || *f.LagSeconds <= 0 || len(f.Holes) != 0 {
				return fmt.Errorf("got exit code %d, %+v", code, r)
			}
			return nil
		})
	}

	missing := before.Follows[0].Seq + 2
	item := remove(t, dir, missing)
	if r, code := peer.status(t); code != 1 || len(r.Follows[0].Holes) != 1 || r.Follows[0].Holes[0].First != missing || r.Follows[0].Holes[0].Last != missing {
		t.Errorf("with a hole: got exit code %d, %+v", code, r)
	}
	item.restore(t)

	away := newSite(t, peer.db, "dir://"+dir+"-away")
	if r, code := away.status(t); code != 1 || r.Follows[0].ArchiveError == "" || r.Follows[0].Head != nil || r.Follows[0].LagRecords != nil {
		t.Errorf("with the archive away: got exit code %d, %+v", code, r)
	}

	peer.db.Exec(t, `INSERT INTO post VALUES (1001, 'not of the log')`)
	if code := peer.start(t, "run").wait(t); code != 3 {
		t.Errorf("run of a follower that has drifted: got exit code %d, want 3", code)
	}
	if r, code := peer.status(t); code != 3 || len(r.Quarantine) != 1 || r.Quarantine[0].Seq != missing || r.Quarantine[0].SQLState != "23505" {
		t.Errorf("in quarantine: got exit code %d, %+v", code, r)
	}
	peer.db.Exec(t, `DELETE FROM post WHERE id = 1001`)
	peer.start(t, "run")
	sameData(t, writer.db, peer.db)
	eventually(t, "what was mended is no longer said", func() error {
		if r, code := peer.status(t); code != 0 {
			return fmt.Errorf("got exit code %d, %+v", code, r)
		}
		return nil
	})
}

func TestStatusOfInit(t *testing.T) {
	t.Parallel()
	writer, _ := board(t, "dir://"+t.TempDir())
	writer.db.Exec(t, `UPDATE pgbridge.database SET stage = 'init'`)
	if r, code := writer.status(t); code != 3 || r.Stage != "init" {
		t.Errorf("of an init that was killed: got exit code %d, %+v", code, r)
	}
	conn := writer.db.Connect(t)
	if _, err := conn.Exec(t.Context(), `SELECT pgbridge.take_lock('init', false)`); err != nil {
		t.Fatal(err)
	}
	if r, code := writer.status(t); code != 0 || r.Stage != "init" {
		t.Errorf("of an init at work: got exit code %d, %+v", code, r)
	}
}

// removed is an item that was taken out of a folder.
type removed struct {
	path string
	raw  []byte
}

// remove takes record seq of the only chain, not the genesis, out of the folder.
func remove(t testing.TB, dir string, seq uint64) removed {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "*", "*", "1", "*", fmt.Sprintf("%012d-actions-*.item", seq)))
	if err != nil || len(found) != 1 {
		t.Fatalf("find record %d: %v, %v", seq, found, err)
	}
	raw, err := os.ReadFile(found[0])
	if err := errors.Join(err, os.Remove(found[0])); err != nil {
		t.Fatal(err)
	}
	return removed{found[0], raw}
}

func (r removed) restore(t testing.TB) {
	t.Helper()
	if err := os.WriteFile(r.path, r.raw, 0o644); err != nil {
		t.Fatal(err)
	}
}
