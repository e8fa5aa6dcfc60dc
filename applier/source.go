package applier

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
)

// Archive is where records are read from: archive.Multi.
type Archive interface {
	Find(ctx context.Context, q archive.Query) ([]archive.Ref, error)
	FindGenesis(ctx context.Context, db action.Digest) ([]archive.Ref, error)
	Fetch(ctx context.Context, ref archive.Ref) (archive.Record, error)
	Watch(ctx context.Context, db action.Digest, ready func(), found func(archive.Ref)) error
	Name() string
}

// source brings the records of one writer, verified and in the order of the
// chain.
type source struct {
	archive Archive
	db      action.Digest
	writer  action.Writer
	at      cursor
	out     chan<- opened
	feed    *feed
	// toEnd: stop when the archives hold no later record, instead of waiting.
	toEnd bool
	log   *slog.Logger

	known  map[uint64][]archive.Ref
	forged doubts
	hole   Hole
}

// ErrUnknown: a record is signed and in its place, and this pgbridge cannot
// read it.
var ErrUnknown = errors.New("this pgbridge cannot apply it: update it")

const (
	pollFed   = 30 * time.Second // while a feed pushes
	pollUnfed = 2 * time.Second
	// prefetch is how many records are fetched and unpacked ahead of the one
	// that is applied.
	prefetch = 3
)

// run delivers records until ctx ends, or, to the end, until there are no more.
func (s *source) run(ctx context.Context) error {
	defer close(s.out)
	for {
		n, err := s.round(ctx)
		if err != nil {
			return err
		}
		if n > 0 {
			continue
		}
		if s.toEnd && s.forged.wait(ctx, s.at.next()) {
			continue
		}
		if s.toEnd {
			return s.end(ctx)
		}
		if err := s.wait(ctx); err != nil {
			return err
		}
	}
}

// round delivers what follows without a gap of what is known, and tells how
// many records that were.
func (s *source) round(ctx context.Context) (int, error) {
	s.take(s.feed.refs())
	if s.known[s.at.next()] == nil {
		if err := s.find(ctx, s.at.next()); err != nil {
			return 0, err
		}
	}
	var next []uint64
	for seq := s.at.next(); s.known[seq] != nil; seq++ {
		next = append(next, seq)
	}
	if len(next) == 0 {
		return 0, s.noteHole(ctx)
	}
	s.hole = Hole{}
	s.forged.forget(s.at.next())
	return len(next), s.deliver(ctx, next)
}

// find asks for the window that begins at first.
func (s *source) find(ctx context.Context, first uint64) error {
	refs, err := s.archive.Find(ctx, archive.Query{DB: s.db, Writer: s.writer, Epoch: s.at.epoch, First: first, Last: first + archive.MaxWindow - 1})
	if err != nil {
		if ctx.Err() != nil || s.toEnd {
			return fmt.Errorf("find records from %d on: %w", first, err)
		}
		s.log.Warn("archive not reachable", "archive", s.archive.Name(), "error", err) // status shows it; the next round asks again
		return nil
	}
	s.take(refs)
	return nil
}

// take remembers where records are said to be.
func (s *source) take(refs []archive.Ref) {
	for _, r := range refs {
		if r.DB != s.db || r.Writer != s.writer || r.Epoch != s.at.epoch || !r.Type.Chained() || r.Seq < s.at.next() || len(s.known) > 100*archive.MaxWindow {
			continue
		}
		if s.forged.has(r.ID) || slices.Contains(s.known[r.Seq], r) {
			continue
		}
		s.known[r.Seq] = append(s.known[r.Seq], r)
	}
}

// fetched is what came of fetching a record.
type fetched struct {
	record opened
	err    error
}

// deliver fetches records a few ahead and hands them on in order: those before
// one that cannot be had are delivered.
func (s *source) deliver(ctx context.Context, seqs []uint64) error {
	group, gctx := errgroup.WithContext(ctx)
	ahead := make(chan chan fetched, prefetch)
	group.Go(func() error {
		defer close(ahead)
		for _, seq := range seqs {
			slot := make(chan fetched, 1)
			select {
			case ahead <- slot:
			case <-gctx.Done():
				return gctx.Err()
			}
			refs := s.known[seq]
			group.Go(func() error {
				r, err := s.fetch(gctx, refs)
				slot <- fetched{r, err}
				return nil
			})
		}
		return nil
	})
	group.Go(func() error { return s.pass(gctx, ahead) })
	err := group.Wait()
	for _, seq := range seqs {
		delete(s.known, seq)
	}
	if ctx.Err() != nil || err == nil || !s.later(err) {
		return err
	}
	s.log.Warn("record not to be had yet", "error", err)
	if errors.Is(err, archive.ErrForged) {
		return nil // not asked for again for a while: look for another copy at once
	}
	return s.wait(ctx)
}

// later tells whether a record that could not be fetched is to be asked for
// again: the index was ahead of its data, an item was forged, or an archive
// could not be reached. To the end, only forged items are passed over.
func (s *source) later(err error) bool {
	var fork *ForkError
	if errors.As(err, &fork) || errors.Is(err, ErrUnknown) {
		return false
	}
	return !s.toEnd || errors.Is(err, archive.ErrForged)
}

// pass hands the fetched records on, each checked against the one before.
func (s *source) pass(ctx context.Context, ahead <-chan chan fetched) error {
	for slot := range ahead {
		var r fetched
		select {
		case r = <-slot:
		case <-ctx.Done():
			return ctx.Err()
		}
		if r.err != nil {
			return r.err
		}
		if err := s.at.advance(&r.record.Record); err != nil {
			return err
		}
		select {
		case s.out <- r.record:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// fetch gets one record and unpacks it. Where items claim two different
// records for its place, both are looked at: two that open are a fork.
func (s *source) fetch(ctx context.Context, refs []archive.Ref) (opened, error) {
	var found opened
	var failed error
	tried := map[action.Digest]bool{}
	for _, ref := range refs {
		if tried[ref.Digest] {
			continue
		}
		tried[ref.Digest] = true
		record, err := s.archive.Fetch(ctx, ref)
		switch {
		case errors.Is(err, archive.ErrForged):
			s.forged.add(ref.ID, ref.Seq)
			failed = err
		case err != nil:
			failed = err
		case found.Bytes == nil:
			found.Record = record
		case found.Digest != record.Digest:
			return opened{}, &ForkError{s.writer, record.Header.Epoch, record.Header.Seq, found.Digest, record.Digest}
		}
	}
	if found.Bytes == nil {
		return opened{}, failed
	}
	if t := found.Header.Type; t != archive.TypeActions {
		return opened{}, fmt.Errorf("%w: record %d is of type %s", ErrUnknown, found.Header.Seq, t)
	}
	body, err := found.Body(nil)
	if err != nil {
		return opened{}, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	found.body = body
	return found, nil
}

// wait sleeps until the feed has something or it is time to ask.
func (s *source) wait(ctx context.Context) error {
	poll := pollUnfed
	if s.feed.alive() {
		poll = pollFed
	}
	timer := time.NewTimer(poll)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	case <-s.feed.wake:
	}
	return nil
}
