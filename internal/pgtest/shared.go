package pgtest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

// shared is the server of the whole test package, started by its first user.
var shared struct {
	sync.Mutex
	cluster *Cluster
	err     error
}

// Main runs the tests of a package, stops the shared server and exits; it
// fails the run if goroutines are left over. It is all that a TestMain needs.
func Main(m *testing.M) { os.Exit(Suite{m}.Run()) }

// Suite is what Main runs, for a TestMain that hands its tests to another
// runner, as testscript.Main does.
type Suite struct{ M interface{ Run() int } }

// Run runs the tests and returns the exit code of the run.
func (s Suite) Run() int {
	before := goleak.IgnoreCurrent() // what an import starts
	code := s.M.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster != nil {
		if err := shared.cluster.remove(); err != nil {
			fmt.Fprintln(os.Stderr, "pgtest: remove the shared postgres:", err)
			code = max(code, 1)
		}
		shared.cluster = nil
	}
	if code == 0 {
		if err := leaks(before); err != nil {
			fmt.Fprintln(os.Stderr, "pgtest:", err)
			code = 1
		}
	}
	return code
}

// leaks waits until the goroutines that are about to end have ended.
func leaks(before goleak.Option) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return Poll(ctx, func() error { return goleak.Find(before) })
}

// Shared returns the server that the tests of a package share, with the zero
// Config. A test must not stop it.
func Shared(t testing.TB) *Cluster {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster == nil && shared.err == nil {
		shared.cluster, shared.err = start(Config{})
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.cluster
}

// New returns a fresh database on the shared server, dropped when the test ends.
func New(t testing.TB) *DB {
	t.Helper()
	return Shared(t).Database(t)
}
