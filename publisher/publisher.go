package publisher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/postgres"
	"github.com/pgbridge/pgbridge/slot"
)

// Publisher publishes one database. Its fields are set before Run and not
// changed.
type Publisher struct {
	// Connect opens an ordinary connection, Replication the configuration of a
	// replication connection, both with the session settings pinned.
	Connect     func(context.Context) (*pgx.Conn, error)
	Replication *pgconn.Config
	Slot        string
	Publication string
	Key         archive.Key
	Wallet      archive.Wallet // nil: the key itself
	DB          action.Digest
	Schema      action.Digest
	Archives    []archive.Putter
	// Reader is asked, before the first upload, whether the archives hold a
	// record of this writer that the database does not know. Nil: not asked.
	Reader Reader
	Ready  func()       // called once when the stream is open; may be nil
	Log    *slog.Logger // nil discards
}

// Errors that a person must decide on.
var (
	// ErrKey: the key is not the one that this database's chain is signed with.
	ErrKey = errors.New("the key is not that of this database's writer")
	// ErrMoved: the database is not the one whose WAL the chain is of: it was
	// restored, cloned or failed over.
	ErrMoved = errors.New("the database is not where its chain left it")
	// ErrPublication: the publication is not as init made it.
	ErrPublication = errors.New("the publication was changed after pgbridge init")
	// ErrText: a value is not UTF-8, as damaged text is. Nobody could read its record.
	ErrText = errors.New("a value is not UTF-8")
)

// Run publishes until ctx ends or something breaks; then it returns, and
// starting again is the recovery. It wraps postgres.ErrNoChain, ErrKey, ErrMoved,
// ErrPublication and slot.ErrLost where a person must decide.
func (p *Publisher) Run(ctx context.Context) error {
	conn, err := p.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	chain, err := postgres.LoadChain(ctx, conn)
	if err != nil {
		return err
	}
	secret, err := postgres.LoadSecret(ctx, conn)
	if err != nil {
		return err
	}
	naming, err := newNaming(chain.Named)
	if err != nil {
		return err
	}
	stream, err := p.start(ctx, chain)
	if err != nil {
		return err
	}
	defer stream.Close()

	if p.Ready != nil {
		p.Ready()
	}

	group, ctx := errgroup.WithContext(ctx)
	batches := make(chan batch, 1)
	spare := make(chan []byte, 3)
	wakes := p.upload(ctx, group, chain)
	guard := &guard{}
	seal := &sealer{
		conn: conn, key: p.Key, wallet: p.wallet(), db: p.DB, schema: p.Schema, chain: chain, floors: floors{}, guard: guard,
		ack: stream.Ack, stored: func() { wakeAll(wakes) }, spare: spare,
	}
	read := &capture{
		stream: stream, out: batches, spare: spare, guard: guard, done: chain.End, part: chain.Part,
		origins: &origins{connect: p.Connect, known: map[string]bool{}},
		build:   builder{split: splitSize, to: chain.End, clock: chain.Clock, marks: marks{secret: secret}, naming: naming},
	}
	group.Go(func() error { return stream.Run(ctx) })
	group.Go(func() error { return read.run(ctx) })
	group.Go(func() error { return seal.run(ctx, batches) })
	group.Go(func() error {
		<-ctx.Done()
		return stream.Close() // wakes a read that waits
	})
	return group.Wait()
}

// start compares the world with the chain, then opens the stream.
func (p *Publisher) start(ctx context.Context, chain postgres.Chain) (*slot.Stream, error) {
	if p.Key.Writer() != chain.Writer {
		return nil, fmt.Errorf("%w: the key is of writer %s, the chain of %s", ErrKey, p.Key.Writer(), chain.Writer)
	}
	repl, err := slot.Connect(ctx, p.Replication)
	if err != nil {
		return nil, err
	}
	system, err := repl.Identify(ctx)
	if err == nil && (system.ID != chain.System || system.Timeline != chain.Timeline) {
		err = fmt.Errorf("%w: cluster %d timeline %d, the chain ends at record %d in cluster %d timeline %d",
			ErrMoved, system.ID, system.Timeline, chain.Seq, chain.System, chain.Timeline)
	}
	if err != nil {
		return nil, errors.Join(err, repl.Close(ctx))
	}
	stream, err := repl.Start(ctx, p.Slot, p.Publication, chain.End)
	if err != nil {
		return nil, errors.Join(err, repl.Close(ctx))
	}
	return stream, nil
}

// upload starts a loop for every archive once the archives' head was compared,
// and returns how to wake them.
func (p *Publisher) upload(ctx context.Context, group *errgroup.Group, chain postgres.Chain) []chan<- struct{} {
	loops := make([]*uploader, len(p.Archives))
	wakes := make([]chan<- struct{}, len(p.Archives))
	for i, store := range p.Archives {
		wake := make(chan struct{}, 1)
		wakes[i] = wake
		loops[i] = &uploader{store: store, targets: len(p.Archives), log: p.logger(), wake: wake}
	}
	group.Go(func() error {
		if err := p.compareHead(ctx, chain); err != nil {
			return err
		}
		for _, u := range loops {
			group.Go(func() error { return p.uploadTo(ctx, u) })
		}
		return nil
	})
	return wakes
}

func (p *Publisher) uploadTo(ctx context.Context, u *uploader) error {
	conn, err := p.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	u.conn = conn
	return u.run(ctx)
}

func wakeAll(wakes []chan<- struct{}) {
	for _, w := range wakes {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

func (p *Publisher) wallet() archive.Wallet {
	if p.Wallet != nil {
		return p.Wallet
	}
	return archive.KeyWallet(p.Key)
}

func (p *Publisher) logger() *slog.Logger {
	if p.Log != nil {
		return p.Log
	}
	return slog.New(slog.DiscardHandler)
}
