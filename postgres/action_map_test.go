package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
)

// mapped makes tables and actions for tests of mappings.
const mapped = `
	CREATE TABLE app.full_posts (id uuid PRIMARY KEY, title text, slug text, n integer, m app.mood, s text GENERATED ALWAYS AS (upper(title)) STORED);
	ALTER TABLE app.full_posts REPLICA IDENTITY FULL;
	CREATE TABLE app.keyless (a integer, b integer);
	CREATE TABLE app.pair (b integer, a integer, c text, PRIMARY KEY (a, b));
	CREATE TABLE app.numbered (id bigserial PRIMARY KEY, c text);
	CREATE TABLE app.parts (id uuid, at date, c text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
	CREATE TABLE app.parts_1 PARTITION OF app.parts DEFAULT;
	CREATE VIEW app.view AS SELECT * FROM app.posts;
	CREATE FUNCTION app.rename(id uuid, title text) RETURNS void` + body + `;
	CREATE FUNCTION app.renumber(id uuid, n bigint) RETURNS void` + body + `;
	CREATE FUNCTION app.remove(id uuid) RETURNS void` + body + `;
	CREATE FUNCTION app.cheer(id uuid, title text, m app.mood DEFAULT 'calm') RETURNS void` + body + `;
	CREATE FUNCTION app.two(a integer, b integer) RETURNS void` + body + `;
	CREATE FUNCTION app.create(id uuid, title varchar, slug text, n integer) RETURNS void` + body + `;
	CREATE FUNCTION app.create_number(c text) RETURNS void` + body

func mapper(t *testing.T) (heard func() []string, run func(call string) error, definition func(name string) string) {
	t.Helper()
	db, admin := migrated(t)
	application(t, admin, mapped)
	mustExec(t, admin, "SELECT pgbridge.register_action(oid) FROM pg_proc WHERE pronamespace = 'app'::regnamespace")
	mustExec(t, admin, "CREATE PUBLICATION pgbridge FOR TABLE app.posts, app.full_posts, app.keyless, app.pair, app.numbered, app.parts")
	if err := SaveDatabase(t.Context(), admin, Database{Role: RoleWriter, Stage: StageReady, Name: "app", ID: action.Digest{1}, Genesis: []byte("record")}); err != nil {
		t.Fatal(err)
	}
	conn, heard := hearing(t, db.URL())
	run = func(call string) error {
		_, err := conn.Exec(t.Context(), "SELECT pgbridge.map_action("+call+")")
		return err
	}
	return heard, run, func(name string) string {
		a, err := LoadAction(t.Context(), conn, name)
		if err != nil {
			t.Fatal(err)
		}
		return string(a.Definition)
	}
}

func TestMapRefuses(t *testing.T) {
	_, run, _ := mapper(t)
	const rename = "'app.rename(uuid,text)', "
	tests := []struct{ name, call, want, hint string }{
		{"operation", rename + `'app.posts', 'truncate'`, "operation is 'truncate'", "'insert', 'update' or 'delete'"},
		{"no operation", rename + `'app.posts', NULL`, "operation is NULL", ""},
		{"no action", `'pg_catalog.length(text)', 'app.posts', 'update'`, "it is not an action", "register_action"},
		{"stray parameter", rename + `'app.posts', 'update', params => '{"id": "id", "name": "title"}'`, "it has no parameter name", `{"parameter": "column"}`},
		{"parameter without column", rename + `'app.posts', 'update', params => '{"id": "id"}'`, "parameter title takes no column", "params"},
		{"no such column", rename + `'app.posts', 'update', params => '{"id": "id", "title": "name"}'`, "it has no column name", ""},
		{"no column of that name", rename + `'app.pair', 'update'`, "it has no column id", ""},
		{"no such derived", rename + `'app.posts', 'update', derived => ARRAY['body']`, "it has no column body", ""},
		{"twice", `'app.two(int,int)', 'app.posts', 'update', params => '{"a": "n", "b": "n"}'`, "parameters a, b take the same value", ""},
		{"type", rename + `'app.posts', 'update', params => '{"id": "id", "title": "n"}'`, "parameter title is of type text, column n of type integer", "make the parameter a integer"},
		{"enum", rename + `'app.full_posts', 'update', params => '{"id": "id", "title": "m"}'`, "parameter title is of type text, column m of type app.mood", ""},
		{"generated", rename + `'app.full_posts', 'update', params => '{"id": "id", "title": "s"}'`, "column s is generated", ""},
		{"changed without full", rename + `'app.posts', 'update', ARRAY['title']`, "known only under REPLICA IDENTITY FULL", "ALTER TABLE app.posts REPLICA IDENTITY FULL"},
		{"changed insert", rename + `'app.full_posts', 'insert', ARRAY['title']`, "only an update can be of certain columns", ""},
		{"changed not carried", rename + `'app.full_posts', 'update', ARRAY['title', 'slug']`, "column slug is in columns, but no parameter carries it", "derived"},
		{"changed partition", `'app.rename(uuid,text)', 'app.parts', 'update', ARRAY['c'], '{"id": "id", "title": "c"}'`, "REPLICA IDENTITY FULL", ""},
		{"keyless", `'app.two(int,int)', 'app.keyless', 'update'`, "it has no replica identity", "give it a primary key"},
		{"key not taken", `'app.create_number(text)', 'app.numbered', 'update'`, "no parameter takes the key column id", "old.id"},
		{"old of insert", rename + `'app.posts', 'insert', params => '{"id": "old.id", "title": "title"}'`, "an insert has no old value of id", ""},
		{"old of default", rename + `'app.posts', 'update', params => '{"id": "id", "title": "old.title"}'`, "the old value of title", "ALTER TABLE app.posts REPLICA IDENTITY FULL"},
		{"new of delete", rename + `'app.posts', 'delete'`, "the old value of title", "REPLICA IDENTITY FULL"},
		{"view", `'app.remove(uuid)', 'app.view', 'delete'`, "it is not an ordinary table", ""},
		{"partition", `'app.remove(uuid)', 'app.parts_1', 'delete'`, "it is a partition", "map app.parts"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := run(test.call)
			message, hint := refusal(err)
			if !strings.Contains(message, test.want) || !strings.Contains(hint, test.hint) {
				t.Errorf("got %v, hint %q, want %q, hint %q", err, hint, test.want, test.hint)
			}
		})
	}
}

func TestMap(t *testing.T) {
	tests := []struct{ name, call, action, want string }{
		{
			"update by default", `'app.rename(uuid,text)', 'app.posts', 'UPDATE', derived => ARRAY['n', 'slug']`, "app.rename",
			`{"table":"app.posts","operation":"update","changed":null,"from":{"id":"old.id","title":"title"},"derived":["slug","n"]}`,
		},
		{
			"changed", `'app.rename(uuid,text)', 'app.full_posts', 'update', ARRAY['slug', 'title', 'slug'], '{"title": "title", "id": "old.id"}', ARRAY['slug']`, "app.rename",
			`{"table":"app.full_posts","operation":"update","changed":["title","slug"],"from":{"id":"old.id","title":"title"},"derived":["slug"]}`,
		},
		{
			"implicit cast", `'app.renumber(uuid,bigint)', 'app.full_posts', 'update', ARRAY['n']`, "app.renumber",
			`{"table":"app.full_posts","operation":"update","changed":["n"],"from":{"id":"old.id","n":"n"},"derived":[]}`,
		},
		{
			"insert, text to varchar", `'app.create(uuid,varchar,text,int)', 'app.posts', 'insert'`, "app.create",
			`{"table":"app.posts","operation":"insert","changed":null,"from":{"id":"id","title":"title","slug":"slug","n":"n"},"derived":[]}`,
		},
		{
			"delete", `'app.remove(uuid)', 'app.posts', 'delete'`, "app.remove",
			`{"table":"app.posts","operation":"delete","changed":null,"from":{"id":"old.id"},"derived":[]}`,
		},
		{
			"delete by two", `'app.two(int,int)', 'app.pair', 'delete', params => '{"b": "b", "a": "old.a"}'`, "app.two",
			`{"table":"app.pair","operation":"delete","changed":null,"from":{"a":"old.a","b":"old.b"},"derived":[]}`,
		},
		{
			"default left out", `'app.cheer(uuid,text,app.mood)', 'app.posts', 'update', derived => ARRAY['slug', 'n']`, "app.cheer",
			`{"table":"app.posts","operation":"update","changed":null,"from":{"id":"old.id","title":"title"},"derived":["slug","n"]}`,
		},
		{
			"default by its name", `'app.cheer(uuid,text,app.mood)', 'app.full_posts', 'update', ARRAY['m']`, "app.cheer",
			`{"table":"app.full_posts","operation":"update","changed":["m"],"from":{"id":"old.id","title":"title","m":"m"},"derived":[]}`,
		},
	}
	heard, run, definition := mapper(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := run(test.call); err != nil {
				t.Fatal(err)
			}
			if got := definition(test.action); !strings.Contains(got, test.want) {
				t.Errorf("got %s, want in it %s", got, test.want)
			}
			if got := heard(); len(got) > 0 {
				t.Errorf("got warnings %q, want none", got)
			}
		})
	}
}

// Rules stand in one order whenever they were made, and one replaces the one for
// the same change.
func TestMapIsDeterministic(t *testing.T) {
	calls := []string{
		`'app.rename(uuid,text)', 'app.posts', 'update', derived => ARRAY['slug', 'n']`,
		`'app.rename(uuid,text)', 'app.full_posts', 'update', ARRAY['title']`,
		`'app.rename(uuid,text)', 'app.full_posts', 'update', ARRAY['title', 'slug'], derived => ARRAY['slug']`,
		`'app.rename(uuid,text)', 'app.full_posts', 'update'`,
		`'app.rename(uuid,text)', 'app.full_posts', 'delete'`,
	}
	_, run, definition := mapper(t)
	for _, call := range append([]string{strings.Replace(calls[0], "'slug', 'n'", "'slug'", 1)}, calls...) {
		if err := run(call); err != nil {
			t.Fatal(err)
		}
	}
	want := definition("app.rename")
	if n := strings.Count(want, `"table"`); n != len(calls) {
		t.Errorf("got %d rules, want %d: %s", n, len(calls), want)
	}
	_, run, definition = mapper(t)
	for i := range calls {
		if err := run(calls[len(calls)-1-i]); err != nil {
			t.Fatal(err)
		}
	}
	if got := definition("app.rename"); got != want {
		t.Errorf("in another order:\ngot  %s\nwant %s", got, want)
	}
}

func TestMapWarns(t *testing.T) {
	db, conn := migrated(t)
	application(t, conn, mapped)
	conn, heard := hearing(t, db.URL())
	mustExec(t, conn, "SELECT pgbridge.register_action(oid) FROM pg_proc WHERE pronamespace = 'app'::regnamespace")
	mustExec(t, conn, "SELECT pgbridge.map_action('app.create_number(text)', 'app.numbered', 'insert')")
	got := strings.Join(heard(), "\n")
	for _, want := range []string{"there is no publication yet", "key column id comes from a sequence", "no parameter carries column id", "DROP DEFAULT"} {
		if !strings.Contains(got, want) {
			t.Errorf("got warnings %s, want %q among them", got, want)
		}
	}
	mustExec(t, conn, "CREATE PUBLICATION pgbridge FOR TABLE app.posts")
	if err := SaveDatabase(t.Context(), conn, Database{Role: RoleWriter, Stage: StageReady, Name: "app", ID: action.Digest{1}, Genesis: []byte("record")}); err != nil {
		t.Fatal(err)
	}
	_, err := conn.Exec(t.Context(), "SELECT pgbridge.map_action('app.create_number(text)', 'app.numbered', 'insert')")
	if message, hint := refusal(err); !strings.Contains(message, "publication pgbridge does not have it") || !strings.Contains(hint, "--table") {
		t.Errorf("a table that is not published: got %v, want it refused", err)
	}
}

func TestActionProblems(t *testing.T) {
	tests := []struct {
		name, after string
		want, fix   string
	}{
		{"granted", "GRANT EXECUTE ON FUNCTION app.rename TO PUBLIC", "others than its owner may execute it: PUBLIC", "REVOKE EXECUTE ON FUNCTION app.rename(uuid,text) FROM PUBLIC"},
		{"function gone", "DROP FUNCTION app.rename", "function app.rename(uuid,text) is gone", "SELECT pgbridge.drop_action('app.rename')"},
		{"renamed parameter", "DROP FUNCTION app.rename; CREATE FUNCTION app.rename(post uuid, title text) RETURNS void" + body +
			"; REVOKE EXECUTE ON FUNCTION app.rename FROM PUBLIC", "have other names", "drop_action"},
		{"generated gone", `DROP FUNCTION pgbridge."call app.rename"`, "what pgbridge.call runs is gone", "SELECT pgbridge.register_action('app.rename(uuid,text)')"},
		{"table gone", "DROP TABLE app.full_posts CASCADE", "table app.full_posts is gone", "drop_action"},
		{"column gone", "ALTER TABLE app.full_posts DROP COLUMN slug", "it has no column slug", "ADD COLUMN"},
		{"type", "ALTER TABLE app.full_posts DROP COLUMN s, ALTER COLUMN title TYPE bytea USING NULL", "column title of type bytea", "make the parameter a bytea"},
		{"identity", "ALTER TABLE app.full_posts REPLICA IDENTITY DEFAULT", "known only under REPLICA IDENTITY FULL", "ALTER TABLE app.full_posts REPLICA IDENTITY FULL"},
		{"publication", "ALTER PUBLICATION pgbridge DROP TABLE app.full_posts", "publication pgbridge does not have it", "pgbridge init"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, conn := migrated(t)
			application(t, conn, mapped)
			mustExec(t, conn, "CREATE PUBLICATION pgbridge FOR TABLE app.full_posts")
			if err := SaveDatabase(t.Context(), conn, Database{Role: RoleWriter, Stage: StageReady, Name: "app", ID: action.Digest{1}, Genesis: []byte("record")}); err != nil {
				t.Fatal(err)
			}
			mustExec(t, conn, "SELECT pgbridge.register_action('app.rename(uuid,text)')")
			mustExec(t, conn, "SELECT pgbridge.map_action('app.rename(uuid,text)', 'app.full_posts', 'update', ARRAY['title', 'slug'], derived => ARRAY['slug'])")
			if found, err := ActionProblems(t.Context(), conn); err != nil || len(found) > 0 {
				t.Fatalf("before: got %v, %v, want none", found, err)
			}
			mustExec(t, conn, test.after)
			found, err := ActionProblems(t.Context(), conn)
			if err != nil || len(found) != 1 || found[0].Subject != "app.rename" || found[0].Severity != Fatal ||
				!strings.Contains(found[0].Problem, test.want) || !strings.Contains(found[0].Fix, test.fix) {
				t.Fatalf("got %v, %v, want %q, fix %q", found, err, test.want, test.fix)
			}
			if fix := found[0].Fix; strings.HasPrefix(fix, "REVOKE") || strings.HasPrefix(fix, "ALTER") || strings.HasPrefix(fix, "SELECT pgbridge.register") {
				mustExec(t, conn, fix)
				if found, err := ActionProblems(t.Context(), conn); err != nil || len(found) > 0 {
					t.Errorf("after %s: got %v, %v, want none", fix, found, err)
				}
			}
		})
	}
}

// The readable form of rules.
func TestActionsView(t *testing.T) {
	_, conn := migrated(t)
	application(t, conn, mapped)
	mustExec(t, conn, "SELECT pgbridge.register_action('app.rename(uuid,text)')")
	mustExec(t, conn, "SELECT pgbridge.map_action('app.rename(uuid,text)', 'app.full_posts', 'update', ARRAY['title', 'slug'], derived => ARRAY['slug'])")
	mustExec(t, conn, "SELECT pgbridge.map_action('app.rename(uuid,text)', 'app.full_posts', 'delete')")
	a, err := LoadAction(t.Context(), conn, "app.rename")
	if err != nil {
		t.Fatal(err)
	}
	const want = "[delete on app.full_posts: id = old.id, title = old.title update of (title, slug) on app.full_posts: id = old.id, title = title; derived slug]"
	if got := fmt.Sprint(a.Rules); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
