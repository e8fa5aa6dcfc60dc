package pgtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/internal/server"
)

// haveBinaries is for tests of what containers cannot do. They are no part of
// a machine that has nothing but Docker.
func haveBinaries(t *testing.T) bool {
	t.Helper()
	_, err := server.FindBinaries(0)
	if err != nil && Shared(t).BinDir() == "" {
		t.Log("this machine runs Postgres in containers only")
		return false
	}
	return true
}

func TestCopy(t *testing.T) {
	if !haveBinaries(t) {
		return
	}
	t.Setenv(server.EnvPostgres, "binaries")
	c := Start(t, Config{NoSync: true})
	db := c.Database(t)
	db.Exec(t, `CREATE TABLE t AS SELECT 1 AS id`)
	c.Stop(t)
	clone := c.Copy(t)
	if err := os.WriteFile(clone.DataDir()+"/standby.signal", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c.Start(t)
	clone.Start(t)
	there := &DB{Name: db.Name, Cluster: clone}
	there.Exec(t, `SELECT pg_promote()`)
	there.Exec(t, `INSERT INTO t VALUES (2); CHECKPOINT`)
	system, timeline := `SELECT system_identifier FROM pg_control_system()`, `SELECT timeline_id FROM pg_control_checkpoint()`
	if got, want := there.Value(t, system), db.Value(t, system); got != want {
		t.Errorf("system identifier of the copy: got %s, want %s", got, want)
	}
	if got := db.Value(t, timeline) + there.Value(t, timeline); got != "12" {
		t.Errorf("timelines: got %s, want 12", got)
	}
	RequireEqual(t, diff(Dump(t, there), Dump(t, db)), "COPY public.t (id) FROM stdin;\n+ 2")
}

// orphan is the test binary as a child: it starts a server, tells where, and
// is killed.
func orphan() {
	c, err := start(Config{NoSync: true})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(c.DataDir(), c.Port())
	select {}
}

// Nothing is left of a server whose test process was killed.
func TestNothingOutlivesTheTest(t *testing.T) {
	t.Parallel()
	if !haveBinaries(t) {
		return
	}
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "PGTEST_ORPHAN=1", server.EnvPostgres+"=binaries")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	alive, held, err := os.Pipe() // whatever the child starts holds it too, as long as it lives
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	child.ExtraFiles = []*os.File{held}
	err = child.Start()
	held.Close()
	if err != nil {
		t.Fatal(err)
	}
	var dir string
	var port int
	line, err := bufio.NewReader(out).ReadString('\n')
	if _, scan := fmt.Sscan(line, &dir, &port); err != nil || scan != nil || runtime.GOOS == "linux" && len(processesIn(dir)) == 0 {
		t.Fatalf("start a server in a child: got %q, %v", line, err)
	}
	child.Process.Signal(syscall.SIGKILL)
	child.Wait()
	if err := alive.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, alive); err != nil {
		t.Fatalf("a minute later something that the child started is still there: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) || len(processesIn(dir)) > 0 {
		t.Errorf("%s or its server is still there: %v", dir, err)
	}
}

// processesIn returns the processes that work in a folder, where /proc tells.
func processesIn(dir string) []string {
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	return slices.DeleteFunc(links, func(link string) bool {
		cwd, _ := os.Readlink(link)
		return !strings.HasPrefix(cwd, dir)
	})
}
