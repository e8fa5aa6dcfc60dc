package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
)

// chain walks the chain of the owner from its genesis to the last record that any
// archive has.
func (v *verifying) chain(ctx context.Context, from head) error {
	w := &walk{verifying: v, heads: []head{from}, at: v.report.Head, passed: map[uint64][]sighting{}}
	beyond := uint64(0) // a record that opens, after numbers that nothing is at
	for first := w.at + 1; ; first += archive.MaxWindow {
		found, err := look(ctx, v.desk, v.owner.window(first), readTrace)
		if err != nil {
			return err
		}
		if found.last == 0 && beyond < first {
			if beyond, err = v.beyond(ctx, first); err != nil {
				return err
			}
			if beyond == 0 {
				return nil
			}
		}
		if err := w.window(ctx, first, found); err != nil {
			return err
		}
		if v.Progress != nil {
			v.Progress(*v.report)
		}
	}
}

// beyond looks for a record after numbers that nothing is at: a hole that is wider
// than a window would look like the end.
func (v *verifying) beyond(ctx context.Context, first uint64) (uint64, error) {
	for ahead := range archive.Ahead() {
		found, err := look(ctx, v.desk, v.owner.window(first+ahead), readTrace)
		if err != nil || found.last > 0 {
			return found.last, err
		}
	}
	return 0, nil
}

// walk is how far the chain was followed.
type walk struct {
	*verifying
	heads []head // of the records at at, those that the next may follow: one, unless the chain forks
	at    uint64 // the last number that a record was at
	// passed is what is listed for numbers after at, for which nothing opens: up
	// to maxPassed of them.
	passed map[uint64][]sighting
}

// maxPassed bounds what is remembered of the items that are in a hole.
const maxPassed = 10_000

// window goes through the numbers of one window.
func (w *walk) window(ctx context.Context, first uint64, found *window[trace]) error {
	var lacks []lack
	for seq := first; seq < first+archive.MaxWindow; seq++ {
		seen := found.at[seq]
		if !slices.ContainsFunc(seen, func(s sighting) bool { return s.err == nil }) {
			if len(seen) > 0 && len(w.passed) < maxPassed {
				w.passed[seq] = seen
			}
			continue
		}
		w.holes(seq)
		lacks = append(lacks, w.judge(seq, archive.TypeActions, seen)...)
		w.step(seq, seen, found.contents)
	}
	if err := w.settle(ctx, lacks); err != nil {
		return err
	}
	for seq := first; seq < first+archive.MaxWindow; seq++ {
		for i := range w.archives {
			w.hold(i, seq, found.at[seq], lacks)
		}
	}
	return nil
}

// holes reports the numbers before seq that nothing opened for, now that the
// record at seq proves that there were records.
func (w *walk) holes(seq uint64) {
	for missing := w.at + 1; missing < seq; missing++ {
		w.broken, w.heads = true, nil // what is missing could hold anything
		f := Fault{Kind: Missing, Type: archive.TypeActions, Epoch: w.owner.epoch, First: missing, Last: missing}
		for _, s := range w.passed[missing] {
			if errors.Is(s.err, archive.ErrNotFound) {
				continue
			}
			f.Kind, f.Archive, f.Detail = Damaged, w.archives[s.archive].Name(), s.err.Error()
			w.report.add(f)
		}
		if f.Kind == Missing {
			w.report.add(f)
		}
	}
	clear(w.passed)
}

// step goes on with the records at seq, which is the next that there are any at.
func (w *walk) step(seq uint64, seen []sighting, contents map[action.Digest]content[trace]) {
	digests := opened(seen)
	var next []head
	for _, digest := range digests {
		good := of(seen, digest)
		fault := func(kind Kind, text string, args ...any) {
			w.broken = true
			w.report.add(Fault{
				Kind: kind, Type: archive.TypeActions, Epoch: w.owner.epoch, First: seq, Last: seq, Has: w.names(good), Detail: fmt.Sprintf(text, args...),
			})
		}
		if len(digests) > 1 {
			fault(Forked, "record %s is one of %d", digest, len(digests))
		}
		body := contents[digest]
		next = append(next, w.follow(&good[0].header, digest, &body, fault))
		w.named = append(w.named, body.value.marks...)
	}
	w.heads, w.at, w.report.Head = next, seq, seq
	if !w.broken {
		header, body := of(seen, digests[0])[0].header, contents[digests[0]].value
		at := action.Clock{Micros: body.last.At}.Time()
		w.report.Complete = &Place{Epoch: header.Epoch, Seq: seq, Digest: digests[0], LSN: header.To, At: at, Torn: body.more}
	}
}

// follow is the head that a record is, after the one that it names. What is amiss
// is told to fault.
func (w *walk) follow(header *archive.Header, digest action.Digest, body *content[trace], fault func(Kind, string, ...any)) head {
	if body.err != nil {
		fault(Unreadable, "%v", body.err)
	}
	before, ok := w.before(header.Prev)
	if !ok {
		fault(Unlinked, "it follows %s, record %d is %s", header.Prev, header.Seq-1, w.heads[0].digest)
	}
	if before == nil || before.unknown || body.err != nil {
		before = begin(header, &body.value)
	}
	next, err := before.follow(header, digest, &body.value)
	if err != nil {
		fault(Unreadable, "%v", err)
	}
	next.unknown = body.err != nil
	return next
}

// before is the head that has the digest prev. It is nil after a hole, where
// nothing is known of the record before.
func (w *walk) before(prev action.Digest) (h *head, ok bool) {
	if len(w.heads) == 0 {
		return nil, true
	}
	for i := range w.heads {
		if w.heads[i].digest == prev {
			return &w.heads[i], true
		}
	}
	return nil, false
}
