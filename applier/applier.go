package applier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/postgres"
)

// Applier follows the writers of one database. Its fields are set before Run
// and not changed.
type Applier struct {
	// Connect opens a connection with the session settings pinned.
	Connect func(context.Context) (*pgx.Conn, error)
	Archive Archive
	DB      action.Digest
	Genesis postgres.Genesis
	// ToEnd: return when the archives hold no later record, instead of waiting
	// for one.
	ToEnd bool
	// Until is where to stop, with everything before it committed; Run then returns
	// nil after it has called Reached, if that is set, with the transaction that it
	// stopped before. The zero value stops nowhere.
	Until   archive.Moment
	Reached func(next action.Tx)
	// Only are the tables whose rows are applied; nil: all. For a part of a
	// database, which can never be followed: with ToEnd.
	Only []action.Name
	// Roles, when set, is called before a statement that changes the schema, with the role
	// that executes it and those that it names, to make and to admit them; it is not called
	// with the same ones again. Where it is nil the statement may be refused.
	Roles func(ctx context.Context, author string, named []string) error
	Ready func() // called once when the first writer's session is open; may be nil
	// Progress, when set, is called after every commit.
	Progress func(Report)
	Log      *slog.Logger // nil discards

	ready sync.Once
}

// Report is how far one writer is after a commit.
type Report struct {
	postgres.Progress
	Records int   // applied since Run began
	Bytes   int64 // of their bodies
	// Torn is the last record, where the chain ends inside of a transaction: of
	// that nothing was applied. Only told to the end.
	Torn uint64
}

// groupSize is how much, in bytes of bodies, is applied in one target
// transaction while catching up.
const groupSize = 8 << 20

// Run applies until ctx ends, the end is reached, or something breaks; then it
// returns, and starting again is the recovery. A *ForkError, a *Stuck, a *Hole
// (to the end) and ErrUnknown need a person.
func (a *Applier) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, w := range a.Genesis.Writers {
		group.Go(func() error { return a.follow(ctx, w) })
	}
	return group.Wait()
}

// follow applies the chain of one writer.
func (a *Applier) follow(ctx context.Context, w action.Writer) error {
	conn, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := openSession(ctx, conn, w); err != nil {
		return err
	}
	if a.Ready != nil {
		a.ready.Do(a.Ready)
	}
	at, found, err := postgres.LoadProgress(ctx, conn, w)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("no progress of writer %s: run pgbridge init --join %s", w, a.DB)
	}
	if at.Schema.IsZero() { // joined before schemas could change
		at.Schema = a.Genesis.SchemaDigest()
	}

	records := make(chan opened)
	feed := newFeed()
	from := &source{
		archive: a.Archive, db: a.DB, writer: w, at: cursorAt(at), out: records, feed: feed, toEnd: a.ToEnd,
		log: a.logger(), known: map[uint64][]archive.Ref{},
	}
	to, err := a.target(ctx, conn, at)
	if err != nil {
		return err
	}
	group, gctx := errgroup.WithContext(ctx)
	if !a.ToEnd {
		group.Go(func() error { return feed.run(gctx, a.Archive, a.DB, w) })
	}
	group.Go(func() error { return from.run(gctx) })
	group.Go(func() error { return a.applyAll(gctx, to, records) })
	err = group.Wait()
	if errors.Is(err, errReached) {
		if a.Reached != nil {
			a.Reached(to.next)
		}
		return nil
	}
	return a.keep(ctx, quiet(err))
}

// target prepares the database for what comes after at.
func (a *Applier) target(ctx context.Context, conn *pgx.Conn, at postgres.Progress) (*target, error) {
	to := newTarget(conn, at, a.published())
	to.rowsOnly, to.until, to.only, to.owner, to.roles.prepare = a.ToEnd, a.Until, a.Only, a.Genesis.Owner, a.Roles
	var err error
	if to.decided, err = loadDecisions(ctx, conn, at.Writer); err != nil {
		return nil, err
	}
	if err := a.unfinished(ctx, to); err != nil || to.finish != nil {
		return to, err
	}
	return to, checkTables(ctx, conn)
}

// published are the tables of the database.
func (a *Applier) published() []action.Name {
	names := make([]action.Name, len(a.Genesis.Tables))
	for i, t := range a.Genesis.Tables {
		names[i] = t.Name
	}
	return names
}

// unfinished prepares to for what this copy is, and for initial rows that are not all there.
func (a *Applier) unfinished(ctx context.Context, to *target) error {
	d, err := postgres.LoadDatabase(ctx, to.conn)
	if err != nil {
		return err
	}
	to.without = d.Without
	if d.Stage != postgres.StageCopy {
		return nil
	}
	to.finish = func(ctx context.Context) error { return finishCopy(ctx, to.runners, a.Genesis) }
	return nil
}

// applyAll applies what the source delivers, as much at once as is there.
func (a *Applier) applyAll(ctx context.Context, to *target, records <-chan opened) error {
	var report Report
	for {
		group, ok := take(ctx, records)
		if !ok {
			return a.ended(ctx, to, report)
		}
		if err := to.apply(ctx, group); err != nil {
			return err
		}
		for _, r := range group {
			report.Records++
			report.Bytes += int64(len(r.body))
		}
		report.Progress = to.pos
		if a.Progress != nil {
			a.Progress(report)
		}
		if to.stopped {
			return errReached
		}
	}
}

// take waits for a record and adds those that are there already.
func take(ctx context.Context, records <-chan opened) (group []opened, ok bool) {
	var r opened
	select {
	case r, ok = <-records:
	case <-ctx.Done():
	}
	if !ok {
		return nil, false
	}
	group = append(group, r)
	for size := len(r.body); size < groupSize; size += len(r.body) {
		select {
		case r, ok = <-records:
			if !ok {
				return group, true
			}
			group = append(group, r)
		default:
			return group, true
		}
	}
	return group, true
}

// ended is called when no record will come any more. A transaction whose end is not
// there is none: whoever sent its parts did not live to send the rest.
func (a *Applier) ended(ctx context.Context, to *target, report Report) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if to.tx != nil {
		report.Torn = to.at.seq
		if a.Progress != nil {
			a.Progress(report)
		}
		return to.rollback(ctx)
	}
	if to.finish != nil {
		return fmt.Errorf("the chain ends inside of the initial copy, after record %d", to.at.seq)
	}
	return nil
}

// keep writes down what a person has to look at before it is returned.
func (a *Applier) keep(ctx context.Context, err error) error {
	var stuck *Stuck
	if !errors.As(err, &stuck) {
		return err
	}
	conn, connErr := a.Connect(ctx)
	if connErr != nil {
		return errors.Join(err, connErr)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return errors.Join(err, quarantine(ctx, conn, stuck))
}

func (a *Applier) logger() *slog.Logger {
	if a.Log != nil {
		return a.Log
	}
	return slog.New(slog.DiscardHandler)
}
