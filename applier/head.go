package applier

import (
	"context"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
)

// Head asks the index how far the chain of a writer goes beyond from: the
// highest number it knows, or from itself. It is hearsay, for progress bars and
// lag: nothing is fetched and nothing is proved.
func Head(ctx context.Context, a Archive, db action.Digest, w action.Writer, epoch uint32, from uint64) (uint64, error) {
	window := func(first uint64) (uint64, error) {
		refs, err := a.Find(ctx, archive.Query{DB: db, Writer: w, Epoch: epoch, First: first, Last: first + archive.MaxWindow - 1})
		last := uint64(0)
		for _, r := range refs {
			if r.Seq >= first && r.Seq < first+archive.MaxWindow {
				last = max(last, r.Seq)
			}
		}
		return last, err
	}
	// Gallop to a window that is empty, then halve between the last that was
	// not and the first that was.
	head, full, empty := from, uint64(0), uint64(1)
	for {
		last, err := window(from + 1 + (empty-1)*archive.MaxWindow)
		if err != nil {
			return 0, err
		}
		if last == 0 {
			break
		}
		head, full, empty = last, empty, empty*2
	}
	for empty-full > 1 {
		middle := (full + empty) / 2
		last, err := window(from + 1 + (middle-1)*archive.MaxWindow)
		if err != nil {
			return 0, err
		}
		if last == 0 {
			empty = middle
			continue
		}
		head, full = max(head, last), middle
	}
	return head, nil
}
