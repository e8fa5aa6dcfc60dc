package archive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pgbridge/pgbridge/action"
)

// Multi reads from any of several archives. What one does not have, another
// may; one that is down, slow or lying costs a delay and is logged. It is a
// Finder and a Watcher, and its methods may be called concurrently.
type Multi struct {
	// Members in the order in which to ask them: near before far. A Multi
	// among them counts as its members.
	Members []Finder
	// Grace is how long Get and Fetch wait for one member before they ask the
	// next one too, and how long Find waits for the others once one has
	// answered. 5 s if zero.
	Grace time.Duration
	// Rejoin are the pauses before a feed that broke is asked for again; its
	// Elapsed is not used.
	Rejoin Backoff
	// Log is told which member failed or lied, and how. Nil discards.
	Log *slog.Logger

	mu     sync.Mutex
	failed map[int]time.Time // by place among the members
}

// shunned is how long a member that failed is asked last and not waited for.
const shunned = time.Minute

// ErrNoFeed is returned by Multi.Watch when no member can push: poll.
var ErrNoFeed = errors.New("no archive that pushes")

// Name lists the members.
func (m *Multi) Name() string {
	var names []string
	for _, f := range m.members() {
		names = append(names, f.Name())
	}
	return strings.Join(names, ", ")
}

func (m *Multi) members() []Finder {
	var all []Finder
	for _, f := range m.Members {
		if inner, ok := f.(*Multi); ok {
			all = append(all, inner.members()...)
			continue
		}
		all = append(all, f)
	}
	return all
}

// Find asks all members at once and returns the union of what they know. It
// fails only when all do.
func (m *Multi) Find(ctx context.Context, q Query) ([]Ref, error) {
	return m.union(ctx, func(ctx context.Context, f Finder) ([]Ref, error) { return f.Find(ctx, q) })
}

// FindGenesis is Find for the genesis.
func (m *Multi) FindGenesis(ctx context.Context, db action.Digest) ([]Ref, error) {
	return m.union(ctx, func(ctx context.Context, f Finder) ([]Ref, error) { return f.FindGenesis(ctx, db) })
}

// Get asks one member after the other and returns the first answer, whatever
// it is. Fetch is the one that looks at it.
func (m *Multi) Get(ctx context.Context, id string) ([]byte, error) {
	return inTurn(ctx, m, func(ctx context.Context, f Finder) ([]byte, error) { return f.Get(ctx, id) })
}

// reply is what one member said.
type reply[T any] struct {
	member int
	value  T
	err    error
}

// union asks all members at once. It waits for those that did not fail of
// late, for Grace after the first good answer at most, and for the others only
// while there is no good answer.
func (m *Multi) union(ctx context.Context, ask func(context.Context, Finder) ([]Ref, error)) ([]Ref, error) {
	members := m.members()
	good, _ := m.order(len(members))
	ctx, cancel := context.WithCancel(ctx)
	replies := make(chan reply[[]Ref], len(members))
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	for i, f := range members {
		running.Go(func() {
			refs, err := ask(ctx, f)
			replies <- reply[[]Ref]{i, refs, err}
		})
	}
	var refs []Ref
	var errs []error
	var enough <-chan time.Time
	seen := map[Ref]bool{}
	for answered := 0; answered < len(members) && (len(good) > 0 || len(errs) == answered); answered++ {
		var r reply[[]Ref]
		select {
		case r = <-replies:
		case <-enough:
			for _, i := range good {
				m.note(ctx, i, members[i], errSlowMember)
			}
			return refs, nil
		}
		good = slices.DeleteFunc(good, func(i int) bool { return i == r.member })
		if m.note(ctx, r.member, members[r.member], r.err); r.err != nil {
			errs = append(errs, r.err)
			continue
		}
		if enough == nil {
			enough = time.After(m.grace())
		}
		for _, ref := range r.value {
			if !seen[ref] {
				seen[ref] = true
				refs = append(refs, ref)
			}
		}
	}
	if len(errs) == len(members) {
		return nil, failure(errs)
	}
	return refs, nil
}

var errSlowMember = errors.New("it did not answer in time")

// inTurn asks the members one after the other, the next when one fails or is
// slow, and returns the first answer without an error.
func inTurn[T any](ctx context.Context, m *Multi, ask func(context.Context, Finder) (T, error)) (none T, err error) {
	members := m.members()
	good, bad := m.order(len(members))
	order := append(good, bad...)
	ctx, cancel := context.WithCancel(ctx)
	replies := make(chan reply[T], len(order))
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	next := time.NewTimer(0)
	defer next.Stop()
	var errs []error
	for asked := 0; len(errs) < len(members); {
		select {
		case <-next.C:
			if asked == len(order) {
				continue
			}
			i := order[asked]
			asked++
			running.Go(func() {
				value, err := ask(ctx, members[i])
				replies <- reply[T]{i, value, err}
			})
			next.Reset(m.grace())
		case r := <-replies:
			if m.note(ctx, r.member, members[r.member], r.err); r.err == nil {
				return r.value, nil
			}
			errs = append(errs, r.err)
			next.Reset(0)
		}
	}
	return none, failure(errs)
}

// order is the places of the members, those that failed of late apart.
func (m *Multi) order(members int) (good, bad []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range members {
		if at, ok := m.failed[i]; ok && time.Since(at) < shunned {
			bad = append(bad, i)
			continue
		}
		good = append(good, i)
	}
	return good, bad
}

// note keeps in mind how a member did. That it does not have an item is no
// fault, and neither is that it serves what a stranger posted, or what a
// cancelled question ends with.
func (m *Multi) note(ctx context.Context, i int, f Finder, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case err == nil:
		delete(m.failed, i)
		return
	case errors.Is(err, ErrForged):
		m.log().Warn("an item is not what it claims to be", "archive", f.Name(), "error", err)
		return
	case errors.Is(err, ErrNotFound) || ctx.Err() != nil:
		return
	}
	if m.failed == nil {
		m.failed = map[int]time.Time{}
	}
	m.failed[i] = time.Now()
	m.log().Warn("an archive could not be used", "archive", f.Name(), "error", err)
}

func (m *Multi) grace() time.Duration { return orDefault(m.Grace, 5*time.Second) }

func (m *Multi) log() *slog.Logger {
	if m.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return m.Log
}

// failure is what the members' errors come to. ErrNotFound, or else ErrForged,
// it is only if no member could have said otherwise.
func failure(errs []error) error {
	var forged, others []error
	for _, err := range errs {
		switch {
		case errors.Is(err, ErrNotFound):
		case errors.Is(err, ErrForged):
			forged = append(forged, err)
		default:
			others = append(others, err)
		}
	}
	switch {
	case len(errs) == 0:
		return errors.New("no archive to read from is configured")
	case len(others) > 0:
		return errors.Join(others...)
	case len(forged) > 0:
		return errors.Join(forged...)
	}
	return fmt.Errorf("asked %d archives: %w", len(errs), ErrNotFound)
}
