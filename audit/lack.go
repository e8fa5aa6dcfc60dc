package audit

import (
	"context"
	"errors"
	"slices"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
)

// lack is one record that one archive does not have whole.
type lack struct {
	archive int
	digest  action.Digest
	fault   Fault
	damaged string     // the id of the item that it has instead
	from    []sighting // where it is whole
	healed  bool       // it was copied from there
}

// judge counts what each archive has of one number, and returns what an archive
// lacks that another has.
func (v *verifying) judge(seq uint64, kind archive.Type, seen []sighting) (lacks []lack) {
	digests := opened(seen)
	for _, digest := range digests {
		good := of(seen, digest)
		for i := range v.archives {
			at := slices.IndexFunc(good, func(s sighting) bool { return s.archive == i })
			if at >= 0 {
				v.count(kind, good[at])
				continue
			}
			if v.failed[i] != nil {
				continue
			}
			l := lack{archive: i, digest: digest, from: good}
			l.fault = Fault{Kind: Missing, Type: kind, Epoch: v.owner.epoch, First: seq, Last: seq, Archive: v.archives[i].Name(), Has: v.names(good)}
			l.look(seen)
			lacks = append(lacks, l)
		}
	}
	for _, s := range seen {
		if s.err != nil && len(digests) > 0 && !slices.Contains(digests, s.ref.Digest) {
			v.report.Strangers++
		}
	}
	return lacks
}

// look finds what the archive has instead of the record.
func (l *lack) look(seen []sighting) {
	for _, s := range seen {
		if s.archive == l.archive && s.ref.Digest == l.digest && s.err != nil {
			l.fault.Detail = s.err.Error()
			if !errors.Is(s.err, archive.ErrNotFound) {
				l.fault.Kind = Damaged
			}
			if errors.Is(s.err, archive.ErrForged) {
				l.damaged = s.ref.ID
			}
			return
		}
	}
}

// hold moves what an archive has without a gap.
func (v *verifying) hold(i int, seq uint64, seen []sighting, lacks []lack) {
	has := slices.ContainsFunc(seen, func(s sighting) bool { return s.archive == i && s.err == nil })
	healed := slices.ContainsFunc(lacks, func(l lack) bool { return l.archive == i && l.fault.First == seq && l.healed })
	if h := &v.report.Archives[i]; (has || healed) && h.Complete == seq-1 {
		h.Complete = seq
	}
}

func (v *verifying) count(kind archive.Type, s sighting) {
	h := &v.report.Archives[s.archive]
	switch kind {
	case archive.TypeChunk:
		h.Chunks++
	case archive.TypeCheckpoint:
	default:
		h.Records++
	}
	h.Bytes += int64(s.bytes)
	v.report.Records++
	v.report.Bytes += int64(s.bytes)
}

// names are the archives of sightings, each once.
func (v *verifying) names(seen []sighting) (names []string) {
	for _, s := range seen {
		if name := v.archives[s.archive].Name(); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// settle repairs what is lacking, if it may, and reports the rest.
func (v *verifying) settle(ctx context.Context, lacks []lack) error {
	if v.Repair != nil {
		if err := v.repair(ctx, lacks); err != nil {
			return err
		}
	}
	for i := range lacks {
		if l := &lacks[i]; !l.healed {
			v.report.add(l.fault)
		}
	}
	return nil
}
