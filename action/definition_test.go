package action

import (
	"strings"
	"testing"
)

const renamePost = `{"action":"app.rename_post","function":"app.rename_post(uuid,text)","params":[{"name":"post","type":"uuid"},{"name":"title","type":"text"}],"replay":"function",
	"rules":[{"table":"app.posts","operation":"update","changed":["title","slug"],"from":{"post":"id","title":"title"},"derived":["slug"]}]}`

func TestDefinitionMap(t *testing.T) {
	define := func(text string) Definition {
		t.Helper()
		d, err := ParseDefinition([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	posts := Name{Schema: "app", Name: "posts"}
	whole := []string{"id", "title", "slug", "body"}
	rename := define(renamePost)
	edit := define(strings.NewReplacer("rename_post", "edit_post", `"changed":["title","slug"]`, `"changed":null`).Replace(renamePost))
	again := define(strings.Replace(renamePost, "rename_post", "another", -1))
	move := define(`{"action":"app.move","function":"app.move(integer,integer)","params":[{"name":"from","type":"integer"},{"name":"to","type":"integer"}],"replay":"rows",
		"rules":[{"table":"app.posts","operation":"update","changed":null,"from":{"from":"old.id","to":"id"},"derived":null}]}`)
	add := define(`{"action":"app.add","function":"app.add(integer,text)","params":[{"name":"id","type":"integer"},{"name":"title","type":"text"}],"replay":"function",
		"rules":[{"table":"app.posts","operation":"insert","changed":null,"from":{"id":"id","title":"title"},"derived":null},
		{"table":"app.posts","operation":"delete","changed":null,"from":{"id":"id","title":"old.title"},"derived":null}]}`)

	for _, test := range []struct {
		name   string
		all    []Definition
		shape  *Shape
		want   string
		params string
	}{
		{"update", []Definition{rename}, NewShape(Update, posts, whole, []string{"title"}), "app.rename_post", "post,,,,title"},
		{"a derived value is there and not passed", []Definition{rename}, NewShape(Update, posts, whole, []string{"title", "slug"}), "app.rename_post", "post,,,,title,"},
		{"only the derived value changed", []Definition{rename}, NewShape(Update, posts, whole, []string{"slug"}), "app.rename_post", "post,title,,,"},
		{"another column changed", []Definition{rename}, NewShape(Update, posts, whole, []string{"title", "body"}), "", ""},
		{"another column changed, and no limit", []Definition{edit}, NewShape(Update, posts, whole, []string{"title", "body"}), "", ""},
		{"nothing changed", []Definition{rename, edit}, NewShape(Update, posts, whole, []string{}), "", ""},
		{"another table", []Definition{rename}, NewShape(Update, Name{Schema: "app", Name: "tags"}, whole, []string{"title"}), "", ""},
		{"another operation", []Definition{rename}, NewShape(Insert, posts, nil, whole), "", ""},
		{"the fewest columns win", []Definition{edit, rename}, NewShape(Update, posts, whole, []string{"title"}), "app.rename_post", "post,,,,title"},
		{"then the name", []Definition{rename, again}, NewShape(Update, posts, whole, []string{"title"}), "app.another", "post,,,,title"},
		{"large value not there", []Definition{rename}, NewShape(Update, posts, []string{"id"}, []string{"slug"}), "", ""},
		{"old and new key", []Definition{move}, NewShape(Update, posts, []string{"id"}, []string{"id"}), "app.move", "from,to"},
		{"one value for two parameters", []Definition{move}, NewShape(Update, posts, []string{"id"}, []string{"title"}), "", ""},
		{"insert", []Definition{add}, NewShape(Insert, posts, nil, []string{"title", "id"}), "app.add", "title,id"},
		{"insert of more", []Definition{add}, NewShape(Insert, posts, nil, []string{"title", "id", "body"}), "", ""},
		{"delete", []Definition{add}, NewShape(Delete, posts, whole, nil), "app.add", "id,title,,"},
		{"delete by key only", []Definition{add}, NewShape(Delete, posts, []string{"id"}, nil), "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			all := Definitions{}
			for _, d := range test.all {
				all[d.Action] = d
			}
			got := all.Map(test.shape)
			if test.want == "" {
				if got != test.shape {
					t.Errorf("got %s, want the rows as they are", got.Action())
				}
				return
			}
			if got.Action() != test.want || strings.Join(got.Params, ",") != test.params || got.RowAction() != test.shape.Action() {
				t.Errorf("got %s %q of %s, want %s %q", got.Action(), got.Params, got.RowAction(), test.want, test.params)
			}
		})
	}
}

func TestParseDefinitionRefuses(t *testing.T) {
	for _, text := range []string{
		"", "[]", renamePost + "{}",
		strings.Replace(renamePost, `"replay"`, `"sql":"x","replay"`, 1),
		strings.Replace(renamePost, `"function",`, `"often",`, 1),
		strings.Replace(renamePost, `"update"`, `"truncate"`, 1),
		strings.Replace(renamePost, `"app.rename_post",`, `"rename_post",`, 1),
	} {
		if _, err := ParseDefinition([]byte(text)); err == nil {
			t.Errorf("%s: taken, want an error", text)
		}
	}
}
