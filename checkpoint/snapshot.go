package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/postgres"
	"github.com/pgbridge/pgbridge/slot"
)

// snapshot is one moment of the database at a position of its WAL, seen by
// several sessions, with locks on what they read.
type snapshot struct {
	position slot.Created
	system   slot.System
	sessions []*pgx.Conn
	readers  []pgx.Tx
	head     head
	tables   []postgres.Table // those published, by name
	preData  string
	postData string
	manifest Manifest // all of it but chunks and state
}

// errChanged: the schema was changed between the moment of the snapshot and the
// locks. Definitions would be of one moment and rows of another, and a table that
// was rewritten looks empty to an older snapshot.
var errChanged = errors.New("the schema was changed, or a table was locked, while the checkpoint began: try again when that is over")

const (
	takeAttempts = 5
	takePause    = time.Second
	// lockTimeout is below the server's deadlock_timeout: whoever wants a stronger
	// lock, on which others wait, is never made to fail because of a checkpoint.
	lockTimeout = "800ms"
	// slowSlot is when the log says why nothing happens.
	slowSlot = 3 * time.Second
)

// take takes a snapshot in which definitions and rows are of one moment.
func (m *Maker) take(ctx context.Context, conn *pgx.Conn, d postgres.Database) (*snapshot, error) {
	for attempt := 1; ; attempt++ {
		s := &snapshot{}
		err := m.tryTake(ctx, conn, d, s)
		if err == nil {
			return s, nil
		}
		s.end(context.WithoutCancel(ctx))
		if !errors.Is(err, errChanged) || attempt == takeAttempts {
			return nil, err
		}
		m.logger().Info("the schema was changed while the checkpoint began: it begins again", "attempt", attempt, "error", err)
		if err := pause(ctx, takePause); err != nil {
			return nil, err
		}
	}
}

func (m *Maker) tryTake(ctx context.Context, conn *pgx.Conn, d postgres.Database, s *snapshot) error {
	name, err := m.begin(ctx, conn, d, s)
	if err != nil {
		return err
	}
	before, err := fingerprint(ctx, s.readers[0])
	if err != nil {
		return err
	}
	if err := s.load(ctx, d); err != nil {
		return err
	}
	if err := s.check(m.Key.Writer()); err != nil {
		return err
	}
	// Before the locks: pg_dump takes its own, and would wait for whoever waits for ours.
	if err := m.dump(ctx, s, name); err != nil {
		if now, other := fingerprint(ctx, conn); other == nil && now != before {
			err = fmt.Errorf("%w: %w", errChanged, err) // it looked for what is gone
		}
		return err
	}
	for range m.jobs() - 1 {
		if err := m.join(ctx, s, name); err != nil {
			return err
		}
	}
	for _, tx := range s.readers {
		if err := s.lock(ctx, tx); err != nil {
			return err
		}
	}
	if err := s.loadSequences(ctx); err != nil {
		return err
	}
	after, err := fingerprint(ctx, conn)
	if err == nil && after != before {
		err = errChanged
	}
	return err
}

// dump reads the schema, and the roles that it uses.
func (m *Maker) dump(ctx context.Context, s *snapshot, name string) (err error) {
	if s.preData, s.postData, err = postgres.DumpSchema(ctx, m.Dump, m.URL, name); err != nil {
		return err
	}
	s.manifest.Roles, err = postgres.LoadRoles(ctx, s.readers[0], s.preData, s.postData)
	return err
}

// begin makes the first session of the snapshot, and returns the name under which
// others can join it. The slot that gave it is gone when begin returns.
func (m *Maker) begin(ctx context.Context, conn *pgx.Conn, d postgres.Database, s *snapshot) (string, error) {
	repl, err := slot.Connect(ctx, m.Replication)
	if err != nil {
		return "", err
	}
	defer repl.Close(context.WithoutCancel(ctx))
	if s.system, err = repl.Identify(ctx); err != nil {
		return "", err
	}
	name := fmt.Sprintf("%s_checkpoint_%d", d.Slot, conn.PgConn().PID()) // one that was killed may be there for a moment
	if s.position, err = m.createSlot(ctx, conn, repl, name); err != nil {
		return "", err
	}
	if err := m.join(ctx, s, s.position.Snapshot); err != nil {
		return "", err
	}
	if err := s.readers[0].QueryRow(ctx, "SELECT pg_catalog.pg_export_snapshot()").Scan(&name); err != nil {
		return "", fmt.Errorf("export the snapshot: %w", err)
	}
	return name, nil
}

// check refuses what is not the chain's own database, and a key that is not its own.
func (s *snapshot) check(w action.Writer) error {
	h := &s.head
	switch {
	case h.Writer != w:
		return fmt.Errorf("%w: it is of %s, the chain of %s", ErrKey, w, h.Writer)
	case s.system.ID != h.system || s.system.Timeline != h.timeline:
		return fmt.Errorf("%w: cluster %d timeline %d, the chain ends at record %d in cluster %d timeline %d",
			ErrMoved, s.system.ID, s.system.Timeline, h.Seq, h.system, h.timeline)
	}
	return nil
}

// createSlot makes the slot. That waits for all running transactions: when it
// takes long, the log names the oldest.
func (m *Maker) createSlot(ctx context.Context, conn *pgx.Conn, repl *slot.Conn, name string) (created slot.Created, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		created, err = repl.CreateTemporary(ctx, name)
	}()
	timer := time.NewTimer(slowSlot)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
		m.logger().Info("the checkpoint waits for the transactions that were running when it began", "oldest", oldest(ctx, conn))
		<-done
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "53400" { // configuration_limit_exceeded
		err = fmt.Errorf("%w: a checkpoint needs one slot for a moment: raise max_replication_slots", err)
	}
	return created, err
}

// oldest describes the transaction that is running longest, for a log.
func oldest(ctx context.Context, conn *pgx.Conn) string {
	const query = `SELECT text FROM (
			SELECT xact_start AS at, format('pid %s, %s, since %s', pid, application_name, date_trunc('second', xact_start)) AS text
			FROM pg_catalog.pg_stat_activity WHERE backend_xid IS NOT NULL
			UNION ALL SELECT prepared, format('prepared transaction %L, since %s', gid, date_trunc('second', prepared)) FROM pg_catalog.pg_prepared_xacts) AS t
		ORDER BY at LIMIT 1`
	var text string
	if err := conn.QueryRow(ctx, query).Scan(&text); err != nil {
		return "not known"
	}
	return text
}

// join adds a session that sees the snapshot, and reads block by block, in their order.
func (m *Maker) join(ctx context.Context, s *snapshot, name string) error {
	conn, err := m.Connect(ctx)
	if err != nil {
		return err
	}
	s.sessions = append(s.sessions, conn)
	tx, err := postgres.BeginSnapshot(ctx, conn, name)
	if err != nil {
		return err
	}
	s.readers = append(s.readers, tx)
	_, err = tx.Exec(ctx, `SET LOCAL enable_seqscan = off; SET LOCAL enable_tidscan = on; SET LOCAL synchronize_seqscans = off; SET LOCAL jit = off`)
	if err != nil {
		return fmt.Errorf("prepare reading: %w", err)
	}
	return nil
}

// lock keeps the published tables as they are, as pg_dump does.
func (s *snapshot) lock(ctx context.Context, tx pgx.Tx) error {
	if len(s.tables) == 0 {
		return nil
	}
	names := make([]string, len(s.tables))
	for i, t := range s.tables {
		names[i] = "ONLY " + t.Name.SQL()
		if t.Partitioned {
			names[i] = t.Name.SQL()
		}
	}
	_, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '"+lockTimeout+"'; LOCK TABLE "+strings.Join(names, ", ")+
		" IN ACCESS SHARE MODE; SET LOCAL lock_timeout = 0")
	return ifChanged("lock the tables", err)
}

// ifChanged wraps an error; one that comes from a change of the schema is errChanged.
func ifChanged(what string, err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		switch refused.Code {
		case "55P03", "42P01", "3F000": // lock_not_available, undefined_table, invalid_schema_name
			return fmt.Errorf("%s: %w: %w", what, errChanged, err)
		}
	}
	if errors.Is(err, postgres.ErrRenamed) {
		return fmt.Errorf("%s: %w: %w", what, errChanged, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// end lets the snapshot and the locks go.
func (s *snapshot) end(ctx context.Context) {
	for _, conn := range s.sessions {
		_ = conn.Close(ctx) // nothing was written
	}
	s.sessions, s.readers = nil, nil
}

// microseconds is the time of the snapshot's session.
func microseconds(ctx context.Context, tx pgx.Tx) (at int64, err error) {
	err = tx.QueryRow(ctx, "SELECT (extract(epoch FROM transaction_timestamp()) * 1000000)::int8").Scan(&at)
	if err != nil {
		return 0, fmt.Errorf("read the snapshot's time: %w", err)
	}
	return at, nil
}

// chosen are the tables of all that are in the publication.
func chosen(all []postgres.Table, published []action.Name) ([]postgres.Table, error) {
	byName := make(map[action.Name]postgres.Table, len(all))
	for _, t := range all {
		byName[t.Name] = t
	}
	tables := make([]postgres.Table, 0, len(published))
	for _, name := range published {
		t, ok := byName[name]
		if !ok {
			return nil, fmt.Errorf("table %s is published and is none that can be: pgbridge check says why", name)
		}
		tables = append(tables, t)
	}
	return tables, nil
}
