package main

import (
	"slices"
	"strings"
	"testing"
)

func TestCompare(t *testing.T) {
	sums := func(digests ...string) (all []tableSum) {
		for i, d := range digests {
			all = append(all, tableSum{name: string(rune('a' + i)), rows: 1, digest: d})
		}
		return all
	}
	for _, test := range []struct {
		name                       string
		source, follower, restored []tableSum
		equal                      []bool
		want                       bool
	}{
		{"all equal", sums("1", "2"), sums("1", "2"), sums("1", "2"), []bool{true, true}, true},
		{"follower differs", sums("1", "2"), sums("1", "3"), sums("1", "2"), []bool{true, false}, false},
		{"restored differs", sums("1", "2"), sums("1", "2"), sums("0", "2"), []bool{false, true}, false},
		{"restored lacks one", sums("1", "2"), sums("1", "2"), sums("1"), []bool{true, false}, false},
		{"restored has one more", sums("1"), sums("1"), sums("1", "2"), []bool{true, false}, false},
		{"the copies agree against the source", sums("1"), sums("2"), sums("2"), []bool{false}, false},
		{"nothing at all", nil, nil, nil, nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			all, got := compare(test.source, test.follower, test.restored)
			var equal []bool
			for _, c := range all {
				equal = append(equal, c.Equal)
			}
			if got != test.want || !slices.Equal(equal, test.equal) {
				t.Errorf("got %v %v, want %v %v", got, equal, test.want, test.equal)
			}
			text := (&demoReport{Tables: all, Equal: got}).text()
			if strings.Contains(text, "DIFFER") == test.want {
				t.Errorf("the text says otherwise:\n%s", text)
			}
		})
	}
}

func TestBenchOutput(t *testing.T) {
	var l live
	for line := range strings.Lines(`progress: 1.0 s, 2311.9 tps, lat 1.723 ms stddev 1.081, 0 failed
progress: 2.0 s, 2405.0 tps, lat 1.660 ms stddev 0.951, 0 failed
number of transactions actually processed: 4721
number of failed transactions: 0 (0.000%)
tps = 2361.517832 (without initial connection time)
SQL script 1: <builtin: TPC-B (sort of)>
 - 3777 transactions (80.0% of total, tps = 1889.313)
`) {
		l.read(strings.TrimSuffix(line, "\n"))
	}
	if rate := l.perSecond.Load(); rate != "2405.0" || l.report != (loadReport{4721, 2361.517832}) {
		t.Errorf("got %v, %+v", rate, l.report)
	}
}

func TestShellWords(t *testing.T) {
	got := shellWords([]string{"--name", "my board", "it's", "postgres://u@h:1/d", "", "dir:///a?b"})
	if want := `--name 'my board' 'it'\''s' postgres://u@h:1/d '' 'dir:///a?b'`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
