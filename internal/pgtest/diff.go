package pgtest

import (
	"fmt"
	"strings"
	"testing"
)

// RequireEqual ends the test if two dumps differ, and shows the first lines
// that only one of them has, below the table they belong to.
func RequireEqual(t testing.TB, got, want string) {
	t.Helper()
	if d := diff(got, want); d != "" {
		t.Fatalf("dumps differ (- only wanted, + only got):\n%s", d)
	}
}

const (
	diffLines = 24  // shown at most
	diffWidth = 160 // of a line, in bytes
)

// diff compares dumps as sets of lines per table, for a row that is missing
// must not make all the rows after it look different.
func diff(got, want string) string {
	if got == want {
		return ""
	}
	gotSections, gotOrder := sections(got)
	wantSections, order := sections(want)
	for _, head := range gotOrder {
		if _, ok := wantSections[head]; !ok {
			order = append(order, head)
		}
	}
	var out []string
	for _, head := range order {
		lines := only("-", wantSections[head], gotSections[head])
		lines = append(lines, only("+", gotSections[head], wantSections[head])...)
		if len(lines) > 0 && head != "" {
			out = append(out, head)
		}
		out = append(out, lines...)
	}
	if len(out) == 0 {
		return firstDifference(got, want)
	}
	more := len(out) - diffLines
	if more > 0 {
		out = append(out[:diffLines], fmt.Sprintf("… and %d more lines", more))
	}
	for i, line := range out {
		if len(line) > diffWidth {
			out[i] = line[:diffWidth] + "…"
		}
	}
	return strings.Join(out, "\n")
}

// sections splits a dump at its COPY lines; what has none is one section.
func sections(dump string) (lines map[string][]string, order []string) {
	lines = map[string][]string{}
	head := ""
	for line := range strings.Lines(dump) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "COPY ") {
			head = line
		}
		if _, ok := lines[head]; !ok {
			order = append(order, head)
		}
		lines[head] = append(lines[head], line)
	}
	return lines, order
}

// only returns the lines of a that b lacks, counting repeated ones.
func only(sign string, a, b []string) []string {
	have := map[string]int{}
	for _, line := range b {
		have[line]++
	}
	var out []string
	for _, line := range a {
		if have[line]--; have[line] < 0 {
			out = append(out, sign+" "+line)
		}
	}
	return out
}

// firstDifference is for dumps with the same lines in another order.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("same lines, other order, from line %d\n- %s\n+ %s", i+1, w[i], g[i])
		}
	}
	return fmt.Sprintf("got %d lines, want %d", len(g), len(w))
}
