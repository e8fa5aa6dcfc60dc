package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// serverFacts are what the checks of the server look at.
type serverFacts struct {
	walLevel        string
	slots, maxSlots int
	ownSlot         bool // one of slots is ours
	senders         int  // in use, without ours
	maxSenders      int
	maxOrigins      int
	keep, idle      string // max_slot_wal_keep_size, idle_replication_slot_timeout; "" if unknown to the server
	syncStandbys    string
	fsync           bool
	prepared        []string // transactions prepared and not committed
	oldest          string   // age of the oldest transaction that writes, if over five minutes
}

func checkServer(ctx context.Context, tx pgx.Tx, t target) ([]Finding, error) {
	f, err := loadServerFacts(ctx, tx, t)
	if err != nil {
		return nil, fmt.Errorf("look at the server: %w", err)
	}
	return assessServer(t, f), nil
}

func loadServerFacts(ctx context.Context, tx pgx.Tx, t target) (f serverFacts, err error) {
	const query = `SELECT current_setting('wal_level'), current_setting('max_replication_slots')::int, current_setting('max_wal_senders')::int,
			coalesce(current_setting('max_active_replication_origins', true), current_setting('max_replication_slots'))::int,
			current_setting('max_slot_wal_keep_size'), coalesce(current_setting('idle_replication_slot_timeout', true), ''),
			current_setting('synchronous_standby_names'), current_setting('fsync')::bool,
			(SELECT count(*) FROM pg_catalog.pg_replication_slots), EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE slot_name = $1),
			(SELECT count(*) FROM pg_catalog.pg_stat_replication r
				WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_replication_slots s WHERE s.slot_name = $1 AND s.active_pid = r.pid)),
			ARRAY(SELECT gid FROM pg_catalog.pg_prepared_xacts ORDER BY gid),
			coalesce((SELECT date_trunc('second', max(now() - xact_start))::text FROM pg_catalog.pg_stat_activity
				WHERE backend_xid IS NOT NULL AND xact_start < now() - interval '5 minutes'), '')`
	err = tx.QueryRow(ctx, query, t.Slot).Scan(&f.walLevel, &f.maxSlots, &f.maxSenders, &f.maxOrigins, &f.keep, &f.idle, &f.syncStandbys,
		&f.fsync, &f.slots, &f.ownSlot, &f.senders, &f.prepared, &f.oldest)
	return f, err
}

func assessServer(t target, f serverFacts) (found []Finding) {
	add := func(id string, s Severity, subject, problem, fix string) {
		found = append(found, Finding{id, s, subject, problem, fix})
	}
	version := "Postgres " + t.server.Text
	switch major := t.server.Major(); {
	case major < OldestMajor:
		add("server-version", Fatal, version, "this version is not supported", fmt.Sprintf("use %d to %d", OldestMajor, NewestMajor))
	case major > NewestMajor:
		add("server-version", Warning, version, "pgbridge was not tested with this version", "look for a newer pgbridge")
	}
	if t.server.Standby {
		add("standby", Fatal, "the server", "it is a standby", "connect to the primary")
	}
	if t.server.Encoding == "SQL_ASCII" {
		add("encoding", Fatal, "database "+t.name, "its encoding is SQL_ASCII: nobody knows what its text means", "dump it, and load it into a database with ENCODING 'UTF8'")
	}
	if t.Role == RoleFollower && t.server.Encoding != "UTF8" && t.server.Encoding != "SQL_ASCII" {
		add("encoding", Warning, "database "+t.name, "its encoding is "+t.server.Encoding+": it cannot hold all that others may publish", "follow into a database with ENCODING 'UTF8'")
	}
	if !f.fsync {
		add("fsync", Warning, "fsync", "it is off: after a crash the database may be behind what was published", "ALTER SYSTEM SET fsync = on")
	}
	if t.Role == RoleWriter {
		found = append(found, assessCapture(t, f)...)
	} else if f.maxOrigins == 0 {
		add("origins", Fatal, "max_replication_slots", "it is 0: there is no room for a replication origin",
			"ALTER SYSTEM SET max_replication_slots = 10 (from 18 on max_active_replication_origins), and restart the server")
	}
	return found
}

// assessCapture is what only a writer needs of its server.
func assessCapture(t target, f serverFacts) (found []Finding) {
	add := func(id string, s Severity, subject, problem, fix string) {
		found = append(found, Finding{id, s, subject, problem, fix})
	}
	if f.walLevel != "logical" {
		add("wal-level", Fatal, "wal_level", "it is "+f.walLevel+" and must be logical", "ALTER SYSTEM SET wal_level = logical, and restart the server")
	}
	if !f.ownSlot && f.slots >= f.maxSlots {
		add("free-slots", Fatal, "max_replication_slots", fmt.Sprintf("all %d are in use", f.maxSlots),
			fmt.Sprintf("drop a slot that nobody needs, or ALTER SYSTEM SET max_replication_slots = %d, and restart the server", f.maxSlots+5))
	}
	if f.senders >= f.maxSenders {
		add("free-senders", Fatal, "max_wal_senders", fmt.Sprintf("all %d are in use", f.maxSenders),
			fmt.Sprintf("ALTER SYSTEM SET max_wal_senders = %d, and restart the server", f.maxSenders+5))
	}
	if f.keep == "-1" {
		add("slot-wal-limit", Info, "max_slot_wal_keep_size", "there is no limit: while pgbridge does not run, WAL gathers until the disk is full", "watch the disk")
	} else {
		add("slot-wal-limit", Warning, "max_slot_wal_keep_size", "it is "+f.keep+": if pgbridge does not run while more WAL than that is written, the slot is lost",
			"make it larger, or -1 and watch the disk")
	}
	if f.idle != "" && f.idle != "0" {
		add("slot-idle-limit", Warning, "idle_replication_slot_timeout", "it is "+f.idle+": if pgbridge does not run for longer, the slot is lost",
			"ALTER SYSTEM SET idle_replication_slot_timeout = 0")
	}
	if waitsFor(f.syncStandbys, "pgbridge") {
		add("synchronous", Fatal, "synchronous_standby_names", "it is '"+f.syncStandbys+"': commits would wait for pgbridge, and pgbridge for its own commits",
			"name the standbys one by one, without * and pgbridge")
	}
	if t.publishes() {
		return found
	}
	if len(f.prepared) > 0 {
		add("prepared", Warning, "prepared transactions", "init waits until they end: "+summary(f.prepared, 3), "COMMIT PREPARED or ROLLBACK PREPARED")
	}
	if f.oldest != "" {
		add("long-transaction", Warning, "open transactions", "init waits until all that write now end; the oldest is open for "+f.oldest, "end it")
	}
	return found
}

// waitsFor tells whether a setting of synchronous_standby_names takes in a
// standby of this name.
func waitsFor(setting, name string) bool {
	fields := strings.FieldsFunc(setting, func(r rune) bool { return strings.ContainsRune(" ,()\t", r) })
	for _, f := range fields {
		if f = strings.Trim(f, `"`); f == "*" || strings.EqualFold(f, name) {
			return true
		}
	}
	return false
}
