package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// binary is the program under test, built once.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "pgbridge-integration-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "pgbridge")
	build := exec.Command("go", "build", "-race", "-o", binary, "../cmd/pgbridge")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build pgbridge: %v\n%s", err, out)
		os.Exit(1)
	}
	code := pgtest.Suite{M: m}.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// site is one place where pgbridge runs: a database, a key, archives.
type site struct {
	db  *pgtest.DB
	env []string
}

// newSite makes a site on db that uses the given archives.
func newSite(t testing.TB, db *pgtest.DB, archives ...string) *site {
	t.Helper()
	return &site{db: db, env: []string{
		"PGBRIDGE_DATABASE_URL=" + db.URL(), "PGBRIDGE_ARCHIVE=" + strings.Join(archives, ","),
	}}
}

// withKey gives the site a writer key of its own.
func (s *site) withKey(t testing.TB) *site {
	t.Helper()
	key := filepath.Join(t.TempDir(), "writer.key")
	s.pgbridge(t, "keygen", "--out", key)
	s.env = append(s.env, "PGBRIDGE_KEY="+key)
	return s
}

// pgbridge runs the program to its end and returns what it printed.
func (s *site) pgbridge(t testing.TB, args ...string) string {
	t.Helper()
	stdout, stderr, code := s.try(t, args...)
	if code != 0 {
		t.Fatalf("pgbridge %s: exit code %d\n%s", strings.Join(args, " "), code, stderr)
	}
	return stdout
}

// try runs the program and returns how it ended.
func (s *site) try(t testing.TB, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), s.env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("pgbridge %s: %v", strings.Join(args, " "), err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// process is a running pgbridge.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}
	mu     sync.Mutex
	log    bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

func (p *process) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// start runs the program until the test ends or it is stopped.
func (s *site) start(t testing.TB, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(binary, args...), exited: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), s.env...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start pgbridge %s: %v", strings.Join(args, " "), err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is in ProcessState
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("pgbridge %s:\n%s", strings.Join(args, " "), p)
		}
		if strings.Contains(p.String(), "DATA RACE") {
			t.Errorf("data race in pgbridge %s:\n%s", strings.Join(args, " "), p)
		}
	})
	return p
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may be gone already
	<-p.exited
}

// stop asks the program to end, and returns its exit code.
func (p *process) stop(t testing.TB) int {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("stop pgbridge: %v", err)
	}
	return p.wait(t)
}

// wait waits for the program to end by itself.
func (p *process) wait(t testing.TB) int {
	t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(time.Minute):
		t.Fatalf("pgbridge did not end:\n%s", p)
		return 0
	}
}

// startNode serves dir as a node and returns its URL.
func startNode(t testing.TB, dir string) (url string, p *process) {
	t.Helper()
	return startNodeAt(t, dir, "127.0.0.1:0")
}

// serving is how a node says where it listens.
var serving = regexp.MustCompile(`msg=serving .*address=(\S+)`)

func startNodeAt(t testing.TB, dir, address string) (url string, p *process) {
	t.Helper()
	p = (&site{}).start(t, "archive", "serve", "--dir", dir, "--listen", address)
	eventually(t, "node serves", func() error {
		found := serving.FindStringSubmatch(p.String())
		if found == nil {
			return errors.New(p.String())
		}
		url = "http://" + found[1]
		return nil
	})
	return url, p
}

// eventually waits until check has nothing to complain of.
func eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := pgtest.Poll(ctx, check); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// sameData waits until b holds what a holds.
func sameData(t testing.TB, a, b *pgtest.DB) {
	t.Helper()
	want := pgtest.Dump(t, a)
	eventually(t, "databases equal", func() error {
		if got := pgtest.Dump(t, b); got != want {
			return errors.New("not yet")
		}
		return nil
	})
}

// noSessions waits until no session of pgbridge is left in db: one whose process
// has ended keeps its slot, origin and locks for a moment, and what it began may
// yet commit.
func noSessions(t testing.TB, db *pgtest.DB) {
	t.Helper()
	db.Wait(t, "0", `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'pgbridge'`)
}

// tryJoin runs init --join, which fails until the genesis is in the archive.
func (s *site) tryJoin(t testing.TB, id string) error {
	t.Helper()
	if _, stderr, code := s.try(t, "init", "--join", id); code != 0 {
		return errors.New(stderr)
	}
	return nil
}

// requireRestore restores id from an archive into db, and requires it to hold
// what source holds.
func requireRestore(t testing.TB, db *pgtest.DB, url, id string, source *pgtest.DB) {
	t.Helper()
	newSite(t, db, url).pgbridge(t, "restore", "--db-id", id)
	pgtest.RequireEqual(t, pgtest.Dump(t, db), pgtest.Dump(t, source))
}
