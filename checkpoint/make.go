package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/postgres"
)

// Maker makes checkpoints of one database, beside whatever else is at work on it.
// Its fields are set before Create and not changed.
type Maker struct {
	// Connect opens an ordinary connection, Replication the configuration of a
	// replication connection, both with the session settings pinned.
	Connect     func(context.Context) (*pgx.Conn, error)
	Replication *pgconn.Config
	URL         string // the database, for pg_dump
	Dump        postgres.Dump
	Key         archive.Key
	Wallet      archive.Wallet // nil: the key itself
	Archives    []archive.Putter
	Jobs        int            // sessions that read at once; 1 if zero
	Rate        int64          // the most bytes of rows to read in a second, by all of them; 0: no limit
	Progress    func(Progress) // told now and then, by one goroutine at a time; may be nil
	Log         *slog.Logger   // nil discards
}

// Progress is how far a Create is.
type Progress struct {
	Done, Total int64 // bytes of tables on disk; within a table, Done is a guess
	Rows        int64
	Fresh       int // chunks that were sent
}

// Result is what Create made.
type Result struct {
	Number   uint64
	Epoch    uint32
	Digest   action.Digest // of the checkpoint record
	LSN      action.LSN
	At       int64 // as in the manifest
	ChainSeq uint64
	Tables   int
	Rows     int64
	Chunks   int
	Size     int64 // of all chunks before compression
	Bytes    int64 // of all chunks as stored
	Fresh    int   // chunks that were sent, the others being there already
	Sent     int64 // bytes of those
}

// Errors of Create that callers branch on.
var (
	// ErrBusy: a checkpoint of the database is being made already.
	ErrBusy = errors.New("another checkpoint of this database is being made: wait for it")
	// ErrMoved: the database was restored, cloned or failed over. Its copies would
	// carry the numbers of those that the other one makes.
	ErrMoved = errors.New("the database is not where its chain left it")
	// ErrKey: the key is not the one that this database's chain is signed with.
	ErrKey = errors.New("the key is not that of this database's writer")
)

// Create makes a checkpoint. It is durable when Create returns nil: all archives
// have all chunks and the checkpoint, and the mark that makes the chain name it is
// in the WAL.
//
// Interrupted, at whatever point, it leaves nothing behind but chunks, which the
// next one finds again as far as the rows are still the same; or, after the mark,
// a checkpoint that the next Create brings to the archives before anything else.
// Until then the chain names a checkpoint that is nowhere, and readers begin with
// the one before.
//
// It waits for the transactions that are running when it begins, and from then on
// holds what pg_dump does: a snapshot, and ACCESS SHARE locks on the published
// tables. It wraps ErrBusy; and, where a person must decide, ErrMoved, ErrKey,
// archive.ErrRejected and archive.ErrFunds.
func (m *Maker) Create(ctx context.Context) (Result, error) {
	conn, err := m.Connect(ctx)
	if err != nil {
		return Result{}, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	d, err := m.enter(ctx, conn)
	if err != nil {
		return Result{}, err
	}
	if err := m.settle(ctx, conn); err != nil {
		return Result{}, err
	}
	s, err := m.take(ctx, conn, d)
	if err != nil {
		return Result{}, err
	}
	defer s.end(context.WithoutCancel(ctx))
	store := m.newStore(conn, d, s)
	manifest, err := m.copy(ctx, s, store)
	if err != nil {
		return Result{}, err
	}
	s.end(ctx) // the source need not keep old rows any longer
	return m.publish(ctx, conn, store, &manifest)
}

// enter locks other makers out until conn closes, and reads whose database it is.
func (m *Maker) enter(ctx context.Context, conn *pgx.Conn) (postgres.Database, error) {
	if err := lockOthers(ctx, conn); err != nil {
		return postgres.Database{}, err
	}
	d, err := postgres.LoadDatabase(ctx, conn)
	switch {
	case err != nil:
		return postgres.Database{}, err
	case d.Role != postgres.RoleWriter:
		return postgres.Database{}, fmt.Errorf("the database follows %s (%s): checkpoints are made where it is written", d.Name, d.ID)
	case d.Stage != postgres.StageReady:
		return postgres.Database{}, errors.New("pgbridge init did not finish: run it again")
	case len(m.Archives) == 0:
		return postgres.Database{}, errors.New("a checkpoint needs an archive to write to")
	}
	slot, err := postgres.SlotName(ctx, conn)
	if err == nil && slot != d.Slot {
		err = fmt.Errorf("%w: it is a copy of the one with slot %s", ErrMoved, d.Slot)
	}
	return d, err
}

// lockOthers is patient for a moment: the session of a maker that was killed may
// still be there.
func lockOthers(ctx context.Context, conn *pgx.Conn) error {
	for left := 15; ; left-- {
		ok, err := postgres.LockCheckpoint.Try(ctx, conn)
		if ok || err != nil {
			return err
		}
		if left == 0 {
			return ErrBusy
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
}

// copy reads everything that is in the snapshot, and sends what is new of it.
func (m *Maker) copy(ctx context.Context, s *snapshot, store *store) (Manifest, error) {
	manifest := s.manifest
	var err error
	if manifest.PreData, err = store.keepText(ctx, s.preData); err != nil {
		return Manifest{}, fmt.Errorf("store the schema: %w", err)
	}
	if manifest.PostData, err = store.keepText(ctx, s.postData); err != nil {
		return Manifest{}, fmt.Errorf("store the schema: %w", err)
	}
	c := newCopier(m, s, store)
	if err := c.run(ctx, s.readers); err != nil {
		return Manifest{}, err
	}
	manifest.Files, manifest.State = c.files(), c.state()
	return manifest, nil
}

func (m *Maker) jobs() int {
	return max(m.Jobs, 1)
}

func (m *Maker) wallet() archive.Wallet {
	if m.Wallet != nil {
		return m.Wallet
	}
	return archive.KeyWallet(m.Key)
}

func (m *Maker) logger() *slog.Logger {
	if m.Log != nil {
		return m.Log
	}
	return slog.New(slog.DiscardHandler)
}

// places are the names of the archives.
func (m *Maker) places() []string {
	var names []string
	for _, a := range m.Archives {
		names = append(names, a.Name())
	}
	slices.Sort(names)
	return slices.Compact(names)
}
