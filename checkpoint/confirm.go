package checkpoint

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
)

const (
	// maxWindows bounds how far after a checkpoint's head its mark is looked for.
	maxWindows = 1000
	// maxUntagged is how many records are read whole where no tag helps: an item
	// has not room for any number of names.
	maxUntagged = 20
)

// Confirm looks in the owner's chain for the mark that names the checkpoint, and
// returns nil if it is there, ErrUnconfirmed if it is not or names another. What
// the tags say is a hint; the mark is in the body of a record that the owner
// signed.
func (f *Finder) Confirm(ctx context.Context, c *Checkpoint) error {
	q := archive.Query{DB: f.DB, Writer: f.Owner, Epoch: c.Head.Epoch, Action: action.NewMark().Action()}
	read := map[uint64]bool{}
	first := c.Head.Seq + 1
	for range maxWindows {
		if first > f.Head {
			break
		}
		q.First, q.Last = first, min(first+archive.MaxWindow-1, f.Head)
		found, err := f.look(ctx, q, c, read)
		if found || err != nil {
			return err
		}
		first = q.Last + 1
	}
	q.Action, q.First, q.Last = "", c.Head.Seq+1, min(c.Head.Seq+maxUntagged, f.Head)
	if q.First <= q.Last {
		if found, err := f.look(ctx, q, c, read); found || err != nil {
			return err
		}
	}
	return fmt.Errorf("checkpoint %d: %w", c.Number, ErrUnconfirmed)
}

// look reads the records of a window that were not read yet.
func (f *Finder) look(ctx context.Context, q archive.Query, c *Checkpoint, read map[uint64]bool) (found bool, err error) {
	refs, err := f.Archive.Find(ctx, q)
	if err != nil {
		return false, fmt.Errorf("find the mark of checkpoint %d: %w", c.Number, err)
	}
	slices.SortFunc(refs, func(a, b archive.Ref) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, ref := range refs {
		if read[ref.Seq] || ref.Seq < q.First || ref.Seq > q.Last || !ref.Type.Chained() {
			continue
		}
		record, err := f.Archive.Fetch(ctx, ref)
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		if err != nil {
			f.log().Warn("a record could not be looked at for the mark of a checkpoint", "checkpoint", c.Number, "record", ref.Seq, "error", err)
			continue
		}
		read[ref.Seq] = true
		if found, err := marks(&record, c); found || err != nil {
			return found, err
		}
	}
	return false, nil
}

// marks tells whether the record names the checkpoint.
func marks(r *archive.Record, c *Checkpoint) (bool, error) {
	if r.Header.Type != archive.TypeActions {
		return false, nil
	}
	body, err := r.Body(nil)
	if err != nil {
		return false, err
	}
	reader := action.NewReader(body)
	for reader.Tx() {
		for reader.Action() {
			if reader.Shape().Op != action.Mark {
				continue
			}
			for reader.Row() {
				number, _ := reader.Values()[0].Text()
				digest, _ := reader.Values()[1].Text()
				if number != strconv.FormatUint(c.Number, 10) {
					continue
				}
				if digest != c.Digest.String() {
					return false, fmt.Errorf("checkpoint %d: %w: it names another, %s", c.Number, ErrUnconfirmed, digest)
				}
				return true, nil
			}
		}
	}
	return false, reader.Err()
}
