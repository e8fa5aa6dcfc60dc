package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/pgbridge/pgbridge/applier"
	"github.com/pgbridge/pgbridge/checkpoint"
)

// meter shows progress on standard error: a bar on a terminal, JSON lines with
// --json, nothing elsewhere.
type meter struct {
	bar   *progressbar.ProgressBar
	lines *json.Encoder
	from  uint64
	total uint64
	last  time.Time
}

// meterInterval is the least time between two JSON lines.
const meterInterval = time.Second

func newMeter(a *app, name string, from, to uint64) *meter {
	m := &meter{from: from, total: to - from}
	switch {
	case a.JSON:
		m.lines = json.NewEncoder(os.Stderr)
	case term.IsTerminal(int(os.Stderr.Fd())):
		m.bar = progressbar.NewOptions64(int64(m.total), progressbar.OptionSetWriter(os.Stderr), progressbar.OptionShowCount(),
			progressbar.OptionSetDescription("restoring "+name), progressbar.OptionSetItsString("records"), progressbar.OptionShowIts(),
			progressbar.OptionSetPredictTime(true), progressbar.OptionFullWidth(), progressbar.OptionClearOnFinish())
	}
	return m
}

func (m *meter) report(r applier.Report) {
	done := min(r.Seq-m.from, m.total)
	if m.bar != nil {
		_ = m.bar.Set64(int64(done)) // a bar that cannot be drawn is no reason to stop
	}
	if m.lines != nil && time.Since(m.last) >= meterInterval {
		m.last = time.Now()
		_ = m.lines.Encode(map[string]any{"progress": done, "total": m.total, "seq": r.Seq, "bytes": r.Bytes, "at": r.Clock.Time()})
	}
}

func (m *meter) end() {
	if m.bar != nil {
		_ = m.bar.Finish()
	}
}

// loadMeter shows how a checkpoint is loaded, on standard error: a bar on a
// terminal, JSON lines with --json, a line now and then elsewhere.
type loadMeter struct {
	*app
	name string
	bar  *progressbar.ProgressBar
	last time.Time
}

// logInterval is the least time between two lines of the log.
const logInterval = 10 * time.Second

func newLoadMeter(a *app, name string) *loadMeter {
	return &loadMeter{app: a, name: name, last: time.Now()}
}

func (m *loadMeter) report(r checkpoint.LoadReport) {
	made := r.Done == r.Total
	switch {
	case m.JSON:
		if time.Since(m.last) >= meterInterval {
			m.last = time.Now()
			_ = json.NewEncoder(os.Stderr).Encode(map[string]any{"loaded": r.Done, "total": r.Total, "rows": r.Rows, "steps": r.Steps, "all_steps": r.AllSteps})
		}
	case term.IsTerminal(int(os.Stderr.Fd())):
		m.draw(r, made)
	case time.Since(m.last) >= logInterval:
		m.last = time.Now()
		m.log.Info("loading", "done", byteText(r.Done), "of", byteText(r.Total), "rows", r.Rows, "steps", r.Steps, "of_steps", r.AllSteps)
	}
}

func (m *loadMeter) draw(r checkpoint.LoadReport, made bool) {
	if m.bar == nil {
		m.bar = progressbar.NewOptions64(r.Total, progressbar.OptionSetWriter(os.Stderr), progressbar.OptionShowBytes(true), progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(true), progressbar.OptionFullWidth(), progressbar.OptionClearOnFinish())
		m.bar.Describe("loading " + m.name)
	}
	if made && r.AllSteps > 0 {
		m.bar.Describe(fmt.Sprintf("loading %s: %d of %d indexes, constraints and others", m.name, r.Steps, r.AllSteps))
		return
	}
	_ = m.bar.Set64(min(r.Done, r.Total-1)) // a bar that cannot be drawn is no reason to stop
}

func (m *loadMeter) end() {
	if m.bar != nil {
		_ = m.bar.Finish()
	}
}
