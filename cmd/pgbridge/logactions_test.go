package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/applier"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/postgres"
)

// namedEntry is a record with calls and mapped changes, and rows between them.
func namedEntry() *applier.Entry {
	app := func(name string) action.Name { return action.Name{Schema: "app", Name: name} }
	posts, tags := app("posts"), app("tags")
	insert := action.NewShape(action.Insert, posts, nil, []string{"id", "title"})
	tag := action.NewShape(action.Insert, tags, nil, []string{"post", "tag"})
	update := action.NewShape(action.Update, posts, []string{"id"}, []string{"title", "slug"})
	create := action.NewCall(app("create_post"), []string{"id", "title", "at"})
	var b action.Body
	b.Begin(action.Tx{LSN: 16, XID: 7, At: clock.UnixMicro(), Clock: action.Clock{Micros: clock.UnixMicro()}})
	b.Call(create, row("7", `say "hi"`, "NULL"))
	b.Row(insert, row("7", `say "hi"`))
	b.Row(tag, row("7", "go"))
	b.Truncate(action.NewTruncate(app("drafts"), true, false))
	b.EndCall()
	b.Call(create, row("8", "two", "2026-11-20"))
	b.EndCall()
	b.Call(action.NewCall(app("tick"), nil), nil)
	b.Row(tag, row("8", "pg"))
	b.EndCall()
	b.Row(action.NewMapped(update, app("rename post"), []string{"post", "title", ""}), row("7", "hello", "hello-slug"))
	b.Row(update, row("8", "x", "y"))
	b.Row(action.NewMapped(action.NewShape(action.Delete, posts, []string{"id"}, nil), app("remove"), []string{"id"}), row("7"))
	b.Row(action.NewMapped(insert, app("import"), []string{"id", "title"}), row("9", "nine"))
	b.End()
	e := &applier.Entry{Text: b.Bytes()}
	e.Header = archive.Header{Writer: action.Writer{0xab}, Epoch: 1, Seq: 42}
	return e
}

var namedText = []string{
	`app.create_post(id=7, title="say \"hi\"", at=null)`,
	`app.create_post(id=8, title="two", at=2026-11-20)`,
	`app.tick()`,
	`app."rename post"(post=7, title="hello")`,
	`app.posts.update id=8 title="x" slug="y"`,
	`app.remove(id=7)`,
	`app.import(id=9, title="nine")`,
}

func TestLogNamed(t *testing.T) {
	got, _ := listEntry(t, namedEntry(), &wanted{}, false)
	for i, want := range namedText {
		if want = "2026-11-20 10:00:00.123456Z 1:42 0/10 " + want; i >= len(got) || got[i] != want {
			t.Errorf("line %d: got\n%s\nwant\n%s", i, strings.Join(got, "\n"), want)
		}
	}
}

func TestLogNamedJSON(t *testing.T) {
	got, _ := listEntry(t, namedEntry(), &wanted{}, true)
	for i, want := range map[int]string{
		0: `"action":"app.create_post","params":{"id":"7","title":"say \"hi\"","at":null},"effect":[{"action":"app.posts.insert","table":"app.posts","params":{"id":"7","title":"say \"hi\""}},` +
			`{"action":"app.tags.insert","table":"app.tags","params":{"post":"7","tag":"go"}},{"action":"app.drafts.truncate","table":"app.drafts","restart":true}]}`,
		1: `"action":"app.create_post","params":{"id":"8","title":"two","at":"2026-11-20"},"effect":[]}`,
		3: `"action":"app.\"rename post\"","of":"app.posts.update","table":"app.posts","params":{"post":"7","title":"hello"},"key":{"id":"7"},"set":{"title":"hello","slug":"hello-slug"}}`,
		5: `"action":"app.remove","of":"app.posts.delete","table":"app.posts","params":{"id":"7"},"key":{"id":"7"}}`,
		6: `"action":"app.import","of":"app.posts.insert","table":"app.posts","params":{"id":"9","title":"nine"},"set":{"id":"9","title":"nine"}}`,
	} {
		if !json.Valid([]byte(got[i])) || !strings.HasSuffix(got[i], `,"tx":0,`+want) {
			t.Errorf("line %d: got\n%s\nwant it to end with\n%s", i, got[i], want)
		}
	}
}

func TestLogNamedFilter(t *testing.T) {
	genesis := postgres.Genesis{Writers: []action.Writer{{0xab}, {0xcd}}, Tables: []postgres.GenesisTable{
		{Name: action.Name{Schema: "app", Name: "posts"}, Key: []string{"id"}}, {Name: action.Name{Schema: "app", Name: "tags"}, Key: []string{"post", "tag"}},
	}}
	for _, test := range []struct {
		name string
		how  asked
		want []int
	}{
		{"a function", asked{actions: []string{"app.create_post"}}, []int{0, 1}},
		{"its last part", asked{actions: []string{"tick"}}, []int{2}},
		{"what a call did", asked{actions: []string{"app.tags.insert"}}, []int{0, 2}},
		{"a mapped change has the name of its function", asked{actions: []string{"app.posts.update"}}, []int{4}},
		{"a table", asked{tables: []string{"app.tags"}}, []int{0, 2}},
		{"a table of rows and mapped changes", asked{tables: []string{"app.posts"}}, []int{0, 3, 4, 5, 6}},
		{"a table that was truncated", asked{tables: []string{"app.drafts"}}, []int{0}},
		{"a parameter", asked{params: []string{"id=7"}}, []int{0, 5}},
		{"a parameter with a quote", asked{params: []string{`title=say "hi"`}}, []int{0}},
		{"of a mapped change", asked{params: []string{"post=7", "title=hello"}}, []int{3}},
		{"not what is derived", asked{params: []string{"slug=hello-slug"}}, nil},
		{"of a row", asked{params: []string{"title=x"}}, []int{4}},
		{"NULL is no text", asked{params: []string{"at="}}, nil},
		{"a key", asked{keys: []string{"id=7"}}, []int{0, 3, 5}},
		{"a key of an insert", asked{keys: []string{"id=9"}}, []int{6}},
		{"a key of two columns", asked{keys: []string{"post=8", "tag=pg"}}, []int{2}},
		{"not in the key", asked{keys: []string{"title=x"}}, nil},
		{"key and table of one row", asked{keys: []string{"id=7"}, tables: []string{"app.tags"}}, nil},
		{"all together", asked{actions: []string{"create_post"}, params: []string{"id=7"}, keys: []string{"tag=go"}, tables: []string{"app.tags"}}, []int{0}},
		{"the writer", asked{writer: "ab" + strings.Repeat("0", 62), actions: []string{"tick"}}, []int{2}},
		{"another writer", asked{writer: "cd" + strings.Repeat("0", 62)}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			w, err := test.how.parse(clock)
			if err == nil {
				err = w.of(&genesis)
			}
			if err != nil {
				t.Fatal(err)
			}
			got, _ := listEntry(t, namedEntry(), &w, false)
			var want []string
			for _, i := range test.want {
				want = append(want, "2026-11-20 10:00:00.123456Z 1:42 0/10 "+namedText[i])
			}
			if !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

func TestLogAsked(t *testing.T) {
	for _, test := range []struct {
		how  asked
		want string
	}{
		{asked{params: []string{"id"}}, `--param: "id": want name=value`},
		{asked{keys: []string{"=7"}}, `--row-key: "=7": want name=value`},
		{asked{writer: "me"}, `--writer: `},
		{asked{byTag: true}, `give --action`},
		{asked{byTag: true, actions: []string{"update"}}, `wants whole names`},
		{asked{byTag: true, actions: []string{"a.b"}, follow: true}, `leave out --follow`},
	} {
		if _, err := test.how.parse(clock); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: got %v, want %q", test.how, err, test.want)
		}
	}
}

// A statement is shown whole, on one line; its settings are for programs.
func TestLogSchema(t *testing.T) {
	var b action.Body
	b.Begin(action.Tx{LSN: 16, XID: 7, At: clock.UnixMicro(), Clock: action.Clock{Micros: clock.UnixMicro()}})
	b.Row(action.NewSchema(), row("ALTER TABLE app.t\n  ADD a text DEFAULT '\a'", `{"search_path":"app"}`))
	b.Truncate(action.NewClear(action.Name{Schema: "app", Name: "t"}))
	b.End()
	e := &applier.Entry{Text: b.Bytes()}
	e.Header = archive.Header{Writer: action.Writer{0xab}, Epoch: 1, Seq: 42}
	got, _ := listEntry(t, e, &wanted{}, false)
	const at = "2026-11-20 10:00:00.123456Z 1:42 0/10 "
	if want := []string{at + `pgbridge.schema ALTER TABLE app.t ADD a text DEFAULT ''\a''`, at + "app.t.clear"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	got, _ = listEntry(t, e, &wanted{}, true)
	for i, want := range []string{`"action":"pgbridge.schema","params":{"statement":"ALTER TABLE app.t\n  ADD a text DEFAULT '\u0007'","settings":"{\"search_path\":\"app\"}"}}`, `"action":"app.t.clear","table":"app.t"}`} {
		if i >= len(got) || !strings.HasSuffix(got[i], want) {
			t.Errorf("JSON %d: got %q, want it to end in %s", i, got, want)
		}
	}
}
