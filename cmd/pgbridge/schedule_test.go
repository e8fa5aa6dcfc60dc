package main

import (
	"testing"
	"time"
)

func TestCheckpointIsDue(t *testing.T) {
	const hour = time.Hour
	for _, test := range []struct {
		name  string
		s     schedule
		since since
		want  bool
	}{
		{"none ever, by time", schedule{every: hour}, since{}, true},
		{"none ever, by records", schedule{records: 10}, since{records: 9}, false},
		{"none ever, enough records", schedule{records: 10}, since{records: 10}, true},
		{"none ever, enough bytes", schedule{bytes: 10}, since{bytes: 10}, true},
		{"not yet time", schedule{every: hour}, since{ever: true, time: hour - 1, records: 100}, false},
		{"time", schedule{every: hour}, since{ever: true, time: hour, records: 2}, true},
		{"time, and nothing has changed", schedule{every: hour}, since{ever: true, time: 2 * hour, records: 1}, false},
		{"bytes, and nothing has changed", schedule{bytes: 1}, since{ever: true, records: 1, bytes: 100}, false},
		{"bytes before time", schedule{every: hour, bytes: 10}, since{ever: true, records: 2, bytes: 10}, true},
		{"off", schedule{}, since{ever: true, time: hour, records: 1000, bytes: 1000}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.since.due(&test.s); got != test.want {
				t.Errorf("due: got %v, want %v", got, test.want)
			}
		})
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "0": 0, "500": 500, "64K": 64 << 10, "20M": 20 << 20, "10G": 10 << 30, "2T": 2 << 40} {
		if got, err := parseSize("key", text); got != want || err != nil {
			t.Errorf("%q: got %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"M", "-1", "1.5G", "10 G", "10GB", "99999999999T", "9223372036854775807", "x"} {
		if got, err := parseSize("key", text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}
