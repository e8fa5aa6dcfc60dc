package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// measure is one measurement of one contender.
type measure struct {
	Units   int     `json:"units"`         // done in Seconds
	Seconds float64 `json:"seconds"`       // the time that counts
	Total   float64 `json:"total_seconds"` // since the start of the first process
	// Median and P99 are milliseconds, of a latency.
	Median float64 `json:"median_ms,omitempty"`
	P99    float64 `json:"p99_ms,omitempty"`
	// Memory is the peak in MB, CPU the seconds of processor time, by who.
	Memory map[string]float64 `json:"peak_memory_mb,omitempty"`
	CPU    map[string]float64 `json:"cpu_seconds,omitempty"`
}

func (m measure) rate() float64 { return float64(m.Units) / m.Seconds }

// addEnded adds the processor time of a program that has ended.
func (m *measure) addEnded(name string, cmd *exec.Cmd) {
	m.CPU[name] += (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
}

// round is one turn of all contenders of a row. Figure is what is judged.
type round struct {
	Ours   measure  `json:"pgbridge"`
	Peer   *measure `json:"peer,omitempty"`
	Figure float64  `json:"figure"`
}

// rule judges the median of the figures: a ratio, or "least", has to reach
// Bound, "most" is what may not be reached.
type rule struct {
	Kind  string  `json:"kind"`
	Bound float64 `json:"bound"`
}

func (r rule) pass(figure float64) bool {
	if r.Kind == "most" {
		return figure < r.Bound
	}
	return figure >= r.Bound
}

func (r rule) String() string {
	switch r.Kind {
	case "ratio":
		return fmt.Sprintf(">= %.2f", r.Bound)
	case "least":
		return fmt.Sprintf(">= %.0f", r.Bound)
	}
	return fmt.Sprintf("< %.0f", r.Bound)
}

// result is one row of the report.
type result struct {
	Row     string  `json:"row"`
	Against string  `json:"against,omitempty"`
	Unit    string  `json:"unit"`
	Rule    rule    `json:"rule"`
	Rounds  []round `json:"rounds"`
	// Figure is the median of the rounds', Pass what the rule says of it.
	Figure float64 `json:"figure"`
	Pass   bool    `json:"pass"`
}

func (r *result) judge() {
	r.Figure = median(r.each(func(v round) float64 { return v.Figure }))
	r.Pass = r.Rule.pass(r.Figure)
}

// each collects a number of every round.
func (r *result) each(number func(round) float64) []float64 {
	var all []float64
	for _, v := range r.Rounds {
		all = append(all, number(v))
	}
	return all
}

func median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// report is what is printed.
type report struct {
	Machine  machine   `json:"machine"`
	Postgres string    `json:"postgres"`
	Scale    float64   `json:"scale"`
	Began    time.Time `json:"began"`
	Seconds  float64   `json:"seconds"`
	Results  []result  `json:"results"`
}

func newReport(b *bench) *report {
	return &report{Machine: thisMachine(), Scale: b.scale, Began: time.Now().UTC().Truncate(time.Second)}
}

func (r *report) add(one result) {
	one.judge()
	r.Results = append(r.Results, one)
}

func (r *report) end() {
	r.Seconds = time.Since(r.Began).Round(time.Second).Seconds()
	r.Machine.LoadAfter = load()
}

func (r *report) pass() bool {
	return !slices.ContainsFunc(r.Results, func(one result) bool { return !one.Pass })
}

func (r *report) writeJSON(w io.Writer) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	return out.Encode(r)
}

// write prints the table of results, and below it who used the processor.
func (r *report) write(w io.Writer) error {
	fmt.Fprintf(w, "%s\nPostgreSQL %s, fsync on, scale %g, %s\n\n", r.Machine, r.Postgres, r.Scale, time.Duration(r.Seconds)*time.Second)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "row\tpgbridge\tpeer\tfigure\trounds\tfloor\t")
	for i := range r.Results {
		one := &r.Results[i]
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			one.Row, one.ours(), one.peer(), one.number(one.Figure), one.rounds(), one.Rule, verdict(one.Pass))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprint(w, "\nSeconds of processor time, medians:\n")
	for i := range r.Results {
		one := &r.Results[i]
		fmt.Fprintf(w, "%s\n  pgbridge: %s\n", one.Row, one.processor(func(v round) *measure { return &v.Ours }))
		if one.Against != "" {
			fmt.Fprintf(w, "  %s: %s\n", one.Against, one.processor(func(v round) *measure { return v.Peer }))
		}
	}
	return nil
}

func verdict(pass bool) string {
	if pass {
		return "pass"
	}
	return "FAIL"
}

// number writes a figure of the row.
func (r *result) number(v float64) string {
	if r.Rule.Kind == "ratio" {
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func (r *result) rounds() string {
	var all []string
	for _, v := range r.Rounds {
		all = append(all, r.number(v.Figure))
	}
	return strings.Join(all, " ")
}

// ours and peer are the medians of what the contenders did.
func (r *result) ours() string { return r.did(func(v round) *measure { return &v.Ours }) }

func (r *result) peer() string {
	if r.Against == "" {
		return "-"
	}
	return r.Against + " " + r.did(func(v round) *measure { return v.Peer })
}

func (r *result) did(of func(round) *measure) string {
	m := func(number func(*measure) float64) float64 {
		return median(r.each(func(v round) float64 { return number(of(v)) }))
	}
	switch r.Unit {
	case "ms":
		return fmt.Sprintf("%.0f ms, p99 %.0f", m(func(v *measure) float64 { return v.Median }), m(func(v *measure) float64 { return v.P99 }))
	case "µs":
		return fmt.Sprintf("%.0f µs", 1000*m(func(v *measure) float64 { return v.Median }))
	case "MB":
		var all []string
		for _, who := range slices.Sorted(maps.Keys(of(r.Rounds[0]).Memory)) {
			all = append(all, fmt.Sprintf("%s %.0f", who, m(func(v *measure) float64 { return v.Memory[who] })))
		}
		return strings.Join(all, ", ") + " MB"
	}
	return fmt.Sprintf("%s %s (%.1f s of %.1f)", count(m(func(v *measure) float64 { return v.rate() })), r.Unit, m(func(v *measure) float64 { return v.Seconds }), m(func(v *measure) float64 { return v.Total }))
}

// processor lists who used how much processor time, the most first.
func (r *result) processor(of func(round) *measure) string {
	medians := map[string]float64{}
	for _, v := range r.Rounds {
		for name := range of(v).CPU {
			medians[name] = median(r.each(func(v round) float64 { return of(v).CPU[name] }))
		}
	}
	total := median(r.each(func(v round) float64 { return sum(of(v).CPU) }))
	names := slices.SortedFunc(maps.Keys(medians), func(a, b string) int { return int(1000 * (medians[b] - medians[a])) })
	var all []string
	for _, name := range names {
		if medians[name] < 0.1 {
			break
		}
		all = append(all, fmt.Sprintf("%s %.1f", name, medians[name]))
	}
	return fmt.Sprintf("%.1f in all: %s", total, strings.Join(all, ", "))
}

func sum(of map[string]float64) (total float64) {
	for _, v := range of {
		total += v
	}
	return total
}

// count writes a large number readably.
func count(v float64) string {
	text := fmt.Sprintf("%.0f", v)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
