package pgtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/internal/server"
)

// Client returns the path of a client program (psql, pg_dump, pg_restore,
// pgbench, pg_recvlogical …) on this machine that fits the server.
func (c *Cluster) Client(t testing.TB, name string) string {
	t.Helper()
	path, err := c.client(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func (c *Cluster) client(name string) (string, error) {
	if name == "pgbench" { // not among the clients of newer Debians, and any will do
		return server.FindClient(name, c.BinDir(), 0)
	}
	return server.FindClient(name, c.BinDir(), c.major)
}

// Run runs a client program on the database and returns what it printed. It
// finds the database by PGHOST and the like, so args need not name it.
// Where this machine has no client that is new enough, a container's own runs.
func (db *DB) Run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := db.run(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (db *DB) run(name string, args ...string) (string, error) {
	path, err := db.Cluster.client(name)
	if err != nil {
		if d, ok := db.Cluster.engine.(*docker); ok {
			return d.run(context.Background(), db.Name, append([]string{name}, args...))
		}
		return "", err
	}
	var stdout, stderr strings.Builder
	cmd := exec.Command(path, args...)
	cmd.Env = db.Env()
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("run %s: %w\n%s", name, err, stderr.String())
	}
	return stdout.String(), nil
}

// Env returns the environment of this process in which a libpq program finds
// the database by itself, speaks English, and has nothing else that libpq would
// listen to.
func (db *DB) Env() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "PG") && !strings.HasPrefix(v, "PGBRIDGE_") })
	return append(env, "PGHOST=127.0.0.1", "PGPORT="+strconv.Itoa(db.Cluster.port), "PGUSER=postgres",
		"PGDATABASE="+db.Name, "PGSSLMODE=disable", "PGCLIENTENCODING=UTF8", "LC_ALL=C")
}
