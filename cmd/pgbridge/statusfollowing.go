package main

import (
	"context"
	"time"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/applier"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/postgres"
)

// following is how far the chain of one writer is applied.
type following struct {
	Writer       action.Writer `json:"writer"`
	Epoch        uint32        `json:"epoch"`
	Seq          uint64        `json:"seq"`      // of the last record of which something was applied
	Complete     bool          `json:"complete"` // all of it
	At           *time.Time    `json:"at"`       // commit, at the writer, of the last transaction; nil: none yet
	AppliedAt    time.Time     `json:"applied_at"`
	Head         *uint64       `json:"head"`
	ArchiveError string        `json:"archive_error,omitempty"`
	LagRecords   *uint64       `json:"lag_records"`
	LagSeconds   *float64      `json:"lag_seconds"`
	Holes        []span        `json:"holes,omitempty"`
}

// span is a range of records, both ends in it.
type span struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// headTime bounds how long the archives may take to say what they have.
const headTime = 10 * time.Second

// follow adds what the archives say to the progress of a writer.
func (s *status) follow(ctx context.Context, from *archive.Multi, p postgres.Progress) {
	f := following{Writer: p.Writer, Epoch: p.Epoch, Seq: p.Seq, Complete: p.Complete, At: momentOf(p.Clock), AppliedAt: p.AppliedAt}
	if !s.noArchive && s.DB != "" {
		ctx, cancel := context.WithTimeout(ctx, headTime)
		defer cancel()
		if err := f.compare(ctx, from, s); err != nil {
			f.ArchiveError = err.Error()
		}
	}
	s.Follows = append(s.Follows, f)
}

// compare asks the archives' index for what is not applied yet. It is hearsay:
// nothing of it is proven before the record is read.
func (f *following) compare(ctx context.Context, from *archive.Multi, s *status) error {
	db, err := action.ParseDigest(s.DB)
	if err != nil {
		return err
	}
	head, err := applier.Head(ctx, from, db, f.Writer, f.Epoch, f.Seq)
	if err != nil {
		return err
	}
	first := f.Seq + 1
	if !f.Complete {
		first = f.Seq
	}
	lag := head + 1 - first
	f.Head, f.LagRecords, f.LagSeconds = &head, &lag, f.behind(lag, s.now)
	if lag == 0 {
		return nil
	}
	last := min(head, first+archive.MaxWindow-1)
	refs, err := from.Find(ctx, archive.Query{DB: db, Writer: f.Writer, Epoch: f.Epoch, First: first, Last: last})
	if err != nil {
		return err
	}
	known := map[uint64]bool{}
	for _, r := range refs {
		known[r.Seq] = true
	}
	f.Holes = holes(known, first, last)
	return nil
}

// behind is how old the last transaction is, while there are later ones.
func (f *following) behind(lag uint64, now time.Time) *float64 {
	seconds := 0.0
	switch {
	case lag == 0:
	case f.At == nil:
		return nil
	default:
		seconds = max(now.Sub(*f.At).Seconds(), 0)
	}
	return &seconds
}

// momentOf is nil for the clock before the first transaction.
func momentOf(c action.Clock) *time.Time {
	if c == (action.Clock{}) {
		return nil
	}
	t := c.Time()
	return &t
}

// holes are the ranges of first to last that are not known.
func holes(known map[uint64]bool, first, last uint64) (all []span) {
	for seq := first; seq <= last; seq++ {
		n := len(all)
		switch {
		case known[seq]:
		case n > 0 && all[n-1].Last == seq-1:
			all[n-1].Last = seq
		default:
			all = append(all, span{seq, seq})
		}
	}
	return all
}

// judge finds what is wrong.
func (f *following) judge(s *status) {
	switch {
	case f.ArchiveError != "":
		s.passing("the archives cannot be asked: %s", f.ArchiveError)
	case len(f.Holes) > 0:
		s.passing("records %d to %d of writer %s are not in the archives that were asked", f.Holes[0].First, f.Holes[0].Last, f.Writer)
	}
}
