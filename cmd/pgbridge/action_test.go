package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/postgres"
)

// boardRules are the actions of a message board.
func boardRules(t *testing.T) action.Definitions {
	t.Helper()
	all := action.Definitions{}
	for _, text := range []string{
		`{"action":"app.rename_post","function":"app.rename_post(uuid,text)","params":[{"name":"post","type":"uuid"},{"name":"title","type":"text"}],"replay":"function",
			"rules":[{"table":"app.post","operation":"update","changed":["title"],"from":{"post":"id","title":"title"},"derived":["slug"]}]}`,
		`{"action":"app.edit_post","function":"app.edit_post(uuid,text,text)","params":[{"name":"post","type":"uuid"},{"name":"title","type":"text"},{"name":"body","type":"text"}],"replay":"function",
			"rules":[{"table":"app.post","operation":"update","changed":null,"from":{"post":"id","title":"title","body":"body"},"derived":["slug"]},
			{"table":"app.post","operation":"insert","changed":null,"from":{"post":"id","title":"title","body":"body"},"derived":[]}]}`,
		`{"action":"app.retitle","function":"app.retitle(text)","params":[{"name":"old_title","type":"text"}],"replay":"function",
			"rules":[{"table":"app.post","operation":"delete","changed":null,"from":{"old_title":"old.title"},"derived":[]}]}`,
		`{"action":"app.a_title","function":"app.a_title(uuid,text)","params":[{"name":"post","type":"uuid"},{"name":"title","type":"text"}],"replay":"function",
			"rules":[{"table":"app.post","operation":"update","changed":["title"],"from":{"post":"old.id","title":"title"},"derived":[]}]}`,
	} {
		d, err := action.ParseDefinition([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		all[d.Action] = d
	}
	return all
}

func TestExplain(t *testing.T) {
	post := action.Name{Schema: "app", Name: "post"}
	table := postgres.Table{Name: post, Columns: []postgres.Column{{Name: "id"}, {Name: "title"}, {Name: "slug"}, {Name: "body"}, {Name: "size", Generated: true}}, Identity: postgres.IdentityFull, PrimaryKey: []string{"id"}}
	keyed := table
	keyed.Identity, keyed.Key = postgres.IdentityDefault, []string{"id"}
	for _, test := range []struct {
		name, op string
		changed  []string
		table    postgres.Table
		want     string
		why      []string // of each rule
	}{
		{
			"fewest columns, then the name", "update",
			[]string{"title"},
			table, "app.a_title",
			[]string{"app.a_title: its parameters", "app.rename_post: it fits, but app.a_title comes first", "app.edit_post: it fits, but app.a_title is for fewer columns"},
		},
		{
			"a column is derived", "update",
			[]string{"title", "body", "slug"},
			table, "app.edit_post",
			[]string{"app.edit_post: its parameters", "app.a_title: no, it is for changes of title only, and slug, body", "app.rename_post: no, it is for changes of title only"},
		},
		{
			"unknown which columns", "update",
			[]string{"title"},
			keyed, "app.edit_post",
			[]string{"app.edit_post: its parameters", "app.a_title: no, it is for", "app.rename_post: no, it is for"},
		},
		{"insert", "insert", nil, table, "app.post.insert", []string{"app.edit_post: no, no parameter carries slug, and it is not derived"}},
		{"delete by the old row", "delete", nil, table, "app.retitle", []string{"app.retitle: its parameters"}},
		{"delete by the key", "delete", nil, keyed, "app.post.delete", []string{"app.retitle: no, parameter old_title takes old.title, which this change does not have"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := parseChange("app.post", test.op, test.changed)
			if err != nil {
				t.Fatal(err)
			}
			shape, _, err := c.shape(test.table)
			if err != nil {
				t.Fatal(err)
			}
			e := explain(boardRules(t), shape)
			if e.Action != test.want || len(e.Rules) != len(test.why) {
				t.Fatalf("got %+v, want %s and %d rules", e, test.want, len(test.why))
			}
			for i, j := range e.Rules {
				got := fmt.Sprintf("%s: %s", j.Action, j.Why)
				if !j.Fits {
					got = fmt.Sprintf("%s: no, %s", j.Action, j.Why)
				}
				if !strings.HasPrefix(got, test.why[i]) || j.Used != (j.Fits && i == 0) {
					t.Errorf("rule %d: got %q, used %v, want %q", i, got, j.Used, test.why[i])
				}
			}
		})
	}
}

func TestParseChange(t *testing.T) {
	for _, test := range []struct {
		table, op string
		changed   []string
		want      string
	}{
		{"app.post", "", nil, "--operation is insert, update or delete"},
		{"post", "insert", nil, "--table"},
		{"app.post", "insert", []string{"id"}, "--changed is for updates"},
	} {
		if _, err := parseChange(test.table, test.op, test.changed); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s of %s: got %v, want %q", test.op, test.table, err, test.want)
		}
	}
}
