package pgtest

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
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
	outer := t
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
		outer.Cleanup(func() { recv.Process.Kill(); recv.Wait() }) // it reads when the database is dropped
		db.Wait(t, "t", `SELECT active FROM pg_replication_slots WHERE slot_name = 'in_use'`)
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
