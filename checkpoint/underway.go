package checkpoint

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/postgres"
)

// phase is how far a restore is: the column phase of pgbridge.restore.
type phase string

const (
	phaseRows phase = "rows" // chunks are loaded
	phaseMade phase = "made" // indexes and constraints are made
	phaseTail phase = "tail" // the load is over, and the chain after the checkpoint follows
)

// UnderWay is a restore that was begun in a database and is not over.
type UnderWay struct {
	Number    uint64 // of the checkpoint; 0: from the genesis
	Epoch     uint32
	Digest    action.Digest
	Tables    []action.Name // whose rows are wanted; nil: all
	StartedAt time.Time
	phase     phase
}

// Loaded tells whether the checkpoint is loaded, so that only what is after it is
// left.
func (u *UnderWay) Loaded() bool { return u.phase == phaseTail }

// LoadUnderWay reads the restore that is under way. Schema pgbridge need not be
// there.
func LoadUnderWay(ctx context.Context, conn *pgx.Conn) (u UnderWay, found bool, err error) {
	if installed, err := postgres.Installed(ctx, conn); err != nil || !installed {
		return UnderWay{}, false, err
	}
	var number, epoch int64
	var digest string
	var tables []string
	err = conn.QueryRow(ctx, "SELECT number, epoch, digest, tables, phase, started_at FROM pgbridge.restore").
		Scan(&number, &epoch, &digest, &tables, &u.phase, &u.StartedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return UnderWay{}, false, nil
	}
	if err != nil {
		return UnderWay{}, false, fmt.Errorf("read pgbridge.restore: %w", err)
	}
	u.Number, u.Epoch = uint64(number), uint32(epoch)
	if u.Digest, err = action.ParseDigest(digest); err != nil {
		return UnderWay{}, false, fmt.Errorf("read pgbridge.restore: %w", err)
	}
	for _, text := range tables {
		name, err := action.ParseName(text)
		if err != nil {
			return UnderWay{}, false, fmt.Errorf("read pgbridge.restore: %w", err)
		}
		u.Tables = append(u.Tables, name)
	}
	return u, true, nil
}

// BeginFromGenesis notes that a restore of some tables begins without a checkpoint.
func BeginFromGenesis(ctx context.Context, conn *pgx.Conn, db action.Digest, tables []action.Name) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := saveUnderWay(ctx, tx, &Checkpoint{Epoch: 1, Digest: db}, tables); err != nil {
			return err
		}
		return setPhase(ctx, tx, phaseTail)
	})
}

func saveUnderWay(ctx context.Context, tx pgx.Tx, c *Checkpoint, tables []action.Name) error {
	var names []string
	for _, t := range tables {
		names = append(names, t.String())
	}
	_, err := tx.Exec(ctx, "INSERT INTO pgbridge.restore (number, epoch, digest, tables, phase) VALUES ($1, $2, $3, $4, $5)",
		int64(c.Number), int64(c.Epoch), c.Digest.String(), names, string(phaseRows))
	if err != nil {
		return fmt.Errorf("write pgbridge.restore: %w", err)
	}
	return nil
}

func setPhase(ctx context.Context, tx pgx.Tx, p phase) error {
	if _, err := tx.Exec(ctx, "UPDATE pgbridge.restore SET phase = $1", string(p)); err != nil {
		return fmt.Errorf("write pgbridge.restore: %w", err)
	}
	return nil
}

// EndRestore forgets how a restore went: it is over.
func EndRestore(ctx context.Context, conn *pgx.Conn) error {
	const query = `WITH chunks AS (DELETE FROM pgbridge.restore_chunk), steps AS (DELETE FROM pgbridge.restore_step)
		DELETE FROM pgbridge.restore`
	if _, err := conn.Exec(ctx, query); err != nil {
		return fmt.Errorf("end the restore: %w", err)
	}
	return nil
}

// place is where a chunk is in the manifest.
type place struct{ file, chunk int }

// chunkLoaded is what came of a chunk.
type chunkLoaded struct {
	rows int64
	sum  action.Digest
}

func loadedChunks(ctx context.Context, conn *pgx.Conn) (map[place]chunkLoaded, error) {
	rows, err := conn.Query(ctx, "SELECT file, chunk, row_count, sum FROM pgbridge.restore_chunk")
	if err != nil {
		return nil, fmt.Errorf("read what is loaded: %w", err)
	}
	all := map[place]chunkLoaded{}
	var at place
	var c chunkLoaded
	var sum string
	_, err = pgx.ForEachRow(rows, []any{&at.file, &at.chunk, &c.rows, &sum}, func() (err error) {
		if c.sum, err = action.ParseDigest(sum); err == nil {
			all[at] = c
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read what is loaded: %w", err)
	}
	return all, nil
}

// add merges the rows of a chunk.
func (c chunkLoaded) addTo(s *Sum) {
	part := Sum{rows: c.rows}
	for i := range part.limbs {
		part.limbs[i] = binary.BigEndian.Uint64(c.sum[24-8*i:])
	}
	s.Merge(&part)
}

// LockRestore keeps every other restore out of the database until conn closes, and
// waits until what one that was killed left running has ended.
func LockRestore(ctx context.Context, conn *pgx.Conn) error {
	const patience = 30 * time.Second // until the server sees that a client is gone
	deadline := time.Now().Add(patience)
	for {
		ok, err := postgres.LockRestore.Try(ctx, conn)
		if err != nil {
			return err
		}
		if ok {
			break
		}
		if time.Now().After(deadline) {
			return errors.New("another pgbridge restore is at work on this database")
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	if err := postgres.LockLoad.Wait(ctx, conn); err != nil {
		return fmt.Errorf("wait for the end of a restore that was interrupted: %w", err)
	}
	return nil
}

// worker opens a session that loads: triggers do not act, commits do not wait for
// the disk (what is done is written with it), and indexes have memory.
func (l *Loader) worker(ctx context.Context, connect func(context.Context) (*pgx.Conn, error)) (*pgx.Conn, error) {
	conn, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	err = postgres.LockLoad.Share(ctx, conn)
	if err == nil {
		_, err = conn.Exec(ctx, "SELECT pgbridge.replica_role('replica'), pg_catalog.set_config('synchronous_commit', 'off', false)")
	}
	if err == nil {
		err = l.tune(ctx, conn)
	}
	if err != nil {
		conn.Close(context.WithoutCancel(ctx))
		return nil, fmt.Errorf("open session to load: %w", err)
	}
	// So that a statement ends soon after its client was killed; not every system can.
	_, _ = conn.Exec(ctx, "SET client_connection_check_interval = '1s'")
	return conn, nil
}

// tune sets what an Executor takes away: indexes have memory, and bodies of functions may
// mention what a later statement makes.
func (l *Loader) tune(ctx context.Context, conn *pgx.Conn) error {
	const settings = `SELECT pg_catalog.set_config('check_function_bodies', 'off', false),
		pg_catalog.set_config('maintenance_work_mem', greatest($1::int8, s.setting::int8)::text || 'kB', false) FROM pg_catalog.pg_settings s WHERE s.name = 'maintenance_work_mem'`
	if _, err := conn.Exec(ctx, settings, indexMemory/int64(l.jobs())); err != nil {
		return fmt.Errorf("set the memory of indexes: %w", err)
	}
	return nil
}

// indexMemory is what all sessions together may use to make indexes, in kB, unless
// the server allows each more.
const indexMemory = 512 << 10
