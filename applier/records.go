package applier

import (
	"context"
	"iter"
	"log/slog"

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
		ctx, cancel := context.WithCancel(ctx)
		records, ended := make(chan opened), make(chan error, 1)
		defer func() {
			cancel()
			for range records { // until the source has ended
			}
		}()
		h := &genesis.Header
		s := &source{
			archive: from, db: genesis.DB(), writer: h.Writer, at: cursor{epoch: h.Epoch, seq: h.Seq, digest: genesis.Digest},
			out: records, feed: newFeed(), toEnd: true, log: log, known: map[uint64][]archive.Ref{},
		}
		go func() { ended <- s.run(ctx) }()
		for r := range records {
			if !yield(Entry{r.Record, r.body}, nil) {
				return
			}
		}
		if err := <-ended; err != nil {
			yield(Entry{}, err)
		}
	}
}
