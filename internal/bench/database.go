package main

import (
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/internal/pgtest"
)

// serverSettings are those of every server: durable, with room enough that no
// checkpoint falls into a measurement by chance.
var serverSettings = map[string]string{
	"shared_buffers": "512MB", "max_wal_size": "4GB", "checkpoint_timeout": "30min",
	"wal_retrieve_retry_interval": "100ms", // a subscription's worker that starts late is not what is measured
}

// connect opens a connection that ends with t.
func connect(t testing.TB, db *pgtest.DB) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), db.URL())
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// execute runs a script that may take its time, without waiting for the disk at
// each commit.
func execute(t testing.TB, db *pgtest.DB, script string) {
	t.Helper()
	conn := connect(t, db)
	defer conn.Close(context.WithoutCancel(t.Context()))
	for _, sql := range []string{"SET synchronous_commit = off", script} {
		if err := conn.PgConn().Exec(t.Context(), sql).Close(); err != nil {
			t.Fatalf("execute %.100s: %v", sql, err)
		}
	}
}

// value is the only value of a query.
func value[T any](t testing.TB, conn *pgx.Conn, query string, args ...any) (v T) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&v); err != nil {
		t.Fatalf("query %.100s: %v", query, err)
	}
	return v
}

// client runs a client program on db and returns it, ended.
func client(t testing.TB, db *pgtest.DB, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), db.Cluster.Client(t, name), args...)
	cmd.Env, cmd.SysProcAttr = append(db.Env(), "PGOPTIONS=-c synchronous_commit=off"), apart()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return cmd
}

// digest tells what is in the tables, in any order of rows.
func digest(t testing.TB, db *pgtest.DB, tables []string) string {
	t.Helper()
	conn := connect(t, db)
	defer conn.Close(context.WithoutCancel(t.Context()))
	var all []string
	for _, name := range tables {
		all = append(all, name+": "+value[string](t, conn,
			`SELECT count(*) || ' rows, digest ' || coalesce(sum(hashtextextended(r::text, 0)), 0) FROM `+pgx.Identifier{name}.Sanitize()+` r`))
	}
	return strings.Join(all, "; ")
}

// patience is the longest that anything may take.
const patience = 30 * time.Minute

// until waits for a condition, and for no process to end before it is met.
func until(t testing.TB, every time.Duration, what string, running []*process, met func() bool) {
	t.Helper()
	tick := time.NewTicker(every)
	defer tick.Stop()
	limit := time.After(patience)
	for !met() {
		for _, p := range running {
			if p.ended() {
				t.Fatalf("waiting for %s: %s ended:\n%s", what, p.role, p.tail())
			}
		}
		select {
		case <-tick.C:
		case <-limit:
			for _, p := range running {
				t.Logf("%s:\n%s", p.role, p.tail())
			}
			t.Fatalf("waiting for %s took more than %s", what, patience)
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
	}
}
