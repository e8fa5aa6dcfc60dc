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

// gauge shows on standard error how far something is: a bar on a terminal, JSON
// lines with --json, nothing elsewhere.
type gauge struct {
	bar   *progressbar.ProgressBar
	lines *json.Encoder
	last  time.Time // that a line was written
}

// lineInterval is the least time between two JSON lines.
const lineInterval = time.Second

// newGauge shows what is being done; look is how the bar counts.
func newGauge(a *app, what string, look ...progressbar.Option) *gauge {
	g := &gauge{}
	switch {
	case a.JSON:
		g.lines = json.NewEncoder(os.Stderr)
	case term.IsTerminal(int(os.Stderr.Fd())):
		g.bar = progressbar.NewOptions64(-1, append(look, progressbar.OptionSetWriter(os.Stderr), progressbar.OptionSetDescription(what),
			progressbar.OptionSetPredictTime(true), progressbar.OptionFullWidth(), progressbar.OptionClearOnFinish())...)
	}
	return g
}

// show moves the bar; a line is written if it is time for one.
func (g *gauge) show(done, total int64, line map[string]any) {
	if g.bar != nil {
		g.bar.ChangeMax64(total)
		_ = g.bar.Set64(done) // a bar that cannot be drawn is no reason to stop
	}
	if g.lines != nil && time.Since(g.last) >= lineInterval {
		g.last = time.Now()
		_ = g.lines.Encode(line)
	}
}

func (g *gauge) end() {
	if g.bar != nil {
		_ = g.bar.Finish()
	}
}

// meter shows how the records of a chain are replayed.
type meter struct {
	*gauge
	from, total uint64
}

func newMeter(a *app, name string, from, to uint64) *meter {
	return &meter{newGauge(a, "restoring "+name, progressbar.OptionShowCount(), progressbar.OptionSetItsString("records"), progressbar.OptionShowIts()), from, to - from}
}

func (m *meter) report(r applier.Report) {
	done := min(r.Seq-m.from, m.total)
	m.show(int64(done), int64(m.total), map[string]any{"progress": done, "total": m.total, "seq": r.Seq, "bytes": r.Bytes, "at": r.Clock.Time()})
}

// copyMeter shows how a checkpoint is made.
type copyMeter struct{ *gauge }

func newCopyMeter(a *app) copyMeter {
	return copyMeter{newGauge(a, "reading tables", progressbar.OptionShowBytes(true))}
}

func (m copyMeter) report(p checkpoint.Progress) {
	m.show(p.Done, p.Total, map[string]any{"progress": p.Done, "total": p.Total, "rows": p.Rows, "fresh": p.Fresh})
}

// loadMeter shows how a checkpoint is loaded, with a line of the log now and then
// where gauge shows nothing.
type loadMeter struct {
	*gauge
	app    *app
	name   string
	logged time.Time
}

// logInterval is the least time between two lines of the log.
const logInterval = 10 * time.Second

func newLoadMeter(a *app, name string) *loadMeter {
	return &loadMeter{newGauge(a, "loading "+name, progressbar.OptionShowBytes(true), progressbar.OptionShowCount()), a, name, time.Now()}
}

func (m *loadMeter) report(r checkpoint.LoadReport) {
	if r.Done == r.Total && r.AllSteps > 0 && m.bar != nil {
		m.bar.Describe(fmt.Sprintf("loading %s: %d of %d indexes, constraints and others", m.name, r.Steps, r.AllSteps))
		return
	}
	// A bar that is full would be taken away, and the steps are to come.
	m.show(min(r.Done, r.Total-1), r.Total, map[string]any{"loaded": r.Done, "total": r.Total, "rows": r.Rows, "steps": r.Steps, "all_steps": r.AllSteps})
	if m.bar == nil && m.lines == nil && time.Since(m.logged) >= logInterval {
		m.logged = time.Now()
		m.app.log.Info("loading", "done", byteText(r.Done), "of", byteText(r.Total), "rows", r.Rows, "steps", r.Steps, "of_steps", r.AllSteps)
	}
}
