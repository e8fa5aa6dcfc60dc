package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pgbridge/pgbridge/action"
)

// Role is what a database does: write the chain, or follow it.
type Role string

// The roles of pgbridge.database.
const (
	RoleWriter   Role = "writer"
	RoleFollower Role = "follower"
)

// Stage is how far the setting up of a database came.
type Stage string

// The stages of pgbridge.database.
const (
	StageInit    Stage = "init"    // a writer's init is under way; the next one undoes it and begins again
	StageCopy    Stage = "copy"    // a follower without all of the initial rows
	StageRestore Stage = "restore" // a follower whose restore is not over
	StageReady   Stage = "ready"   // everything is in place
)

// DefaultName is the name of the publication.
const DefaultName = "pgbridge"

// SlotName is the name of this database's slot. Slots belong to the cluster, so
// the database's number is in it.
func SlotName(ctx context.Context, q Querier) (string, error) {
	var name string
	err := q.QueryRow(ctx, "SELECT 'pgbridge_' || oid FROM pg_catalog.pg_database WHERE datname = current_database()").Scan(&name)
	return name, wrapUnlessNil("name the slot", err)
}

// Database is the one row that says what this database is a copy of.
type Database struct {
	Role        Role
	Stage       Stage
	Name        string
	ID          action.Digest // the db-id; zero only in StageInit
	Genesis     []byte        // the genesis record as archived; nil only in StageInit
	Publication string        // DefaultName if empty
	Slot        string        // of a writer: SlotName; of a follower DefaultName, and never made
	Scope       Scope         // of a writer; ScopeListed if empty
	Without     Without       // of a follower: what it was made without, and so goes on without
}

// ErrNoDatabase says that pgbridge.database has no row: init was never run, or
// never came far enough to leave anything behind.
var ErrNoDatabase = errors.New("the database is not set up: run pgbridge init")

// LoadDatabase returns the row of pgbridge.database, or ErrNoDatabase. The schema
// must be there (Installed).
func LoadDatabase(ctx context.Context, q Querier) (Database, error) {
	const query = `SELECT role, stage, name, coalesce(db_id, ''), genesis, publication, slot, scope, no_owner, no_privileges FROM pgbridge.database`
	var (
		d  Database
		id string
	)
	err := q.QueryRow(ctx, query).Scan(&d.Role, &d.Stage, &d.Name, &id, &d.Genesis, &d.Publication, &d.Slot, &d.Scope, &d.Without.Owner, &d.Without.Privileges)
	if errors.Is(err, pgx.ErrNoRows) {
		return Database{}, ErrNoDatabase
	}
	if err != nil {
		return Database{}, fmt.Errorf("read pgbridge.database: %w", err)
	}
	if id != "" {
		if d.ID, err = action.ParseDigest(id); err != nil {
			return Database{}, fmt.Errorf("read pgbridge.database: db_id: %w", err)
		}
	}
	return d, nil
}

// SaveDatabase writes the row, over the one that may be there.
func SaveDatabase(ctx context.Context, q Querier, d Database) error {
	const query = `INSERT INTO pgbridge.database (role, stage, name, db_id, genesis, publication, slot, scope, no_owner, no_privileges)
		VALUES ($1, $2, $3, nullif($4, ''), $5, $6, $7, coalesce(nullif($8, ''), 'listed'), $9, $10)
		ON CONFLICT (only_one) DO UPDATE SET (role, stage, name, db_id, genesis, publication, slot, scope, no_owner, no_privileges) =
			(excluded.role, excluded.stage, excluded.name, excluded.db_id, excluded.genesis, excluded.publication, excluded.slot, excluded.scope,
			excluded.no_owner, excluded.no_privileges)`
	id := ""
	if !d.ID.IsZero() {
		id = d.ID.String()
	}
	_, err := q.Exec(ctx, query, string(d.Role), string(d.Stage), d.Name, id, d.Genesis,
		orDefault(d.Publication), orDefault(d.Slot), string(d.Scope), d.Without.Owner, d.Without.Privileges)
	return wrapUnlessNil("write pgbridge.database", err)
}

// SetReady says that everything is in place. The service may do so.
func SetReady(ctx context.Context, q Querier) error {
	_, err := q.Exec(ctx, "UPDATE pgbridge.database SET stage = $1", string(StageReady))
	return wrapUnlessNil("write pgbridge.database", err)
}

func orDefault(name string) string {
	if name == "" {
		return DefaultName
	}
	return name
}

// Progress is how far one writer has been applied here.
type Progress struct {
	Writer   action.Writer
	Epoch    uint32
	Seq      uint64        // last record of which something was applied
	Digest   action.Digest // of that record
	Txs      int           // how many of its transactions
	Complete bool          // all of them
	LSN      action.LSN    // commit position of the last transaction, at its writer
	Clock    action.Clock
	// Schema is the digest of the schema that the next change is written against;
	// zero where it is not known, in a database that was set up long ago.
	Schema action.Digest
	// Skip: transactions whose position is before it came with a checkpoint. Zero:
	// none.
	Skip      action.LSN
	AppliedAt time.Time // set by the database
}

const progressColumns = `SELECT writer, epoch, seq, digest, txs, complete, lsn::text, clock, coalesce(schema, ''), coalesce(skip::text, '0/0'), applied_at FROM pgbridge.progress`

// LoadProgress returns the row of one writer; found is false where nothing of it
// was ever applied.
func LoadProgress(ctx context.Context, q Querier, w action.Writer) (p Progress, found bool, err error) {
	rows, err := q.Query(ctx, progressColumns+" WHERE writer = $1", w.String())
	if err != nil {
		return Progress{}, false, fmt.Errorf("read progress of %s: %w", w, err)
	}
	p, err = pgx.CollectExactlyOneRow(rows, scanProgress)
	if errors.Is(err, pgx.ErrNoRows) {
		return Progress{}, false, nil
	}
	if err != nil {
		return Progress{}, false, fmt.Errorf("read progress of %s: %w", w, err)
	}
	return p, true, nil
}

// ListProgress returns the rows of all writers, by writer.
func ListProgress(ctx context.Context, q Querier) ([]Progress, error) {
	rows, err := q.Query(ctx, progressColumns+" ORDER BY writer")
	if err != nil {
		return nil, fmt.Errorf("read progress: %w", err)
	}
	all, err := pgx.CollectRows(rows, scanProgress)
	return all, wrapUnlessNil("read progress", err)
}

func scanProgress(row pgx.CollectableRow) (Progress, error) {
	var (
		p                                        Progress
		writer, digest, lsn, clock, schema, skip string
		epoch, seq                               int64
	)
	err := row.Scan(&writer, &epoch, &seq, &digest, &p.Txs, &p.Complete, &lsn, &clock, &schema, &skip, &p.AppliedAt)
	if err != nil {
		return Progress{}, err
	}
	p.Epoch, p.Seq, p.AppliedAt = uint32(epoch), uint64(seq), p.AppliedAt.UTC()
	if p.Writer, err = action.ParseWriter(writer); err != nil {
		return Progress{}, fmt.Errorf("writer: %w", err)
	}
	if p.Digest, err = action.ParseDigest(digest); err != nil {
		return Progress{}, fmt.Errorf("digest: %w", err)
	}
	if schema != "" {
		if p.Schema, err = action.ParseDigest(schema); err != nil {
			return Progress{}, fmt.Errorf("schema: %w", err)
		}
	}
	if p.LSN, err = action.ParseLSN(lsn); err != nil {
		return Progress{}, err
	}
	if p.Skip, err = action.ParseLSN(skip); err != nil {
		return Progress{}, err
	}
	p.Clock, err = action.ParseClock(clock)
	return p, err
}

// SaveProgress writes the row of p.Writer, over the one that may be there. Call
// it in the transaction that applies: that is what makes a crash repeat nothing
// and skip nothing.
func SaveProgress(ctx context.Context, q Querier, p Progress) error {
	const query = `INSERT INTO pgbridge.progress AS p (writer, epoch, seq, digest, txs, complete, lsn, clock, schema, skip)
		VALUES ($1, $2, $3, $4, $5, $6, $7::text::pg_lsn, $8, nullif($9, ''), nullif($10, '0/0')::text::pg_lsn)
		ON CONFLICT (writer) DO UPDATE SET (epoch, seq, digest, txs, complete, lsn, clock, schema, skip, applied_at) = (excluded.epoch, excluded.seq,
			excluded.digest, excluded.txs, excluded.complete, excluded.lsn, excluded.clock, excluded.schema, excluded.skip, excluded.applied_at)`
	schema := ""
	if !p.Schema.IsZero() {
		schema = p.Schema.String()
	}
	_, err := q.Exec(ctx, query, p.Writer.String(), int64(p.Epoch), int64(p.Seq), p.Digest.String(), p.Txs, p.Complete,
		p.LSN.String(), p.Clock.String(), schema, p.Skip.String())
	return wrapUnlessNil("write progress of "+p.Writer.String(), err)
}
