package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/pgbridge/pgbridge/postgres"
)

// text is the status for people: a label and what is to be said on each line.
func (s *status) text() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	line := func(label, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", label, fmt.Sprintf(format, args...))
	}
	line("database", "%s", strings.TrimSpace(s.Name+" "+s.DB))
	line("role", "%s, %s, %srunning", s.Role, s.stageText(), not(s.Running))
	if s.Publishes != nil {
		s.Publishes.text(line, s.now)
	}
	for i := range s.Follows {
		s.Follows[i].text(line, s)
	}
	for _, a := range s.UnderWay {
		waits := ""
		if a.Waits != "" {
			waits = ", waits: " + a.Waits
		}
		line("under way", "for %s%s: %s", durationText(s.now.Sub(a.Since)), waits, oneLine(a.Statement))
	}
	s.Drill.text(line, s.now)
	s.Actions.text(line)
	for i := range s.Quarantine {
		s.Quarantine[i].text(line, s)
	}
	for _, p := range s.Problems {
		label := "problem"
		if p.Person {
			label = "decide"
		}
		line(label, "%s", oneLine(p.Problem))
	}
	w.Flush() //nolint:errcheck // a builder takes everything
	return b.String()
}

func (s *status) stageText() string {
	switch {
	case s.initAtWork:
		return "init at work"
	case s.Stage == postgres.StageInit:
		return "init not finished"
	case s.Stage == postgres.StageCopy:
		return "copying the initial rows"
	case s.Stage == postgres.StageRestore:
		return "restore not finished"
	}
	return string(s.Stage)
}

// not is the word that a fact needs that does not hold.
func not(fact bool) string {
	if fact {
		return ""
	}
	return "not "
}

// liner writes one line.
type liner func(label, format string, args ...any)

func (p *publishing) text(line liner, now time.Time) {
	line("writer", "%s epoch %d", p.Writer, p.Epoch)
	line("last", "record %d%s", p.Seq, ofTime(now, p.At))
	if p.Forged > 0 {
		line("forged", "%s of calls did not count: not made by pgbridge.call (their changes are published as rows)", many(int(p.Forged), "mark"))
	}
	if p.Slot.Found {
		line("slot", "%s: %sactive, WAL %s, %s unconfirmed, %s of WAL kept", p.Slot.Name,
			not(p.Slot.Active), p.Slot.WALStatus, byteText(p.Slot.LagBytes), byteText(p.Slot.WALBytes))
	} else {
		line("slot", "%s: gone", p.Slot.Name)
	}
	if p.Outbox.Records == 0 {
		line("outbox", "empty")
	} else {
		line("outbox", "%s, %s, the oldest %s", records(p.Outbox.Records), byteText(p.Outbox.Bytes), durationText(time.Duration(p.Outbox.OldestSeconds*float64(time.Second))))
	}
	p.Checkpoints.text(line, now)
	for _, a := range p.Archives {
		line("archive", "%s", a.Archive)
		line("  accepted", "%s", a.Accepted.text(now))
		line("  confirmed", "%s", a.Confirmed.text(now))
		if a.Waiting > 0 {
			line("  waiting", "%s", records(a.Waiting))
		}
		if a.Failing != nil {
			line("  failing", "%s", a.Failing.text(now))
		}
		if a.Parked != nil {
			line("  parked", "%s", a.Parked.text(now))
		}
	}
}

func (d *delivery) text(now time.Time) string {
	if d == nil {
		return "nothing yet"
	}
	text := fmt.Sprintf("record %d:%d, %s", d.Epoch, d.Seq, ago(now, d.At))
	if d.Attempts > 0 {
		text += fmt.Sprintf(", attempts: %d", d.Attempts)
	}
	if d.Error != "" {
		text += ": " + oneLine(d.Error)
	}
	return text
}

func (f *following) text(line liner, s *status) {
	line("writer", "%s epoch %d", f.Writer, f.Epoch)
	part := ""
	if !f.Complete {
		part = " in part"
	}
	line("applied", "record %d%s%s", f.Seq, part, ofTime(s.now, f.At))
	switch {
	case f.ArchiveError != "":
		line("archives", "cannot be asked: %s", oneLine(f.ArchiveError))
	case f.Head == nil:
		line("archives", "not asked (give --archive)")
	default:
		line("archives", "record %d", *f.Head)
		line("lag", "%s", f.lagText())
	}
	for _, h := range f.Holes {
		line("hole", "records %d to %d", h.First, h.Last)
	}
}

func (f *following) lagText() string {
	switch {
	case *f.LagRecords == 0:
		return "none"
	case f.LagSeconds == nil:
		return records(int64(*f.LagRecords))
	}
	return fmt.Sprintf("%s, %.1f s", records(int64(*f.LagRecords)), *f.LagSeconds)
}

// ofTime tells when a transaction was committed.
func ofTime(now time.Time, at *time.Time) string {
	if at == nil {
		return ""
	}
	return fmt.Sprintf(" of %s, %s", at.Format("2006-01-02 15:04:05Z"), ago(now, *at))
}

func ago(now, at time.Time) string { return durationText(now.Sub(at)) + " ago" }

// durationText writes a duration in its largest unit.
func durationText(d time.Duration) string {
	d = max(d, 0)
	for _, u := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}} {
		if d >= 2*u.size {
			return fmt.Sprintf("%d %s", d/u.size, u.name)
		}
	}
	return fmt.Sprintf("%d s", d/time.Second)
}

func records(n int64) string {
	if n == 1 {
		return "1 record"
	}
	return fmt.Sprintf("%d records", n)
}

// byteText writes a size in the unit that fits.
func byteText(n int64) string {
	const units = "KMGTP"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	size, unit := float64(n)/1024, 0
	for size >= 1024 && unit < len(units)-1 {
		size, unit = size/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", size, units[unit])
}

// oneLine keeps a message from breaking the table.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
