package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgbridge/pgbridge/archive"
)

// deliver brings items to archives.
type deliver struct {
	to    []archive.Putter
	again bool // the items may have been brought there before
	log   *slog.Logger
}

// pauses before an archive that failed is tried again: its client has retried
// what looked transient already, and all the while the source keeps old rows.
var pauses = []time.Duration{time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second}

// all returns when every archive has promised to keep the item, or when one will
// not be brought to.
func (d deliver) all(ctx context.Context, id string, item []byte) error {
	if len(d.to) == 1 {
		return d.one(ctx, d.to[0], id, item)
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, a := range d.to {
		group.Go(func() error { return d.one(ctx, a, id, item) })
	}
	return group.Wait()
}

func (d deliver) one(ctx context.Context, to archive.Putter, id string, item []byte) error {
	for attempt := 0; ; attempt++ {
		err := d.try(ctx, to, id, item, attempt)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil, errors.Is(err, archive.ErrRejected), errors.Is(err, archive.ErrFunds), attempt == len(pauses):
			return fmt.Errorf("%s: %w", to.Name(), err)
		}
		d.log.Warn("not delivered, trying again", "archive", to.Name(), "item", id, "error", err)
		if err := pause(ctx, pauses[attempt]); err != nil {
			return err
		}
	}
}

// try puts the item once. What was tried before, or may be there, is asked for
// first: posting it again may be paid for again.
func (d deliver) try(ctx context.Context, to archive.Putter, id string, item []byte, attempt int) error {
	if (attempt > 0 || d.again) && has(ctx, to, id) {
		return nil
	}
	_, err := to.Put(ctx, item)
	if errors.Is(err, archive.ErrMaybe) && has(ctx, to, id) {
		return nil
	}
	return err
}

func has(ctx context.Context, a archive.Putter, id string) bool {
	state, err := a.Status(ctx, id)
	return err == nil && state >= archive.Accepted
}
