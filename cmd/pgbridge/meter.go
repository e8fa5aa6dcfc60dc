package main

import (
	"encoding/json"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/pgbridge/pgbridge/applier"
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
