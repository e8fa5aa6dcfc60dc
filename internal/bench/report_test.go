package main

import (
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	tests := []struct {
		name string
		all  []float64
		want float64
	}{
		{"none", nil, 0},
		{"one", []float64{3}, 3},
		{"odd", []float64{9, 1, 5}, 5},
		{"even", []float64{4, 1, 2, 9}, 3},
	}
	for _, test := range tests {
		if got := median(test.all); got != test.want {
			t.Errorf("%s: got %g, want %g", test.name, got, test.want)
		}
	}
}

func TestChooseRows(t *testing.T) {
	all, err := chooseRows("")
	if err != nil || !all["latency"] || len(all) != len(rowNames()) {
		t.Errorf("no list: got %v, %v, want every row", all, err)
	}
	two, err := chooseRows("capture-w2,memory")
	if err != nil || !two["capture-w2"] || !two["memory"] || two["latency"] {
		t.Errorf("two: got %v, %v", two, err)
	}
	if _, err := chooseRows("capture-w9"); err == nil || !strings.Contains(err.Error(), "capture-w2") {
		t.Errorf("unknown: got %v, want the names there are", err)
	}
}

// The verdict is on the median of the rounds, not on the ratio of the medians.
func TestReport(t *testing.T) {
	r := &report{Postgres: "15", Scale: 1}
	r.add(result{Row: "catchup", Against: "peer", Unit: "rows/s", Rule: rule{"ratio", 0.5}, Rounds: []round{
		{Ours: measure{Units: 1_000_000, Seconds: 4, Total: 5, CPU: map[string]float64{"bridge": 2, "idle": 0.01}}, Peer: &measure{Units: 1_000_000, Seconds: 2, Total: 2}, Figure: 0.5},
		{Ours: measure{Units: 1_000_000, Seconds: 4, Total: 5, CPU: map[string]float64{"bridge": 3}}, Peer: &measure{Units: 1_000_000, Seconds: 2, Total: 2}, Figure: 0.5},
		{Ours: measure{Units: 1_000_000, Seconds: 9, Total: 9, CPU: map[string]float64{"bridge": 4}}, Peer: &measure{Units: 1_000_000, Seconds: 2, Total: 2}, Figure: 0.22},
	}})
	if !r.pass() {
		t.Errorf("figure %g: got fail, want pass: it reaches its floor", r.Results[0].Figure)
	}
	r.add(result{Row: "memory", Unit: "MB", Rule: rule{"most", 256}, Rounds: []round{
		{Ours: measure{Units: 1, Seconds: 1, Memory: map[string]float64{"bridge": 256, "follower": 80}}, Figure: 256},
	}})
	if r.pass() {
		t.Error("256 of less than 256 MB: got pass, want fail")
	}
	var text strings.Builder
	if err := r.write(&text); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(strings.Fields(text.String()), " ")
	for _, want := range []string{
		"catchup 250,000 rows/s (4.0 s of 5.0) peer 500,000 rows/s (2.0 s of 2.0) 0.50 0.50 0.50 0.22 >= 0.50 pass",
		"memory bridge 256, follower 80 MB - 256 256 < 256 FAIL",
		"pgbridge: 3.0 in all: bridge 3.0",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("report has no line\n%s\ngot\n%s", want, text.String())
		}
	}
}

func TestQuantiles(t *testing.T) {
	const warm, total = 10, 110
	p := &pingTimes{committed: make([]time.Time, total+1), received: make([]time.Time, total+1)}
	began := time.Now()
	for id := 1; id <= total; id++ {
		p.note(p.committed, id)
		p.committed[id] = began
		p.received[id] = began.Add(time.Duration(id-warm) * time.Millisecond)
	}
	if m, p99 := p.quantiles(warm); m != 51 || p99 != 100 {
		t.Errorf("got median %g and p99 %g, want 51 and 100", m, p99)
	}
}
