package sql

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

var (
	socketDir string // of the cluster that the package's tests share
	databases atomic.Int64
)

func TestMain(m *testing.M) {
	os.Exit(withCluster(m))
}

// withCluster runs the tests with a cluster of their own. PGTEST_BIN names the
// folder of the server programs to test with; else the newest one installed.
func withCluster(m *testing.M) (code int) {
	bin := os.Getenv("PGTEST_BIN")
	if bin == "" {
		found, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
		if len(found) == 0 {
			fmt.Fprintln(os.Stderr, "no Postgres server is installed: apt-get install postgresql, or set PGTEST_BIN")
			return 1
		}
		bin = slices.Max(found)
	}
	dir, err := os.MkdirTemp("", "pgsql")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chown(dir, postgresID(), postgresID()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	data := filepath.Join(dir, "data")
	steps := [][]string{
		{"initdb", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-U", "postgres", "-N", "-D", data},
		{"pg_ctl", "-D", data, "-w", "-l", filepath.Join(dir, "log"), "-o", "-c listen_addresses= -c unix_socket_directories=" + dir +
			" -c fsync=off -c wal_level=logical -c max_prepared_transactions=4 -c autovacuum=off", "start"},
	}
	for _, step := range steps {
		if out, err := program(bin, step...).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n%s", step[0], err, out)
			return 1
		}
	}
	defer program(bin, "pg_ctl", "-D", data, "-m", "immediate", "stop").Run()
	socketDir = dir
	return m.Run()
}

// program is a server program, run as the user postgres where the tests run as
// root: the server refuses to.
func program(bin string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(bin, args[0]), args[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	if os.Getuid() == 0 {
		id := uint32(postgresID())
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: id, Gid: id}}
	}
	return cmd
}

func postgresID() int {
	if os.Getuid() != 0 {
		return os.Getuid()
	}
	info, err := os.Stat("/var/lib/postgresql")
	if err != nil {
		panic(err)
	}
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

func urlFor(user, database string) string {
	return fmt.Sprintf("postgres:///%s?host=%s&user=%s", url.PathEscape(database), socketDir, url.PathEscape(user))
}

// newDatabase makes an empty database and returns its name and a superuser's
// session in it.
func newDatabase(t *testing.T) (name string, conn *pgx.Conn) {
	t.Helper()
	admin := connect(t, urlFor("postgres", "postgres"))
	name = fmt.Sprintf("Test %d", databases.Add(1))
	mustExec(t, admin, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()+" TEMPLATE template0")
	return name, connect(t, urlFor("postgres", name))
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// newRole makes a role with attributes like LOGIN REPLICATION and
// returns its name.
func newRole(t *testing.T, conn *pgx.Conn, attributes string) string {
	t.Helper()
	name := fmt.Sprintf("Role %d", databases.Add(1))
	mustExec(t, conn, "CREATE ROLE "+pgx.Identifier{name}.Sanitize()+" "+attributes)
	return name
}

func mustExec(t *testing.T, conn Querier, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", strings.TrimSpace(sql), err)
	}
}

func queryText(t *testing.T, conn Querier, sql string, args ...any) (text string) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&text); err != nil {
		t.Fatalf("%s: %v", strings.TrimSpace(sql), err)
	}
	return text
}
