package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/postgres"
)

// plan is what a dry run prints.
type plan struct {
	DB         action.Digest      `json:"db"`
	Name       string             `json:"name"`
	Checkpoint uint64             `json:"checkpoint"` // 0: from the genesis
	At         time.Time          `json:"at"`         // of the checkpoint
	Chunks     int                `json:"chunks"`
	Bytes      int64              `json:"bytes"` // of the chunks, as stored
	Size       int64              `json:"size"`  // of the chunks, unpacked
	Rows       int64              `json:"rows"`
	Records    uint64             `json:"records"`  // at most, of the chain after it
	CheckedBy  uint64             `json:"check"`    // the checkpoint that the result is compared with; 0: none
	Seconds    float64            `json:"seconds"`  // a guess
	Findings   []postgres.Finding `json:"findings"` // of the target
}

const (
	guessedRows    = 40 << 20 // bytes of rows that are loaded and indexed in a second
	guessedRecords = 20       // records that are replayed in a second
)

func (r *restoring) plan() plan {
	p := plan{DB: r.db, Name: r.genesis.Name, Findings: r.findings}
	after, last := r.record.Header.Seq, r.finder.Head
	if r.base != nil {
		p.Checkpoint, p.At = r.base.Number, time.UnixMicro(r.base.At).UTC()
		seen := map[action.Digest]bool{}
		for _, c := range r.base.Chunks() {
			p.Size, p.Rows = p.Size+c.Size, p.Rows+c.Rows
			if !seen[c.Digest] {
				seen[c.Digest] = true
				p.Chunks, p.Bytes = p.Chunks+1, p.Bytes+c.Bytes
			}
		}
		after = r.base.Head.Seq
	}
	if r.stop.Place.Seq > 0 {
		last = min(last, r.stop.Place.Seq)
	}
	p.Records = max(last, after) - after
	if r.check != nil {
		p.CheckedBy = r.check.Number
	}
	p.Seconds = float64(p.Size)/guessedRows + float64(p.Records)/guessedRecords + 1
	return p
}

func (r *restoring) printPlan() error {
	p := r.plan()
	var b strings.Builder
	if p.Checkpoint > 0 {
		fmt.Fprintf(&b, "begin with checkpoint %d of %s: %d chunks, %s to fetch, %s unpacked, %d rows\n",
			p.Checkpoint, p.At.Format(time.RFC3339), p.Chunks, byteText(p.Bytes), byteText(p.Size), p.Rows)
	} else {
		fmt.Fprintf(&b, "begin with the genesis: no checkpoint\n")
	}
	fmt.Fprintf(&b, "then replay at most %d records of the chain\n", p.Records)
	if p.CheckedBy > 0 {
		fmt.Fprintf(&b, "compare the result with checkpoint %d on the way\n", p.CheckedBy)
	}
	fmt.Fprintf(&b, "about %.0f s, at a guess\n", p.Seconds)
	fatal := 0
	for _, f := range p.Findings {
		fmt.Fprintf(&b, "%s\n", f)
		if f.Severity == postgres.Fatal {
			fatal++
		}
	}
	if err := r.print(p, "%s", b.String()); err != nil {
		return err
	}
	if fatal > 0 {
		return personError{fmt.Errorf("%d of the findings are fatal: mend them first", fatal)}
	}
	return nil
}
