package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/sql"
)

// Verify reads everything that archives hold of a database: each archive by
// itself and all together. It needs no database. Memory is bounded, whatever the
// length of the chain: a few records at a time.
type Verify struct {
	Archives []Archive
	DB       action.Digest
	// Workers fetch and read records at the same time. Two for each processor if
	// zero, and four at most.
	Workers int
	// Repair copies what one archive lacks, or has damaged, from another.
	Repair *Repair
	// Progress is told how far the chain was read. It may be nil.
	Progress func(Report)
	Log      *slog.Logger // nil discards
}

// verifying is one run of Verify.
type verifying struct {
	*Verify
	desk
	report  *Report
	genesis sql.Genesis
	owner   series
	named   []mark // checkpoints that the chain names
	broken  bool   // something is amiss up to here: complete moves no more
}

// Run verifies. What is amiss is in the report; an error says that it could not
// be made. Where some archives could not be read, the report is about the others
// and says so.
func (v *Verify) Run(ctx context.Context) (*Report, error) {
	if v.Log == nil {
		v.Log = slog.New(slog.DiscardHandler)
	}
	workers := v.Workers
	if workers == 0 {
		workers = min(4, 2*runtime.GOMAXPROCS(0))
	}
	run := &verifying{
		Verify: v, desk: desk{archives: v.Archives, failed: make([]error, len(v.Archives)), workers: workers},
		report: &Report{DB: v.DB, Faults: []Fault{}},
	}
	for i := range v.Archives {
		run.report.Archives = append(run.report.Archives, Holding{Archive: v.Archives[i].Name()})
	}
	err := run.all(ctx)
	for i, failed := range run.failed {
		if failed != nil {
			run.report.Archives[i].Error = failed.Error()
		}
	}
	return run.report, err
}

func (v *verifying) all(ctx context.Context) error {
	first, err := v.readGenesis(ctx)
	if err != nil {
		return err
	}
	if err := v.chain(ctx, first); err != nil {
		return err
	}
	return v.checkpoints(ctx)
}

// readGenesis looks for the genesis in every archive.
func (v *verifying) readGenesis(ctx context.Context) (head, error) {
	var found archive.Record
	var seen []sighting
	for i := range v.archives {
		refs, err := v.archives[i].Finder.FindGenesis(ctx, v.DB)
		if ctx.Err() != nil {
			return head{}, context.Cause(ctx)
		}
		v.failed[i] = err
		for _, ref := range distinct(refs) {
			record, err := v.archives[i].get(ctx, ref)
			if err == nil && record.Digest != v.DB {
				err = fmt.Errorf("%w: its digest is not the db-id", archive.ErrForged)
			}
			switch {
			case err == nil:
				found = record
			case v.unreadable(i, err):
				v.failed[i] = err
				continue
			}
			seen = append(seen, sighting{archive: i, ref: ref, header: record.Header, bytes: len(record.Bytes), err: err})
		}
	}
	if err := v.ready(); err != nil {
		return head{}, err
	}
	if found.Bytes == nil {
		v.report.add(Fault{Kind: Missing, Type: archive.TypeGenesis, Epoch: 1, First: 1, Last: 1, Detail: "nothing can be proven without it: check the db-id and --archive"})
		return head{}, errNoGenesis
	}
	genesis, err := openGenesis(&found)
	if err != nil {
		return head{}, fmt.Errorf("read genesis: %w", err)
	}
	h := &found.Header
	v.genesis, v.report.Name = genesis, genesis.Name
	v.owner = series{db: v.DB, writer: h.Writer, epoch: h.Epoch}
	all := v.judge(h.Seq, archive.TypeGenesis, seen)
	if err := v.settle(ctx, all); err != nil {
		return head{}, err
	}
	for i := range v.archives {
		v.hold(i, h.Seq, seen, all)
	}
	v.report.Complete = &Place{Epoch: h.Epoch, Seq: h.Seq, Digest: found.Digest, LSN: h.To}
	v.report.Head = h.Seq
	return head{digest: found.Digest, schema: genesis.SchemaDigest()}, nil
}

// errNoGenesis: the report says so already.
var errNoGenesis = errors.New("no archive has the genesis")

func openGenesis(r *archive.Record) (sql.Genesis, error) {
	body, err := r.Body(nil)
	if err != nil {
		return sql.Genesis{}, err
	}
	genesis, err := sql.ParseGenesis(body)
	if err == nil && genesis.Owner != r.Header.Writer {
		err = errors.New("signed by another key than its owner's")
	}
	return genesis, err
}

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
	good := map[action.Digest][]sighting{}
	var order []action.Digest
	for _, s := range seen {
		if s.err != nil {
			continue
		}
		if good[s.ref.Digest] == nil {
			order = append(order, s.ref.Digest)
		}
		twice := slices.ContainsFunc(good[s.ref.Digest], func(g sighting) bool { return g.archive == s.archive })
		good[s.ref.Digest] = append(good[s.ref.Digest], s)
		if !twice {
			v.count(kind, s)
		}
	}
	for _, digest := range order {
		for i := range v.archives {
			if v.failed[i] == nil && !slices.ContainsFunc(good[digest], func(s sighting) bool { return s.archive == i }) {
				l := lack{archive: i, digest: digest, from: good[digest]}
				l.fault = Fault{Kind: Missing, Type: kind, Epoch: v.owner.epoch, First: seq, Last: seq, Archive: v.archives[i].Name(), Has: v.names(good[digest])}
				l.look(seen)
				lacks = append(lacks, l)
			}
		}
	}
	for _, s := range seen {
		if s.err != nil && len(order) > 0 && good[s.ref.Digest] == nil {
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
