package applier

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
)

// feed collects what the archives push for one writer. What it loses or never
// gets is found by asking.
type feed struct {
	wake chan struct{}

	mu     sync.Mutex
	pushed []archive.Ref
	up     atomic.Bool
}

// maxPushed bounds what is kept of a feed that is faster than its reader.
const maxPushed = 1000

func newFeed() *feed { return &feed{wake: make(chan struct{}, 1)} }

// run listens until ctx ends. Without an archive that pushes it returns nil:
// then the reader polls.
func (f *feed) run(ctx context.Context, from Archive, db action.Digest, writer action.Writer) error {
	err := from.Watch(ctx, db, func() {
		f.up.Store(true)
		f.poke() // what came before the feed was up is not in it
	}, func(r archive.Ref) {
		if r.Writer == writer {
			f.push(r)
		}
	})
	if errors.Is(err, archive.ErrNoFeed) {
		return nil
	}
	return err
}

func (f *feed) push(r archive.Ref) {
	f.mu.Lock()
	if len(f.pushed) < maxPushed {
		f.pushed = append(f.pushed, r)
	}
	f.mu.Unlock()
	f.poke()
}

func (f *feed) poke() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// refs takes what was pushed.
func (f *feed) refs() []archive.Ref {
	f.mu.Lock()
	defer f.mu.Unlock()
	refs := f.pushed
	f.pushed = nil
	return refs
}

func (f *feed) alive() bool { return f.up.Load() }
