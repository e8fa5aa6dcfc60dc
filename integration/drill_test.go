package integration

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// drilled is what a drill says, as far as the tests look at it.
type drilled struct {
	DB, Name, Error     string
	OK, Person          bool
	Checkpoint, Checked uint64
	Tables, Records     int
	Rows, Bytes         int64
}

func readDrilled(t testing.TB, text string) (d drilled) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	return d
}

// A drill proves the newest checkpoint or, with --replay, what leads to it, keeps
// the result where status finds it, and leaves no server.
func TestDrill(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Start(t, pgtest.Config{NoSync: true})
	source := cluster.Database(t)
	source.Exec(t, `CREATE ROLE "drill guest"; CREATE ROLE "late guest"; CREATE TABLE post (id int PRIMARY KEY, title text); CREATE TABLE log (what text); ALTER TABLE log REPLICA IDENTITY FULL;
		ALTER TABLE post ENABLE ROW LEVEL SECURITY; CREATE POLICY guests ON post TO "drill guest" USING (id < 10);
		INSERT INTO post SELECT n, 'post ' || n FROM generate_series(1, 1000) n`)
	dir := t.TempDir()
	node, _ := startNode(t, dir)
	writer := newSite(t, source, node).withKey(t)
	id := strings.TrimSpace(writer.pgbridge(t, "init", "--name", "drill"))
	writer.start(t, "run")
	published(t, source)

	beforeAny := readDrilled(t, writer.pgbridge(t, "drill", "--json"))
	if want := (drilled{DB: id, Name: "drill", OK: true, Tables: 2, Rows: 1000, Records: beforeAny.Records, Bytes: beforeAny.Bytes}); beforeAny != want {
		t.Errorf("without a checkpoint: got %+v, want %+v", beforeAny, want)
	}
	for range 2 {
		source.Exec(t, `INSERT INTO log SELECT 'line' FROM generate_series(1, 10); UPDATE post SET title = title || '!' WHERE id % 2 = 0`)
		writer.pgbridge(t, "checkpoint", "create")
		source.Exec(t, `DELETE FROM post WHERE id = (SELECT max(id) FROM post)`)
		published(t, source)
		source.Exec(t, `ALTER POLICY guests ON post TO "late guest"`)
	}
	if got := readDrilled(t, writer.pgbridge(t, "drill", "--json")); !got.OK || got.Checkpoint != 2 || got.Checked != 0 || got.Rows != 1018 || got.Tables != 2 {
		t.Errorf("got %+v, want 1,018 rows from checkpoint 2", got)
	}
	out := filepath.Join(t.TempDir(), "drill.json")
	elsewhere := &site{env: []string{"PGBRIDGE_ARCHIVE=" + node}}
	text := elsewhere.pgbridge(t, "drill", "--db-id", id, "--replay", "--out", out)
	file, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if got := readDrilled(t, string(file)); !got.OK || got.Checkpoint != 1 || got.Checked != 2 || got.Rows != 1018 {
		t.Errorf("--replay: got %+v, want 1,018 rows from checkpoint 1, equal to 2 on the way", got)
	}
	if !strings.Contains(text, "equal to checkpoint 2") || !strings.Contains(text, "1018 rows") {
		t.Errorf("--replay: got %s", text)
	}
	if status := writer.pgbridge(t, "status"); !strings.Contains(status, "drill") || !strings.Contains(status, "ago: restored in ") {
		t.Errorf("status does not tell of the drill:\n%s", status)
	}
}

// What a disaster would fail of, a drill fails of, and it is remembered.
func TestDrillFails(t *testing.T) {
	t.Parallel()
	source := pgtest.Start(t, pgtest.Config{NoSync: true}).Database(t)
	source.Exec(t, `CREATE TABLE post (id int PRIMARY KEY, title text); INSERT INTO post SELECT n, 'post ' || n FROM generate_series(1, 100) n`)
	dir := t.TempDir()
	writer := newSite(t, source, "dir://"+dir).withKey(t)
	writer.pgbridge(t, "init", "--name", "drill")
	writer.start(t, "run")
	for n := range 3 {
		source.Exec(t, `INSERT INTO post VALUES ($1 + 1000, 'later')`, n)
		published(t, source)
	}
	remove(t, dir, 3)
	_, stderr, code := writer.try(t, "drill")
	if code != 3 || !strings.Contains(stderr, "the drill failed") {
		t.Errorf("a record is missing: got exit code %d, %s, want 3", code, stderr)
	}
	if got := source.Value(t, `SELECT format('%s %s', ok, person) FROM pgbridge.drill`); got != "f t" {
		t.Errorf("kept: got %s, want f t", got)
	}
	if status, _, code := writer.try(t, "status"); code != 3 || !strings.Contains(status, "the last drill failed") {
		t.Errorf("status: got exit code %d, %s, want 3 and the drill that failed", code, status)
	}
	for _, c := range []struct {
		name string
		args []string
		env  []string
	}{
		{"no database", []string{"drill"}, []string{"PGBRIDGE_DATABASE_URL="}},
		{"another id", []string{"drill", "--db-id", strings.Repeat("0", 64)}, nil},
		{"no place for the result", []string{"drill", "--out", "/nowhere/drill.json"}, nil},
		{"no server", []string{"drill"}, []string{"PGBRIDGE_SERVER=binaries", "PGBRIDGE_SERVER_BINDIR=/nowhere"}},
		{"no engine", []string{"drill"}, []string{"PGBRIDGE_SERVER=docker", "DOCKER_HOST=unix:///nowhere/docker.sock"}},
	} {
		s := &site{env: slices.Concat(writer.env, c.env)}
		if _, stderr, code := s.try(t, c.args...); code != 2 {
			t.Errorf("%s: got exit code %d, %s, want 2", c.name, code, stderr)
		}
	}
}

// A drill that was killed, or told to end, has proven nothing, and leaves no
// server either.
func TestDrillEnds(t *testing.T) {
	t.Parallel()
	source := pgtest.New(t)
	source.Exec(t, `CREATE TABLE post (id int PRIMARY KEY, title text)`)
	writer := newSite(t, source, "dir://"+t.TempDir()).withKey(t)
	writer.pgbridge(t, "init", "--name", "drill")
	writer.start(t, "run")
	source.Exec(t, `INSERT INTO post VALUES (1, 'first')`)
	published(t, source)
	stand := regexp.MustCompile(`place="(folder|container) (\S+)"`)
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGINT} {
		p := writer.start(t, "drill")
		var place []string
		eventually(t, "a server", func() error {
			if place = stand.FindStringSubmatch(p.String()); place == nil {
				return errors.New("none yet")
			}
			return nil
		})
		if err := p.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if code := p.wait(t); code != 1 && sig != syscall.SIGKILL {
			t.Errorf("%v: got exit code %d, want 1\n%s", sig, code, p)
		}
		eventually(t, "the end of its server", func() error {
			there := func() error { _, err := os.Stat(place[2]); return err }
			if place[1] == "container" {
				there = exec.Command("docker", "container", "inspect", place[2]).Run
			}
			if there() == nil {
				return errors.New(place[0] + " is still there")
			}
			return nil
		})
	}
	if n := source.Value(t, `SELECT count(*) FROM pgbridge.drill`); n != "0" {
		t.Errorf("kept: got %s results, want 0", n)
	}
}
