package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// madeCheckpoint is what checkpoint create --json prints.
type madeCheckpoint struct {
	Number, Tables, Chunks, Fresh int
	Rows, Bytes, Sent             int64
	Digest, LSN                   string
}

func (s *site) checkpoint(t testing.TB, args ...string) (made madeCheckpoint) {
	t.Helper()
	out := s.pgbridge(t, append([]string{"checkpoint", "create", "--json", "--log-level", "error"}, args...)...)
	if err := json.Unmarshal([]byte(out), &made); err != nil {
		t.Fatalf("checkpoint create --json: %v: %s", err, out)
	}
	return made
}

// listedCheckpoint is a line of checkpoint list --json.
type listedCheckpoint struct {
	Number       int
	Digest       string
	Rows, Chunks int64
	Confirmed    bool
	Error        string
}

func (s *site) checkpoints(t testing.TB, args ...string) (list []listedCheckpoint) {
	t.Helper()
	out := s.pgbridge(t, append([]string{"checkpoint", "list", "--json", "--log-level", "error"}, args...)...)
	for line := range strings.Lines(out) {
		var l listedCheckpoint
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("checkpoint list --json: %v: %s", err, out)
		}
		list = append(list, l)
	}
	return list
}

// accounts is pgbench in small: what a transfer leaves alone is the sum of all.
const accounts = `CREATE SCHEMA app;
	CREATE TABLE app.account (id int PRIMARY KEY, balance int NOT NULL, filler text);
	INSERT INTO app.account SELECT i, 100, repeat('x', 200) || i FROM generate_series(1, 20000) i;
	CREATE TABLE app.transfer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, source int, target int, amount int);`

// transfer moves 1 from an account to another one.
const transfer = `WITH p AS (SELECT a, 1 + (a + (random() * 19998)::int) % 20000 AS b FROM (SELECT 1 + (random() * 19999)::int AS a) x),
		t AS (INSERT INTO app.transfer (source, target, amount) SELECT a, b, 1 FROM p RETURNING source, target),
		u AS (UPDATE app.account SET balance = balance - 1 FROM t WHERE id = t.source RETURNING id)
	UPDATE app.account SET balance = balance + 1 FROM t WHERE id = t.target`

// bank works on db until the test ends or it is told to stop.
func bank(t testing.TB, db *pgtest.DB) (stop func()) {
	t.Helper()
	done, stopped := make(chan struct{}), make(chan struct{})
	conn := db.Connect(t)
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				return
			default:
			}
			if _, err := conn.Exec(t.Context(), transfer); err != nil {
				t.Errorf("transfer: %v", err)
				return
			}
		}
	}()
	stop = func() {
		select {
		case <-done:
		default:
			close(done)
		}
		<-stopped
	}
	t.Cleanup(stop)
	return stop
}

// Checkpoints are made while the database is written and published. The chain
// names them, the list says so, also to one who has nothing but the archive; and
// what did not change is not sent again.
func TestCheckpointBesideRun(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(t, accounts)
	dir := t.TempDir()
	s := newSite(t, db, "dir://"+dir).withKey(t)
	id := strings.TrimSpace(s.pgbridge(t, "init", "--name", "bank"))
	run := s.start(t, "run")
	stop := bank(t, db)
	db.Wait(t, "t", `SELECT count(*) > 50 FROM app.transfer`)
	first := s.checkpoint(t)
	second := s.checkpoint(t, "--jobs", "1")
	stop()
	third := s.checkpoint(t)
	fourth := s.checkpoint(t, "--rate", "1G")
	if first.Number != 1 || fourth.Number != 4 || first.Tables != 2 || first.Fresh != first.Chunks || first.Rows < 20050 {
		t.Errorf("got %+v, then %+v, %+v, %+v", first, second, third, fourth)
	}
	if fourth.Fresh != 0 || fourth.Sent != 0 {
		t.Errorf("nothing had changed: got %+v", fourth)
	}
	alone := &site{env: []string{"PGBRIDGE_ARCHIVE=dir://" + dir}}
	for _, list := range []func() []listedCheckpoint{
		func() []listedCheckpoint { return s.checkpoints(t) },
		func() []listedCheckpoint { return alone.checkpoints(t, "--db-id", id) },
	} {
		eventually(t, "the chain names all four", func() error {
			got := list()
			if len(got) != 4 {
				return fmt.Errorf("got %+v", got)
			}
			for i, made := range []madeCheckpoint{first, second, third, fourth} {
				if l := got[i]; !l.Confirmed || l.Digest != made.Digest || l.Rows != made.Rows || l.Error != "" {
					return fmt.Errorf("checkpoint %d: got %+v, want %+v", i+1, l, made)
				}
			}
			return nil
		})
	}
	if log := s.pgbridge(t, "log", "--db-id", id, "--action", "pgbridge.checkpoint"); strings.Count(log, "\n") != 4 || !strings.Contains(log, `number=1 digest="`+first.Digest[:40]) {
		t.Errorf("log: got\n%s\nwant the four marks", log)
	}
	text := s.pgbridge(t, "status", "--log-level", "error")
	if !strings.Contains(text, "checkpoint     4 after record") && !strings.Contains(text, "checkpoint   4 after record") {
		t.Errorf("status: got\n%s\nwant the last checkpoint", text)
	}
	if code := run.stop(t); code != 0 {
		t.Errorf("run ended with %d:\n%s", code, run)
	}
	restored := pgtest.New(t)
	requireRestore(t, restored, "dir://"+dir, id, db)
	// The sequence is where the rows are, whoever told of it last.
	restored.Exec(t, `INSERT INTO app.transfer (source, target, amount) VALUES (1, 2, 3)`)
}

// A maker that is killed at any moment leaves nothing that keeps the next one
// from its work, and what reached the archive is not sent again.
func TestCheckpointKilled(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(t, `DO $$ BEGIN
		FOR i IN 1..150 LOOP
			EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, v text); INSERT INTO t%1$s VALUES (1, %L)', i, i);
		END LOOP;
	END $$;
	CREATE TABLE wide (id int PRIMARY KEY, v text); INSERT INTO wide SELECT i, repeat(md5(i::text), 30) FROM generate_series(1, 20000) i`)
	dir := t.TempDir()
	s := newSite(t, db, "dir://"+dir).withKey(t)
	id := strings.TrimSpace(s.pgbridge(t, "init", "--name", "killed"))
	run := s.start(t, "run")
	files := func() int {
		found, err := filepath.Glob(filepath.Join(dir, id, "*", "1", "*", "*-chunk-*.item"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	most := 0
	for kills := range 6 {
		before := files()
		p := s.start(t, "checkpoint", "create")
		eventually(t, "a chunk more, or the end", func() error {
			select {
			case <-p.exited:
				return nil
			default:
			}
			if files() > before+kills*3 {
				return nil
			}
			return errors.New("not yet")
		})
		p.kill()
		most = max(most, files())
	}
	made := s.checkpoint(t)
	// What was in flight when it was killed is sent again: three pieces at most.
	if got := files(); got > made.Chunks+6*3 || made.Fresh > made.Chunks-most+6*3 || most < 30 {
		t.Errorf("got %d chunks in the archive for %d, %d of them sent at last after %d were there", got, made.Chunks, made.Fresh, most)
	}
	if again := s.checkpoint(t); again.Fresh != 0 {
		t.Errorf("afterwards: %d chunks were sent, want none", again.Fresh)
	}
	db.Wait(t, "1", `SELECT count(*) FROM pg_replication_slots WHERE database = current_database()`)
	eventually(t, "the last is named", func() error {
		list := s.checkpoints(t)
		if len(list) == 0 || !list[len(list)-1].Confirmed {
			return fmt.Errorf("got %+v", list)
		}
		return nil
	})
	run.stop(t)
}

// run makes checkpoints by itself; one that fails is a warning, is in the status,
// and ends nothing.
func TestCheckpointSchedule(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(t, `CREATE TABLE t (id int PRIMARY KEY)`)
	dir := t.TempDir()
	s := newSite(t, db, "dir://"+dir).withKey(t)
	s.pgbridge(t, "init", "--name", "scheduled")
	run := s.start(t, "run", "--checkpoint-every", "1s")
	db.Wait(t, "1", `SELECT count(*) FROM pgbridge.checkpoint WHERE item IS NULL`)
	quiet := db.Value(t, `SELECT max(number) FROM pgbridge.checkpoint`)
	if code := run.stop(t); code != 0 {
		t.Errorf("run ended with %d:\n%s", code, run)
	}
	db.Exec(t, `INSERT INTO t VALUES (1)`)
	noSessions(t, db)
	run = s.start(t, "run", "--checkpoint-every", "1s")
	db.Wait(t, "t", `SELECT max(number) > $1::int FROM pgbridge.checkpoint`, quiet)
	run.stop(t)
	noSessions(t, db)

	// Another one that is being made.
	lock := db.Connect(t)
	if _, err := lock.Exec(t.Context(), `SELECT pgbridge.take_lock('checkpoint', false)`); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := s.try(t, "checkpoint", "create"); code != 1 || !strings.Contains(stderr, "is being made") {
		t.Errorf("beside another one: exit code %d: %s", code, stderr)
	}
	lock.Close(t.Context())

	// An archive that takes nothing.
	broken := newSite(t, db, "dir://"+filepath.Join(dir, "gone"), "dir://"+dir)
	broken.env = append(broken.env, s.env[len(s.env)-1])
	db.Exec(t, `INSERT INTO t VALUES (2)`)
	run = broken.start(t, "run", "--checkpoint-every", "1s")
	eventually(t, "the checkpoint fails", func() error {
		if db.Value(t, `SELECT count(*) FROM pgbridge.checkpoint_failure`) == "0" {
			return errors.New(run.String())
		}
		return nil
	})
	select {
	case <-run.exited:
		t.Errorf("run ended:\n%s", run)
	default:
	}
	text, _, _ := broken.try(t, "status", "--log-level", "error")
	if !strings.Contains(text, "the scheduled checkpoint failed") {
		t.Errorf("status: got\n%s", text)
	}
	run.stop(t)
	if err := os.Mkdir(filepath.Join(dir, "gone"), 0o700); err != nil {
		t.Fatal(err)
	}
	noSessions(t, db)
	run = broken.start(t, "run", "--checkpoint-every", "1s")
	db.Wait(t, "0", `SELECT count(*) FROM pgbridge.checkpoint_failure`)
	run.stop(t)
}
