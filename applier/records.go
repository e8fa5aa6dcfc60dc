package applier

import (
	"context"
	"iter"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/pgbridge/pgbridge/archive"
)

// Entry is a verified record with its body unpacked.
type Entry struct {
	archive.Record
	Text []byte // the body
}

// Records yields the records of the chain that genesis begins, in order, up to
// the last that the archives hold: each signed by the chain's writer and
// followed by the next without a gap. The genesis, which is proven already, is
// not among them. It looks a few records ahead, and no further.
//
// An error is the last thing it yields: a *Hole, a *ForkError, ErrUnknown, or
// an archive that cannot be read. Items that are not what they claim to be are
// logged and passed over.
func Records(ctx context.Context, from Archive, genesis *archive.Record, log *slog.Logger) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		s := sourceAfter(from, genesis, log)
		s.toEnd = true
		s.entries(ctx, yield)
	}
}

// Follow is Records that does not end at the last record: it waits for the next
// one, until ctx ends. It waits also where Records ends with a *Hole, or with an
// archive that cannot be read; that is logged.
func Follow(ctx context.Context, from Archive, genesis *archive.Record, log *slog.Logger) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) { sourceAfter(from, genesis, log).entries(ctx, yield) }
}

func sourceAfter(from Archive, genesis *archive.Record, log *slog.Logger) *source {
	h := &genesis.Header
	return &source{
		archive: from, db: genesis.DB(), writer: h.Writer, at: cursor{epoch: h.Epoch, seq: h.Seq, digest: genesis.Digest},
		feed: newFeed(), log: log, known: map[uint64][]archive.Ref{},
	}
}

// entries runs the source, once.
func (s *source) entries(ctx context.Context, yield func(Entry, error) bool) {
	ctx, cancel := context.WithCancel(ctx)
	group, gctx := errgroup.WithContext(ctx)
	records := make(chan opened)
	s.out = records
	group.Go(func() error { return s.run(gctx) })
	if !s.toEnd {
		group.Go(func() error { return s.feed.run(gctx, s.archive, s.db, s.writer) })
	}
	defer func() {
		cancel()
		for range records { // until the source has ended
		}
		_ = group.Wait() // what ended it is yielded, or nobody asks any more
	}()
	for r := range records {
		if !yield(Entry{r.Record, r.body}, nil) {
			return
		}
	}
	if err := group.Wait(); err != nil {
		yield(Entry{}, err)
	}
}
