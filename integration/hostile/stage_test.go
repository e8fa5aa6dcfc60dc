//go:build hostile

package hostile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/archive/node"
	"github.com/pgbridge/pgbridge/internal/bridgetest"
	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// stage is a source at work and a follower at work. An attack that fails leaves it
// in ruins, and the next one gets a new one.
type stage struct {
	t                testing.TB // as long as which it stands
	cluster          *pgtest.Cluster
	number           int
	attackers        int
	source, follower *pgtest.DB
	admin, there     *bridgetest.Site // where an administrator runs commands
	writer, reader   *bridgetest.Process
	archive, id      string
	traces           string // the folder where programs leave traces
	read             int    // how much of the server's log was looked at before
}

// patience is how long something that works may take.
const patience = 20 * time.Second

// stages numbers the stages, and with them the roles, which belong to a server.
var stages atomic.Int32

// application is what is there before any attacker.
const application = `CREATE SCHEMA app;
	CREATE TABLE app.ledger (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, what text); INSERT INTO app.ledger (what) VALUES ('one'), ('two');
	CREATE TABLE app.victim (id int PRIMARY KEY, what text); INSERT INTO app.victim VALUES (1, 'valuable');
	GRANT USAGE ON SCHEMA app TO PUBLIC; GRANT SELECT ON app.ledger TO PUBLIC`

func newStage(t testing.TB, cluster *pgtest.Cluster) *stage {
	t.Helper()
	s := newSource(t, cluster)
	s.follower = cluster.Database(t)
	s.there = administer(s.follower, s.archive)
	bridgetest.Eventually(t, "join", func() error {
		if _, stderr, code := s.there.Try(t, initArgs("--join", s.id)...); code != 0 {
			return errors.New(stderr)
		}
		return nil
	})
	s.reader = run(t, s.there, s.follower)
	return s
}

// newSource is a stage without a follower.
func newSource(t testing.TB, cluster *pgtest.Cluster) *stage {
	t.Helper()
	return newSourceOn(t, cluster.Database(t))
}

// newSourceOn is newSource in a database that is there.
func newSourceOn(t testing.TB, db *pgtest.DB) *stage {
	t.Helper()
	traces, err := os.MkdirTemp("", "hostile-") // t.TempDir is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(traces) })
	if err := os.Chmod(traces, 0o777); err != nil {
		t.Fatal(err)
	}
	s := &stage{t: t, cluster: db.Cluster, number: int(stages.Add(1)), source: db, archive: serveArchive(t), traces: traces}
	s.source.Exec(t, application)
	s.admin = administer(s.source, s.archive).WithKey(t)
	s.id = strings.TrimSpace(s.admin.Run(t, initArgs("--name", "hostile")...))
	s.writer = run(t, s.admin, s.source)
	return s
}

// serveArchive starts a node and returns its URL. Followers of a node are told of new records.
func serveArchive(t testing.TB) string {
	t.Helper()
	n, err := node.Open(t.Context(), node.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- n.Serve(t.Context(), listener) }()
	t.Cleanup(func() {
		if err := errors.Join(<-done, n.Close()); err != nil {
			t.Errorf("the archive has ended: %v", err)
		}
	})
	return "http://" + listener.Addr().String()
}

// close ends the stage: a server can have one, for the slot has a fixed name.
func (s *stage) close(t testing.TB) {
	t.Helper()
	for _, p := range []*bridgetest.Process{s.writer, s.reader} {
		if p != nil {
			p.Kill()
		}
	}
	s.source.Exec(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	s.source.Wait(t, "0", `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type <> 'autovacuum worker'`)
	s.source.Exec(t, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()`)
}

// eventually waits until check has nothing to complain of. It gives up as soon as
// one of the processes has ended.
func (s *stage) eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := pgtest.Poll(ctx, func() error {
		if err := s.ended(); err != nil {
			cancel()
			return err
		}
		return check()
	}); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// ended returns an error if a process has ended.
func (s *stage) ended() error {
	for name, p := range map[string]*bridgetest.Process{"writer": s.writer, "follower": s.reader} {
		if p == nil {
			continue
		}
		select {
		case <-p.Exited:
			return fmt.Errorf("the %s has ended with exit code %d:\n%s", name, p.Cmd.ProcessState.ExitCode(), lastLines(p.String()))
		default:
		}
	}
	return nil
}

func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-3):], "\n")
}

// settle waits until everything that is committed at the source is published and
// applied.
func (s *stage) settle(t testing.TB) {
	t.Helper()
	at := s.source.Value(t, `SELECT pg_logical_emit_message(true, 'test', 'mark')`)
	s.eventually(t, "the writer runs", func() error { return bridgetest.Unpublished(t, s.source, at) })
	if s.follower == nil {
		return
	}
	head := s.source.Value(t, `SELECT epoch || ':' || seq FROM pgbridge.chain`)
	s.eventually(t, "the follower runs", func() error { return bridgetest.NotApplied(t, s.follower, head) })
}

// requireEqual fails the test if db is not what the source is.
func (s *stage) requireEqual(t testing.TB, db *pgtest.DB) {
	t.Helper()
	pgtest.RequireEqual(t, pgtest.DumpSchema(t, db, rights...), pgtest.DumpSchema(t, s.source, rights...))
	pgtest.RequireEqual(t, pgtest.Dump(t, db, "--encoding=UTF8"), pgtest.Dump(t, s.source, "--encoding=UTF8"))
}

// requireNever fails the test if an action since then, as the log tells it, matches
// pattern.
func (s *stage) requireNever(t testing.TB, pattern string, since time.Time) {
	t.Helper()
	never := regexp.MustCompile(pattern)
	for _, said := range s.logged(t, since) {
		if never.MatchString(said) {
			t.Errorf("the log says %s", said)
		}
	}
}

// logged returns what the log says since a time: the statement of a schema change,
// the name and the parameters of anything else.
func (s *stage) logged(t testing.TB, since time.Time) (all []string) {
	t.Helper()
	reader := &bridgetest.Site{Env: []string{"PGBRIDGE_ARCHIVE=" + s.archive}}
	for line := range strings.Lines(reader.Run(t, "log", "--json", "--db-id", s.id, "--since", since.UTC().Format(time.RFC3339Nano))) {
		var said struct {
			Action string
			Params map[string]any
		}
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		text, err := json.Marshal(said.Params)
		if err != nil {
			t.Fatal(err)
		}
		if statement, ok := said.Params["statement"].(string); ok {
			text = []byte(statement)
		}
		all = append(all, said.Action+" "+string(text))
	}
	return all
}
