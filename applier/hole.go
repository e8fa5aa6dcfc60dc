package applier

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
)

// Hole: records are missing that later ones prove to exist.
type Hole struct {
	Writer      action.Writer
	Epoch       uint32
	First, Last uint64 // missing; zero: no hole
	Archive     string // where it was looked for
}

func (h *Hole) Error() string {
	return fmt.Sprintf("the archive has a hole: writer %s epoch %d records %d to %d are missing (asked: %s); give an archive that has them with --archive",
		h.Writer, h.Epoch, h.First, h.Last, h.Archive)
}

// noteHole looks whether a later record proves that the next one is missing.
// What an index says of it is no proof: anyone can post an item with its tags.
func (s *source) noteHole(ctx context.Context) error {
	for len(s.known) > 0 {
		last := slices.Min(slices.Collect(maps.Keys(s.known)))
		_, err := s.fetch(ctx, s.known[last])
		if errors.Is(err, archive.ErrForged) || errors.Is(err, archive.ErrNotFound) {
			delete(s.known, last)
			continue
		}
		if err != nil && ctx.Err() == nil && s.later(err) {
			s.log.Warn("record not to be had yet", "error", err)
			return nil
		}
		if err != nil {
			return err
		}
		if first := s.at.next(); s.hole.First != first {
			s.hole = Hole{Writer: s.writer, Epoch: s.at.epoch, First: first, Last: last - 1, Archive: s.archive.Name()}
			s.log.Warn("records are missing", "writer", s.writer, "epoch", s.at.epoch, "first", first, "last", last-1)
		}
		return nil
	}
	s.hole = Hole{}
	return nil
}

// end tells whether the chain really ends here: a hole wider than a window
// would look like the end.
func (s *source) end(ctx context.Context) error {
	for ahead := range archive.Ahead() {
		if err := s.find(ctx, s.at.next()+ahead); err != nil {
			return err
		}
	}
	if err := s.noteHole(ctx); err != nil {
		return err
	}
	if s.hole.First > 0 {
		return &s.hole
	}
	return nil
}
