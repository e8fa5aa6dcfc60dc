package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/applier"
	"github.com/pgbridge/pgbridge/archive"
)

// clock is when the transactions of logEntry were committed, a second apart.
var clock = time.Date(2026, 11, 20, 10, 0, 0, 123456000, time.UTC)

func row(values ...string) (row [][]byte) {
	for _, v := range values {
		if v == "NULL" {
			row = append(row, nil)
			continue
		}
		row = append(row, []byte(v))
	}
	return row
}

// logEntry is a record with something of everything.
func logEntry() *applier.Entry {
	posts, odd := action.Name{Schema: "app", Name: "posts"}, action.Name{Schema: "app", Name: "Event Log\x1b[2J"}
	var b action.Body
	tx := func(n int64, copied bool) {
		micros := clock.UnixMicro() + n*1e6
		head := action.Tx{LSN: 0x16B3748 + action.LSN(n), XID: uint32(770 + n), At: micros, Clock: action.Clock{Micros: micros}, Copy: copied}
		if copied {
			head.XID = 0
		}
		b.Begin(head)
	}
	tx(0, true)
	b.Row(action.NewShape(action.Insert, posts, nil, []string{"id", "title"}), row("7", "hi"))
	b.End()
	tx(1, false)
	update := action.NewShape(action.Update, posts, []string{"id"}, []string{"title"})
	b.Row(update, row("7", "hello\n\"world\""))
	b.Row(update, row("8", "NULL"))
	b.Row(action.NewShape(action.Update, posts, []string{"id"}, []string{"id", "title"}), row("8", "9", strings.Repeat("ü", 61)))
	b.Row(action.NewShape(action.Delete, posts, []string{"id"}, nil), row("-7.50"))
	b.End()
	tx(2, false)
	b.Truncate(action.NewTruncate(posts, true, true))
	b.Row(action.NewShape(action.Insert, odd, nil, []string{"the note"}), row("\x1b[2J"))
	b.Row(action.NewSequences(), row("app.posts_id_seq", "9"))
	b.End()
	e := &applier.Entry{Text: b.Bytes()}
	e.Header = archive.Header{Writer: action.Writer{0xab}, Epoch: 1, Seq: 42}
	return e
}

func list(t *testing.T, w *wanted, asJSON bool) (lines []string, done bool) {
	t.Helper()
	return listEntry(t, logEntry(), w, asJSON)
}

func listEntry(t *testing.T, e *applier.Entry, w *wanted, asJSON bool) (lines []string, done bool) {
	t.Helper()
	var out bytes.Buffer
	l := &lister{wanted: w, out: bufio.NewWriter(&out), json: asJSON}
	done, err := l.list(e)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.out.Flush(); err != nil {
		t.Fatal(err)
	}
	text := strings.TrimSuffix(out.String(), "\n")
	if text == "" {
		return nil, done
	}
	return strings.Split(text, "\n"), done
}

var logText = []string{
	`2026-11-20 10:00:00.123456Z 1:42 0/16B3748 copy app.posts.insert id=7 title="hi"`,
	`2026-11-20 10:00:01.123456Z 1:42 0/16B3749 app.posts.update id=7 title="hello\n\"world\""`,
	`2026-11-20 10:00:01.123456Z 1:42 0/16B3749 app.posts.update id=8 title=null`,
	`2026-11-20 10:00:01.123456Z 1:42 0/16B3749 app.posts.update id=8->9 title="` + strings.Repeat("ü", 60) + `"…`,
	`2026-11-20 10:00:01.123456Z 1:42 0/16B3749 app.posts.delete id=-7.50`,
	`2026-11-20 10:00:02.123456Z 1:42 0/16B374A app.posts.truncate restart cascade`,
	`2026-11-20 10:00:02.123456Z 1:42 0/16B374A "app.\"Event Log\x1b[2J\".insert" "the note"="\x1b[2J"`,
	`2026-11-20 10:00:02.123456Z 1:42 0/16B374A pgbridge.sequences sequence="app.posts_id_seq" value=9`,
}

func TestLogText(t *testing.T) {
	got, _ := list(t, &wanted{}, false)
	if !slices.Equal(got, logText) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(logText, "\n"))
	}
}

func TestLogJSON(t *testing.T) {
	got, _ := list(t, &wanted{}, true)
	head := `{"at":"2026-11-20T10:00:01.123456Z","hlc":"1795168801123456.0","lsn":"0/16B3749","xid":771,"writer":"ab` + strings.Repeat("0", 62) +
		`","epoch":1,"seq":42,"tx":1,"action":"app.posts.update","table":"app.posts",`
	for i, want := range map[int]string{
		1: head + `"key":{"id":"7"},"params":{"title":"hello\n\"world\""}}`,
		2: head + `"key":{"id":"8"},"params":{"title":null}}`,
	} {
		if got[i] != want {
			t.Errorf("line %d: got\n%s\nwant\n%s", i, got[i], want)
		}
	}
	for i, line := range got {
		var v struct {
			Copy, Restart, Cascade bool
			Action                 string
			Key, Params            map[string]*string
		}
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("line %s: %v", line, err)
		}
		if v.Copy != (i == 0) || v.Restart != (i == 5) || v.Cascade != (i == 5) {
			t.Errorf("line %s: copy, restart, cascade are %v, %v, %v", line, v.Copy, v.Restart, v.Cascade)
		}
		if i == 3 && (*v.Key["id"] != "8" || *v.Params["id"] != "9" || len([]rune(*v.Params["title"])) != 61) {
			t.Errorf("line %s: old and new key, or the whole value, are not there", line)
		}
	}
}

func TestLogFilter(t *testing.T) {
	at := func(second int) string { return clock.Add(time.Duration(second) * time.Second).Format(textTime) }
	for _, test := range []struct {
		name         string
		tables       []string
		actions      []string
		since, until string
		limit        uint64
		want         []int
		done         bool
	}{
		{name: "all", want: []int{0, 1, 2, 3, 4, 5, 6, 7}},
		{name: "table", tables: []string{"app.posts"}, want: []int{0, 1, 2, 3, 4, 5}},
		{name: "action", actions: []string{"app.posts.delete", "app.posts.insert"}, want: []int{0, 4}},
		{name: "last part of an action", actions: []string{"insert"}, want: []int{0, 6}},
		{name: "not a part of a part", actions: []string{"sert", "osts.insert"}},
		{name: "table and action", tables: []string{"app.posts"}, actions: []string{"insert", "truncate"}, want: []int{0, 5}},
		{name: "since", since: at(1), want: []int{1, 2, 3, 4, 5, 6, 7}},
		{name: "until", until: at(1), want: []int{0, 1, 2, 3, 4}, done: true},
		{name: "since until", since: at(1), until: at(1), want: []int{1, 2, 3, 4}, done: true},
		{name: "limit", limit: 2, want: []int{0, 1}, done: true},
		{name: "limit of what is wanted", actions: []string{"insert"}, limit: 2, want: []int{0, 6}, done: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			how := asked{tables: test.tables, actions: test.actions, since: test.since, until: test.until, limit: test.limit}
			w, err := how.parse(clock)
			if err != nil {
				t.Fatal(err)
			}
			got, done := list(t, &w, false)
			var want []string
			for _, i := range test.want {
				want = append(want, logText[i])
			}
			if strings.Join(got, "\n") != strings.Join(want, "\n") || done != test.done {
				t.Errorf("got %v\n%s\nwant %v\n%s", done, strings.Join(got, "\n"), test.done, strings.Join(want, "\n"))
			}
		})
	}
}
