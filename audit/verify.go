package audit

import (
	"context"
	"errors"
	"log/slog"
	"runtime"

	"github.com/pgbridge/pgbridge/action"
)

// Verify reads everything that archives hold of a database: each archive by
// itself and all together. It needs no database. Memory is bounded, whatever the
// length of the chain: a few records at a time.
type Verify struct {
	Archives []Archive
	DB       action.Digest
	// Repair copies what one archive lacks, or has damaged, from another.
	Repair *Repair
	// Progress is told how far the chain was read. It may be nil.
	Progress func(Report)
	Log      *slog.Logger // nil discards

	workers int // fetch and read records at the same time; 0: two for each processor, four at most
}

// verifying is one run of Verify.
type verifying struct {
	*Verify
	*desk
	report *Report
	owner  series
	named  []mark // checkpoints that the chain names
	broken bool   // something is amiss up to here: complete moves no more
}

// Run verifies. What is amiss is in the report, also that there is no genesis; an
// error says that no whole report could be made. Where some archives could not be
// read, the report is about the others and says so.
func (v *Verify) Run(ctx context.Context) (*Report, error) {
	workers := v.workers
	if workers == 0 {
		workers = min(4, 2*runtime.GOMAXPROCS(0))
	}
	run := &verifying{
		Verify: v, desk: newDesk(v.Archives, workers),
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

func (v *Verify) log() *slog.Logger {
	if v.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return v.Log
}

func (v *verifying) all(ctx context.Context) error {
	first, err := v.readGenesis(ctx)
	if errors.Is(err, errNoGenesis) {
		return nil // the report says so
	}
	if err != nil {
		return err
	}
	if err := v.chain(ctx, first); err != nil {
		return err
	}
	return v.checkpoints(ctx)
}
