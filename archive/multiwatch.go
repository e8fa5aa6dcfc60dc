package archive

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/pgbridge/pgbridge/action"
)

// Watch watches all members that can push, until ctx ends: a feed that breaks
// is asked for again. So ready is called for each feed and again each time that
// one comes back; what arrived in between is not pushed: Find it then. found
// may see an item more than once. Neither is called twice at a time. Without a
// member that pushes it returns ErrNoFeed at once.
func (m *Multi) Watch(ctx context.Context, db action.Digest, ready func(), found func(Ref)) error {
	var one sync.Mutex
	feed := feed{
		multi: m,
		db:    db,
		ready: func() { one.Lock(); defer one.Unlock(); ready() },
		found: func(r Ref) { one.Lock(); defer one.Unlock(); found(r) },
	}
	var running sync.WaitGroup
	feeds := 0
	for _, f := range m.members() {
		if w, ok := f.(Watcher); ok {
			feeds++
			running.Go(func() { feed.keep(ctx, w, f.Name()) })
		}
	}
	running.Wait()
	if feeds == 0 {
		return ErrNoFeed
	}
	return context.Cause(ctx)
}

type feed struct {
	multi *Multi
	db    action.Digest
	ready func()
	found func(Ref)
}

// keep watches w again and again until ctx ends.
func (f *feed) keep(ctx context.Context, w Watcher, name string) {
	again := f.multi.Rejoin
	again.First = orDefault(again.First, time.Second)
	again.Longest = orDefault(again.Longest, time.Minute)
	again.Elapsed = math.MaxInt64
	p := again.begin()
	for {
		err := w.Watch(ctx, f.db, func() { p = again.begin(); f.ready() }, f.found)
		if ctx.Err() == nil {
			f.multi.log().Warn("the feed of an archive broke, asking for it again", "archive", name, "error", err)
		}
		if p.wait(ctx, 0) != nil {
			return
		}
	}
}
