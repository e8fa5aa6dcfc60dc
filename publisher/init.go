package publisher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/postgres"
	"github.com/pgbridge/pgbridge/slot"
)

// Init makes a database a writer: schema pgbridge, publication, slot, and the
// first records of the chain: the genesis, and every row that exists. They are
// in the outbox when Run returns; a publisher uploads them.
type Init struct {
	Connect     func(context.Context) (*pgx.Conn, error)
	Replication *pgconn.Config
	URL         string // the database, for pg_dump
	Dump        postgres.Dump
	Name        string
	Tables      []postgres.Table // to publish
	Scope       postgres.Scope   // whether tables made later are published, too
	Key         archive.Key
	Wallet      archive.Wallet
	Log         *slog.Logger
}

// Run returns the db-id. On a database that is a writer with this key already
// it does nothing. An init that was killed leaves nothing that the next one
// does not undo: the stage in pgbridge.database says so until the last step.
func (in *Init) Run(ctx context.Context) (action.Digest, error) {
	conn, err := in.Connect(ctx)
	if err != nil {
		return action.Digest{}, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := postgres.Install(ctx, conn); err != nil {
		return action.Digest{}, err
	}
	if err := lockInit(ctx, conn); err != nil {
		return action.Digest{}, err
	}
	d, err := postgres.LoadDatabase(ctx, conn)
	switch {
	case errors.Is(err, postgres.ErrNoDatabase):
	case err != nil:
		return action.Digest{}, err
	case d.Role != postgres.RoleWriter:
		return action.Digest{}, fmt.Errorf("the database follows %s (%s): it cannot found another", d.Name, d.ID)
	case d.Stage == postgres.StageReady:
		if err := in.same(ctx, conn); err != nil {
			return action.Digest{}, err
		}
		return d.ID, in.watch(ctx, conn) // set up by a pgbridge that did not
	}
	repl, err := slot.Connect(ctx, in.Replication)
	if err != nil {
		return action.Digest{}, err
	}
	defer repl.Close(context.WithoutCancel(ctx))
	if d.Stage == postgres.StageInit {
		if err := undo(ctx, conn, repl); err != nil {
			return action.Digest{}, err
		}
	}
	return in.found(ctx, conn, repl)
}

// lockInit keeps a second init out until conn closes.
func lockInit(ctx context.Context, conn *pgx.Conn) error {
	ok, err := postgres.LockInit.Try(ctx, conn)
	if err == nil && !ok {
		err = errors.New("another pgbridge init is at work on this database: wait for it")
	}
	return err
}

func (in *Init) same(ctx context.Context, conn *pgx.Conn) error {
	chain, err := postgres.LoadChain(ctx, conn)
	if err != nil {
		return err
	}
	if chain.Writer != in.Key.Writer() {
		return fmt.Errorf("%w: the key is of writer %s, the chain of %s", ErrKey, in.Key.Writer(), chain.Writer)
	}
	return nil
}

// undo removes what an init left that did not finish.
func undo(ctx context.Context, conn *pgx.Conn, repl *slot.Conn) error {
	slotName, err := postgres.SlotName(ctx, conn) // not what the row says: a copy of another database has that one's
	if err != nil {
		return err
	}
	if err := repl.Drop(ctx, slotName); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "TRUNCATE pgbridge.outbox, pgbridge.delivery, pgbridge.chain"); err != nil {
		return fmt.Errorf("undo unfinished init: %w", err)
	}
	return postgres.DropPublication(ctx, conn, postgres.DefaultName)
}

// found does the work. The order: first the mark that makes everything after
// it undoable, last the mark that makes it valid.
func (in *Init) found(ctx context.Context, conn *pgx.Conn, repl *slot.Conn) (action.Digest, error) {
	slotName, err := postgres.SlotName(ctx, conn)
	if err != nil {
		return action.Digest{}, err
	}
	d := postgres.Database{Role: postgres.RoleWriter, Stage: postgres.StageInit, Name: in.Name, Slot: slotName, Scope: in.Scope}
	if err := postgres.SaveDatabase(ctx, conn, d); err != nil {
		return action.Digest{}, err
	}
	// What was defined before the slot is there is not in the stream.
	if _, err := conn.Exec(ctx, "TRUNCATE pgbridge.action"); err != nil {
		return action.Digest{}, fmt.Errorf("forget actions: %w", err)
	}
	if err := in.watch(ctx, conn); err != nil {
		return action.Digest{}, err
	}
	if err := postgres.CreatePublication(ctx, conn, postgres.DefaultName, names(in.Tables)); err != nil {
		return action.Digest{}, err
	}
	if err := postgres.RequirePublished(ctx, conn, postgres.DefaultName, in.Tables); err != nil {
		return action.Digest{}, err
	}
	if err := postgres.MarkPublication(ctx, conn); err != nil {
		return action.Digest{}, err
	}
	system, err := repl.Identify(ctx)
	if err != nil {
		return action.Digest{}, err
	}
	created, err := repl.Create(ctx, slotName)
	if err != nil {
		return action.Digest{}, err
	}
	record, err := in.first(ctx, conn, system, created)
	if err != nil {
		return action.Digest{}, err
	}
	d.Stage, d.ID, d.Genesis = postgres.StageReady, record.Digest, record.Bytes
	return d.ID, postgres.SaveDatabase(ctx, conn, d)
}

// watch puts schema changes into the stream, where the role may.
func (in *Init) watch(ctx context.Context, conn *pgx.Conn) error {
	watched, err := postgres.WatchSchema(ctx, conn)
	if err == nil && !watched && in.Log != nil {
		in.Log.Warn("schema changes will not be in the stream: only superusers make event triggers, and schema pgbridge must belong to one")
	}
	return err
}

func names(tables []postgres.Table) []action.Name {
	var all []action.Name
	for _, t := range tables {
		all = append(all, t.Name)
	}
	return all
}

// first puts genesis and rows into the outbox, both as the slot's snapshot sees
// them: what is committed later is in the slot.
func (in *Init) first(ctx context.Context, conn *pgx.Conn, system slot.System, created slot.Created) (archive.Record, error) {
	reader, err := in.Connect(ctx)
	if err != nil {
		return archive.Record{}, err
	}
	defer reader.Close(context.WithoutCancel(ctx))
	snapshot, err := postgres.BeginSnapshot(ctx, reader, created.Snapshot)
	if err != nil {
		return archive.Record{}, err
	}
	record, err := in.genesis(ctx, conn, system, created)
	if err != nil {
		return archive.Record{}, err
	}
	if err := in.copyRows(ctx, conn, snapshot, &record); err != nil {
		return archive.Record{}, err
	}
	return record, snapshot.Rollback(ctx) // it only read
}

// genesis makes record 1: owner, writers, rules, schema.
func (in *Init) genesis(ctx context.Context, conn *pgx.Conn, system slot.System, created slot.Created) (archive.Record, error) {
	pre, post, err := postgres.DumpSchema(ctx, in.Dump, in.URL, created.Snapshot)
	if err != nil {
		return archive.Record{}, err
	}
	roles, err := postgres.LoadRoles(ctx, conn, pre, post)
	if err != nil {
		return archive.Record{}, err
	}
	server, err := postgres.LoadServer(ctx, conn)
	if err != nil {
		return archive.Record{}, err
	}
	genesis := postgres.NewGenesis(in.Name, in.Key.Writer(), server, roles, in.Tables, pre, post)
	h := archive.Header{
		Type: archive.TypeGenesis, Epoch: 1, Seq: 1, From: created.LSN, To: created.LSN,
		System: system.ID, Timeline: system.Timeline, Schema: genesis.SchemaDigest(),
	}
	body, err := genesis.Encode()
	if err != nil {
		return archive.Record{}, err
	}
	record, err := archive.Seal(in.Key, h, body)
	if err != nil {
		return archive.Record{}, err
	}
	item, err := archive.Wrap(in.wallet(), &record, nil)
	if err != nil {
		return archive.Record{}, err
	}
	chain := postgres.Chain{
		Writer: in.Key.Writer(), Epoch: 1, Seq: 1, Digest: record.Digest, End: created.LSN, System: system.ID, Timeline: system.Timeline,
	}
	return record, insertFirst(ctx, conn, chain, item)
}

// insertFirst begins the chain.
func insertFirst(ctx context.Context, conn *pgx.Conn, c postgres.Chain, item archive.Item) error {
	_, err := conn.Exec(ctx, `WITH begun AS (
			INSERT INTO pgbridge.chain (writer, epoch, seq, digest, end_lsn, clock, system, timeline)
			VALUES ($1, $2, $3, $4, $5::text::pg_lsn, $6, $7, $8))
		INSERT INTO pgbridge.outbox (epoch, seq, digest, end_lsn, item_id, item, txs) VALUES ($2, $3, $4, $5::text::pg_lsn, $9, $10, 0)`,
		c.Writer.String(), int64(c.Epoch), int64(c.Seq), c.Digest.String(), c.End.String(), c.Clock.String(),
		fmt.Sprint(c.System), int64(c.Timeline), item.ID, item.Bytes)
	if err != nil {
		return fmt.Errorf("begin the chain: %w", err)
	}
	return nil
}

func (in *Init) wallet() archive.Wallet {
	if in.Wallet != nil {
		return in.Wallet
	}
	return archive.KeyWallet(in.Key)
}
