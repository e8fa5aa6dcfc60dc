package main

import (
	"strings"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
)

func TestParseMoment(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	writer, item := action.Writer{0xab}, strings.Repeat("i_-", 14)+"Q"
	for _, c := range []struct {
		text string
		want moment
	}{
		{"", moment{}},
		{"2026-11-20T10:00:00Z", moment{time: now.Add(-2 * time.Hour)}},
		{"2026-11-20T11:00:00+01:00", moment{time: now.Add(-2 * time.Hour)}},
		{"90m", moment{time: now.Add(-90 * time.Minute)}},
		{"checkpoint:7", moment{checkpoint: 7}},
		{"1:5120", moment{place: archive.Place{Epoch: 1, Seq: 5120, Tx: archive.WholeRecord}}},
		{"2:1:0", moment{place: archive.Place{Epoch: 2, Seq: 1, Tx: 0}}},
		{writer.String() + ":1:7:3", moment{place: archive.Place{Writer: writer, Epoch: 1, Seq: 7, Tx: 3}}},
		{item, moment{item: item, place: archive.Place{Tx: archive.WholeRecord}}},
		{item + ":3", moment{item: item, place: archive.Place{Tx: 3}}},
	} {
		c.want.text = c.text
		if got, err := parseMoment(c.text, now); err != nil || got != c.want {
			t.Errorf("%q: got %+v, %v, want %+v", c.text, got, err, c.want)
		}
	}
	for _, bad := range []string{"yesterday", "checkpoint:", "checkpoint:0", "checkpoint:-1", "0:1", "1:0", "1:1:1:1", "1:99999999999999999999", "99999999999:1", "abc:1:1", item + "Q", item + ":x", item + ":99999999999999999999"} {
		if got, err := parseMoment(bad, now); err == nil {
			t.Errorf("%q: got %+v, want an error", bad, got)
		}
	}
}

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		text string
		want string // empty: an error
	}{
		{"2026-11-20T10:00:00Z", "2026-11-20T10:00:00Z"},
		{"2026-11-20T10:00:00.5+02:00", "2026-11-20T08:00:00.5Z"},
		{"2026-11-20 10:00:00.123456Z", "2026-11-20T10:00:00.123456Z"},
		{"2026-11-20 10:00:00", "2026-11-20T10:00:00Z"},
		{"2026-11-20", "2026-11-20T00:00:00Z"},
		{"90m", "2026-11-20T10:30:00Z"},
		{"-90m", ""},
		{"yesterday", ""},
		{"20.11.2026", ""},
	} {
		got, err := parseTime(test.text, now)
		if want := test.want; (err != nil) != (want == "") || err == nil && got.Format(time.RFC3339Nano) != want {
			t.Errorf("%q: got %v, %v, want %q", test.text, got, err, want)
		}
	}
}
