package slot_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/internal/pgtest"
	"github.com/pgbridge/pgbridge/slot"
)

func TestIdentify(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	before := lsn(t, db, "SELECT pg_current_wal_flush_lsn()") // it is what a server identifies itself with
	system, err := connect(t, replication(t, db)).Identify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := db.Query(t, `SELECT system_identifier, timeline_id FROM pg_control_system(), pg_control_checkpoint()`)[0]
	if got := []string{fmt.Sprint(system.ID), fmt.Sprint(system.Timeline)}; got[0] != want[0] || got[1] != want[1] {
		t.Errorf("system and timeline: got %s, want %s", got, want)
	}
	if system.LSN < before || system.LSN > now(t, db) {
		t.Errorf("position: got %s, want one after %s", system.LSN, before)
	}
}

func TestCreateAndDrop(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(t, `CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1)`)
	db.Exec(t, `CREATE PUBLICATION `+name(t)+` FOR TABLE t`)
	conn := connect(t, replication(t, db))
	created, err := conn.Create(t.Context(), name(t))
	if err != nil {
		t.Fatal(err)
	}
	db.Exec(t, `INSERT INTO t VALUES (2)`)

	const state = `SELECT plugin, temporary, active, confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = $1`
	if got, want := fmt.Sprint(db.Query(t, state, name(t))), fmt.Sprintf("[[pgoutput f f %s]]", created.LSN); got != want {
		t.Errorf("slot: got %s, want %s", got, want)
	}
	// What is in the snapshot and what is in the stream are together everything, once.
	copied := db.Connect(t)
	var ids string
	for _, sql := range []string{"BEGIN ISOLATION LEVEL REPEATABLE READ", "SET TRANSACTION SNAPSHOT '" + created.Snapshot + "'"} {
		if _, err := copied.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := copied.QueryRow(t.Context(), `SELECT string_agg(id::text, ' ') FROM t`).Scan(&ids); err != nil || ids != "1" {
		t.Errorf("rows in the snapshot: got %q, %v, want 1", ids, err)
	}
	r := reader{stream: start(t, replication(t, db), created.LSN)}
	if got := r.upTo(t, now(t, db)); got != "2" {
		t.Errorf("rows in the stream: got %q, want 2", got)
	}

	var pgErr *pgconn.PgError
	if _, err := conn.Create(t.Context(), name(t)); !errors.As(err, &pgErr) || pgErr.Code != "42710" {
		t.Errorf("create again: got %v, want that it exists", err)
	}
	dropped := make(chan error)
	go func() { dropped <- conn.Drop(context.Background(), name(t)) }()
	db.Wait(t, "1", `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'ReplicationSlotDrop'`)
	if err := r.stream.Close(); err != nil {
		t.Error(err)
	}
	if err := <-dropped; err != nil {
		t.Errorf("drop: got %v, want that it waits for the reader to go", err)
	}
	if got := db.Query(t, state, name(t)); len(got) > 0 {
		t.Errorf("after drop: got %s, want no slot", got)
	}
	if err := conn.Drop(t.Context(), name(t)); err != nil {
		t.Errorf("drop again: %v", err)
	}
}

// Names go into commands of the protocol unquoted.
func TestNamesAreChecked(t *testing.T) {
	t.Parallel()
	conn := connect(t, replication(t, pgtest.New(t)))
	for _, bad := range []string{"", "a b", "A", "a'b", "a-b", "1a", "a;", strings.Repeat("a", 64)} {
		_, created := conn.Create(t.Context(), bad)
		_, started := conn.Start(t.Context(), bad, "p", 0)
		_, published := conn.Start(t.Context(), "s", bad, 0)
		for call, err := range map[string]error{"create": created, "drop": conn.Drop(t.Context(), bad), "start": started, "publication": published} {
			if err == nil || !strings.Contains(err.Error(), "is no name for a slot or publication") {
				t.Errorf("%s %q: got %v, want that it is no name", call, bad, err)
			}
		}
	}
	if _, err := conn.Identify(t.Context()); err != nil {
		t.Errorf("the connection was touched: %v", err)
	}
}

func TestConnectFails(t *testing.T) {
	t.Parallel()
	config := replication(t, pgtest.New(t))
	config.Database = "is_not_there"
	_, err := slot.Connect(t.Context(), config)
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Code != "3D000" {
		t.Errorf("got %v, want that the database does not exist", err)
	}
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	prepare(t, db)
	t.Run("missing", func(t *testing.T) {
		_, err := connect(t, replication(t, db)).Start(t.Context(), "is_not_there", "p", 0)
		if !errors.Is(err, slot.ErrLost) || !strings.Contains(err.Error(), `"is_not_there" does not exist`) {
			t.Errorf("got %v, want ErrLost and which slot", err)
		}
	})
	slotName := name(t)
	t.Run("active elsewhere", func(t *testing.T) {
		first, err := connect(t, replication(t, db)).Start(t.Context(), slotName, slotName, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer first.Close()
		_, err = connect(t, replication(t, db)).Start(t.Context(), slotName, slotName, 0)
		var pgErr *pgconn.PgError
		if errors.Is(err, slot.ErrLost) || !errors.As(err, &pgErr) || pgErr.Code != "55006" || !strings.Contains(err.Error(), "another pgbridge") {
			t.Errorf("got %v, want that it is in use, and by whom perhaps", err)
		}
	})
	t.Run("publication missing", func(t *testing.T) {
		db.Wait(t, "f", `SELECT active FROM pg_replication_slots WHERE slot_name = $1`, slotName)
		stream, err := connect(t, replication(t, db)).Start(t.Context(), slotName, "is_not_there", 0)
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		db.Exec(t, `INSERT INTO t VALUES (1)`)
		if db.Cluster.Major() >= 18 {
			passedOver(t, stream, db) // the server only warns, in its log: sql.Check is what finds it
			return
		}
		for err == nil {
			_, err = stream.Next(noDeadline)
		}
		if errors.Is(err, slot.ErrLost) || !strings.Contains(err.Error(), `publication "is_not_there" does not exist`) {
			t.Errorf("got %v, want which publication", err)
		}
	})
}

// passedOver wants the stream to go past everything that is committed, without
// a row and without an error.
func passedOver(t *testing.T, stream *slot.Stream, db *pgtest.DB) {
	t.Helper()
	end, err := action.ParseLSN(db.Value(t, `SELECT pg_current_wal_lsn()`))
	if err != nil {
		t.Fatal(err)
	}
	for {
		m, err := stream.Next(noDeadline)
		switch {
		case err != nil:
			t.Fatalf("got %v, want the change to be passed over", err)
		case len(m.Data) > 0 && m.Data[0] == 'I':
			t.Fatal("got a row of a publication that does not exist")
		case m.Data == nil && m.End >= end:
			return
		}
	}
}

// The server removes WAL when a slot holds back more than it may.
func TestSlotInvalidated(t *testing.T) {
	t.Parallel()
	db := pgtest.Start(t, pgtest.Config{NoSync: true, Settings: map[string]string{"max_slot_wal_keep_size": "1MB"}}).Database(t)
	prepare(t, db)
	for range 4 {
		db.Exec(t, `SELECT pg_switch_wal(), pg_logical_emit_message(false, '', '')`)
	}
	db.Exec(t, `CHECKPOINT`)
	db.Wait(t, "lost", `SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1`, name(t))
	_, err := connect(t, replication(t, db)).Start(t.Context(), name(t), name(t), 0)
	var pgErr *pgconn.PgError
	if !errors.Is(err, slot.ErrLost) || !errors.As(err, &pgErr) || pgErr.Code != "55000" {
		t.Errorf("got %v, want ErrLost and what the server says", err)
	}
}

// A temporary slot has a snapshot that can be handed on, and is gone with its
// connection.
func TestCreateTemporary(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	db.Exec(t, `CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)`)
	conn := connect(t, replication(t, db))
	created, err := conn.CreateTemporary(t.Context(), name(t))
	if err != nil {
		t.Fatal(err)
	}
	const state = `SELECT temporary FROM pg_replication_slots WHERE slot_name = $1`
	if got := fmt.Sprint(db.Query(t, state, name(t))); got != "[[t]]" {
		t.Errorf("slot: got %s, want a temporary one", got)
	}
	db.Exec(t, `INSERT INTO t VALUES (2)`)
	exporter, importer := db.Connect(t), db.Connect(t)
	snapshot := created.Snapshot
	for i, session := range []*pgx.Conn{exporter, importer} {
		if _, err := session.Exec(t.Context(), "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
			t.Fatal(err)
		}
		if _, err := session.Exec(t.Context(), "SET TRANSACTION SNAPSHOT '"+snapshot+"'"); err != nil {
			t.Fatal(err)
		}
		if i > 0 {
			break
		}
		if err := session.QueryRow(t.Context(), "SELECT pg_export_snapshot()").Scan(&snapshot); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		db.Wait(t, "0", `SELECT count(*) FROM pg_replication_slots WHERE slot_name = '`+name(t)+`'`)
	}
	var rows int
	if err := importer.QueryRow(t.Context(), "SELECT count(*) FROM t").Scan(&rows); err != nil || rows != 1 {
		t.Errorf("rows in the snapshot that was handed on: got %d, %v, want 1", rows, err)
	}
}
