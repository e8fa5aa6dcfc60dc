package pgtest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestDatabasesAreApart(t *testing.T) {
	t.Parallel()
	a, b := New(t), New(t)
	a.Exec(t, `CREATE TABLE only_here (v text); INSERT INTO only_here VALUES ('a'), (NULL)`)
	if got := fmt.Sprint(a.Query(t, `SELECT v, $1::int FROM only_here ORDER BY v`, 7)); got != "[[a 7] [NULL 7]]" {
		t.Errorf("rows of a: got %s", got)
	}
	if err := b.ExecErr(`TABLE only_here`); err == nil || !strings.Contains(err.Error(), "42P01") {
		t.Errorf("table of a in b: got %v, want undefined_table", err)
	}
	if a.Value(t, `SELECT current_database()`) != a.Name || a.Name == b.Name {
		t.Errorf("names: got %q and %q", a.Name, b.Name)
	}
	if a.Name == strings.ToLower(a.Name) || !strings.Contains(a.Name, " ") {
		t.Errorf("name %q needs no quotes", a.Name)
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	db := New(t)
	tests := []struct{ name, want string }{
		{"wal_level", "logical"},
		{"fsync", "on"},
		{"max_prepared_transactions", "10"},
		{"max_replication_slots", "100"},
		{"server_encoding", "UTF8"},
		{"lc_monetary", "C"},
	}
	for _, test := range tests {
		if got := db.Value(t, `SELECT current_setting($1)`, test.name); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

// A database must go away however much still hangs on it.
func TestDropsWhatHangsOnADatabase(t *testing.T) {
	t.Parallel()
	c := Shared(t)
	var name string
	t.Run("inner", func(t *testing.T) {
		db := c.Database(t)
		name = db.Name
		db.Connect(t) // still open when the database is dropped
		db.Exec(t, `CREATE TABLE t (id int)`)
		db.Exec(t, `SELECT pg_create_logical_replication_slot('hangs_on', 'pgoutput')`)
		db.Exec(t, `BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION 'hangs_on'`)
		db.Exec(t, `CREATE SUBSCRIPTION hangs_on CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p WITH (connect = false)`)
	})
	postgres := &DB{Name: "postgres", Cluster: c}
	for _, query := range []string{
		`SELECT count(*) FROM pg_database WHERE datname = $1`,
		`SELECT count(*) FROM pg_replication_slots WHERE database = $1`,
		`SELECT count(*) FROM pg_prepared_xacts WHERE database = $1`,
		`SELECT count(*) FROM pg_stat_activity WHERE datname = $1`,
	} {
		if got := postgres.Value(t, query, name); got != "0" {
			t.Errorf("%s: got %s, want 0", query, got)
		}
	}
}

func TestDropsASlotInUse(t *testing.T) {
	t.Parallel()
	c := Shared(t)
	t.Run("inner", func(t *testing.T) {
		db := c.Database(t)
		db.Exec(t, `CREATE PUBLICATION p`)
		db.Exec(t, `SELECT pg_create_logical_replication_slot('in_use', 'pgoutput')`)
		recv := exec.Command(c.Client(t, "pg_recvlogical"), "--start", "--no-loop", "--slot=in_use", "--file=-",
			"--dbname="+db.Name, "--option=proto_version=1", "--option=publication_names=p")
		recv.Env = db.Env()
		if err := recv.Start(); err != nil {
			t.Fatal(err)
		}
		db.Wait(t, "t", `SELECT active FROM pg_replication_slots WHERE slot_name = 'in_use'`)
		t.Cleanup(func() { recv.Process.Kill(); recv.Wait() })
	})
}

func TestStopAndStart(t *testing.T) {
	t.Parallel()
	c := Start(t, Config{NoSync: true, Settings: map[string]string{"work_mem": "5MB", "autovacuum": "off"}})
	db := c.Database(t)
	url := db.URL()
	if got := db.Value(t, `SELECT current_setting('fsync') || current_setting('work_mem')`); got != "off5MB" {
		t.Errorf("settings: got %s, want off5MB", got)
	}
	db.Exec(t, `CREATE TABLE t (id int)`)
	steps := []struct {
		name string
		down func(testing.TB)
	}{
		{"stop", c.Stop}, {"stop immediate", c.StopImmediate}, {"kill", c.Kill},
	}
	for i, step := range steps {
		db.Exec(t, `INSERT INTO t VALUES ($1)`, i)
		hold := db.Connect(t) // must not hold anything up
		step.down(t)
		if err := db.ExecErr(`SELECT 1`); err == nil {
			t.Fatalf("%s: the server still answers", step.name)
		}
		if err := hold.Ping(t.Context()); err == nil {
			t.Errorf("%s: a session outlived it", step.name)
		}
		c.Start(t)
		if got := db.Value(t, `SELECT count(*) FROM t`); got != fmt.Sprint(i+1) {
			t.Errorf("%s: got %s rows, want %d", step.name, got, i+1)
		}
	}
	c.Restart(t)
	if db.URL() != url {
		t.Errorf("URL changed: got %s, want %s", db.URL(), url)
	}
	if !strings.Contains(c.Log(), "automatic recovery in progress") {
		t.Errorf("log has no recovery:\n%s", c.Log())
	}
}

func TestBadSettingIsReported(t *testing.T) {
	t.Parallel()
	_, err := start(Config{Settings: map[string]string{"work_mem": "much"}})
	if err == nil || !strings.Contains(err.Error(), `invalid value for parameter "work_mem"`) {
		t.Errorf("got %v, want the server's complaint", err)
	}
}

func TestCopy(t *testing.T) {
	t.Parallel()
	if Shared(t).BinDir() == "" {
		t.Log("servers are containers here: nothing to copy")
		return
	}
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
func orphan(string) {
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
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "PGTEST_ORPHAN=1", envPostgres+"=binaries")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var dir string
	var port int
	line, err := bufio.NewReader(out).ReadString('\n')
	if _, scan := fmt.Sscan(line, &dir, &port); err != nil || scan != nil {
		t.Fatalf("start a server in a child: got %q, %v", line, err)
	}
	child.Process.Signal(syscall.SIGKILL)
	child.Wait()
	left := func() bool {
		_, err := os.Stat(dir)
		procs, _ := exec.Command("pgrep", "-f", dir).Output()
		return err == nil || len(procs) > 0
	}
	for deadline := time.Now().Add(patience); left(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s or its server is still there", dir)
		}
	}
}
