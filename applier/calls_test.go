package applier

import (
	"errors"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
)

// A message board: a call adds a post, a trigger counts it for its author.
const board = `CREATE TABLE author (name text PRIMARY KEY, posts int NOT NULL DEFAULT 0);
	CREATE TABLE post (id int PRIMARY KEY, author text NOT NULL REFERENCES author, title text, at timestamptz, tags text[]);
	CREATE TABLE note (line text); ALTER TABLE note REPLICA IDENTITY FULL;
	CREATE FUNCTION count_post() RETURNS trigger LANGUAGE plpgsql SET search_path = work AS
		'BEGIN UPDATE author SET posts = posts + 1 WHERE name = NEW.author; RETURN NULL; END';
	CREATE TRIGGER count AFTER INSERT ON post FOR EACH ROW EXECUTE FUNCTION count_post();
	CREATE FUNCTION add_post(id int, author text, title text, at timestamptz, tags text[]) RETURNS int LANGUAGE plpgsql AS
		'BEGIN INSERT INTO post VALUES (id, author, title, at, tags); INSERT INTO note VALUES (''added''); RETURN id; END';
	CREATE FUNCTION retitle(which int, to_title text) RETURNS void LANGUAGE sql AS 'UPDATE post SET title = to_title WHERE id = which';
	CREATE FUNCTION nothing() RETURNS void LANGUAGE sql AS 'SELECT';
	INSERT INTO author VALUES ('alice'), ('bob')`

var (
	addParams = []string{"id", "author", "title", "at", "tags"}
	addTypes  = []string{"integer", "text", "text", "timestamp with time zone", "text[]"}
	postCols  = []string{"id", "author", "title", "at", "tags"}
	title     = []string{"title"}
	count     = []string{"posts"}
	retitled  = action.NewShape(action.Update, work("post"), id, title)
)

// addPost is a call as the origin signed it; posts is what the trigger counted.
func addPost(posts int, row ...any) deed {
	return call("add_post", addParams, row,
		insert("post", postCols, row...), insert("note", []string{"line"}, "added"), update("author", name, count, row[1], posts))
}

func retitle(row ...any) deed {
	return mapped("retitle", []string{"which", "to_title"}, retitled, row...)
}

var defined = does(define("add_post", "function", addParams, addTypes), define("retitle", "function", []string{"which", "to_title"}, []string{"integer", "text"}),
	define("nothing", "function", nil, nil))

const (
	when  = "2026-11-20 10:00:00.000001+00"
	posts = "SELECT id, author, title, at, tags, (SELECT posts FROM work.author a WHERE a.name = author) FROM work.post ORDER BY id"
)

// Functions run here, in order, among the rows, and do what the rows of the
// record say.
func TestCalls(t *testing.T) {
	g := newGround(t)
	first := addPost(1, 1, "alice", "one", when, `{a,"b c",NULL}`)
	const one = `(1,alice,one,"2026-11-20 10:00:00.000001+00","{a,""b c"",NULL}",1)`
	for _, test := range []struct {
		name, schema string
		txs          []tx
		want         string
	}{
		{"a call", "", []tx{does(first)}, one},
		{"NULLs", "", []tx{does(addPost(1, 1, "alice", nil, nil, nil))}, `(1,alice,,,,1)`},
		{
			"several, and in several transactions", "",
			[]tx{does(first, addPost(1, 2, "bob", "two", nil, nil)), does(addPost(2, 3, "alice", "three", nil, nil))},
			strings.Replace(one, ",1)", ",2)", 1) + ` (2,bob,two,,,1) (3,alice,three,,,2)`,
		},
		{
			"rows before and after", "",
			[]tx{does(insert("author", []string{"name", "posts"}, "carol", 0), addPost(1, 1, "carol", "x", nil, nil), update("post", id, title, 1, "y"))},
			`(1,carol,y,,,1)`,
		},
		{"a mapped row", "", []tx{does(addPost(1, 1, "bob", "one", nil, nil)), does(retitle(1, "uno")), does(retitle(1, nil))}, `(1,bob,,,,1)`},
		{"no parameters and no effect", "", []tx{does(call("nothing", nil, nil), call("nothing", nil, nil))}, ""},
		{
			"a mapped row fires nothing", `; CREATE TRIGGER again AFTER UPDATE ON post FOR EACH ROW EXECUTE FUNCTION count_post()`,
			[]tx{does(addPost(1, 1, "alice", "one", nil, nil)), does(retitle(1, "uno"), update("author", name, count, "alice", 2))},
			`(1,alice,uno,,,2)`,
		},
		{"dropped", "", []tx{does(first, drop("add_post")), does(addPost(1, 2, "bob", "by rows", nil, nil))}, one + ` (2,bob,"by rows",,,1)`},
		{"by rows", `; DROP FUNCTION add_post`, []tx{does(define("add_post", "rows", addParams, addTypes)), does(first)}, one},
		{"a call that truncated", "", []tx{does(first), does(call("nothing", nil, nil, truncate("post"), insert("post", postCols, 5, "bob", nil, nil, nil)))}, `(5,bob,,,,0)`},
		{"in parts", `; DROP FUNCTION add_post`, []tx{does(first).goesOn()}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := g.rig(t, board+test.schema)
			if err := r.target(t).apply(t.Context(), []opened{r.record(defined), r.record(test.txs...)}); err != nil {
				t.Fatal(err)
			}
			if got := r.rows(t, posts); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// Where functions run: with triggers for a call and without for a mapped row,
// their own schema in search_path, and not for ever.
func TestCallSettings(t *testing.T) {
	const say = `concat_ws(' | ', current_setting('session_replication_role'), current_setting('statement_timeout'), current_setting('search_path'))`
	r := newRig(t, `CREATE TABLE said (id int PRIMARY KEY, line text);
		CREATE FUNCTION say(id int) RETURNS void LANGUAGE sql AS $$INSERT INTO said VALUES ($1, `+say+`)$$`)
	said := []string{"id", "line"}
	line := func(role string) string { return role + ` | 5min | "work", public` }
	err := r.target(t).apply(t.Context(), []opened{
		r.record(does(define("say", "function", []string{"id"}, []string{"integer"}))),
		r.record(does(
			call("say", []string{"id"}, []any{1}, insert("said", said, 1, line("origin"))),
			mapped("say", []string{"id", ""}, action.NewShape(action.Insert, work("said"), nil, said), 2, line("replica")),
			insert("said", said, 3, "rows"),
		)),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.rows(t, "SELECT count(*) FROM work.said"); got != "(3)" {
		t.Errorf("got %s rows, want 3", got)
	}
}

// What a function does otherwise here is seen before it is committed, and named
// without its values.
func TestEffectDiffers(t *testing.T) {
	g := newGround(t)
	const add = `CREATE OR REPLACE FUNCTION add_post(id int, author text, title text, at timestamptz, tags text[]) RETURNS int LANGUAGE plpgsql AS `
	const nothing = `CREATE OR REPLACE FUNCTION nothing() RETURNS void LANGUAGE sql AS `
	for _, test := range []struct {
		name, sabotage string
		deed           deed // nil: a post is added
		want           string
	}{
		{
			"another body", add + `'BEGIN INSERT INTO post VALUES (id, author, upper(title), at, tags); INSERT INTO note VALUES (''added''); RETURN id; END'`,
			nil, "a row of work.post differs in title",
		},
		{
			"it does less", add + `'BEGIN INSERT INTO post VALUES (id, author, title, at, tags); RETURN id; END'`,
			nil, "rows of work.note: none, the record says 1 inserted",
		},
		{
			"it does more", add + `'BEGIN INSERT INTO post VALUES (id, author, title, at, tags); INSERT INTO note VALUES (''added''), (''more''); RETURN id; END'`,
			nil, "rows of work.note: 2 inserted",
		},
		{
			"it does it to others", add + `'BEGIN INSERT INTO post VALUES (id + 1, author, title, at, tags); INSERT INTO note VALUES (''added''); RETURN id; END'`,
			nil, "a row of work.post is not there",
		},
		{"it does nothing", add + `'BEGIN RETURN id; END'`, nil, "rows of work.author: none, the record says 1 updated"},
		{
			"another row of a table without a key", add + `'BEGIN INSERT INTO post VALUES (id, author, title, at, tags); INSERT INTO note VALUES (''ADDED''); RETURN id; END'`,
			nil, "1 rows of work.note are not there",
		},
		{
			"a trigger that writes", `CREATE FUNCTION more() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO work.note VALUES (''x''); RETURN NULL; END';
				CREATE TRIGGER more AFTER UPDATE ON author FOR EACH ROW EXECUTE FUNCTION more()`,
			nil, "rows of work.note: 2 inserted",
		},
		{
			"a trigger that changes the row", `CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.title := upper(NEW.title); RETURN NEW; END';
				CREATE TRIGGER shout BEFORE INSERT ON post FOR EACH ROW EXECUTE FUNCTION shout()`,
			nil, "a row of work.post differs in title",
		},
		{
			"a deferred trigger that writes", `CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO work.note VALUES (''late''); RETURN NULL; END';
				CREATE CONSTRAINT TRIGGER late AFTER INSERT ON post DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late()`,
			nil, "rows of work.note: 1 inserted by deferred triggers",
		},
		{"a trigger is gone", `DROP TRIGGER count ON post`, nil, "rows of work.author: none, the record says 1 updated"},
		{"a column is gone", `ALTER TABLE post DROP tags`, nil, `no column "tags"`},
		{"a function is gone", `DROP FUNCTION add_post`, nil, "42883"},
		{
			"it updates one row twice instead of two", nothing + `'UPDATE author SET posts = 0 WHERE name = ''alice''; UPDATE author SET posts = 0 WHERE name = ''alice'''`,
			call("nothing", nil, nil, update("author", name, count, "alice", 0), update("author", name, count, "bob", 0)), "a row of work.author was not written",
		},
		{
			"another default", nothing + `'INSERT INTO author (name) VALUES (''zoe'')'; ALTER TABLE author ALTER posts SET DEFAULT 7`,
			call("nothing", nil, nil, insert("author", []string{"name", "posts"}, "zoe", 0)), "a row of work.author differs in posts",
		},
		{
			"another collation", nothing + `'UPDATE author SET posts = 5 WHERE name = (SELECT min(name) FROM author)'; INSERT INTO author VALUES ('BOB');
				ALTER TABLE post DROP CONSTRAINT post_author_fkey; ALTER TABLE author ALTER name TYPE text COLLATE "en-x-icu"`,
			call("nothing", nil, nil, update("author", name, count, "BOB", 5)), "a row of work.author differs in posts",
		},
		{
			"it deletes another", nothing + `'DELETE FROM author WHERE name = ''alice'''`,
			call("nothing", nil, nil, remove("author", name, "bob")), "a row of work.author is there",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := g.rig(t, board+";"+test.sabotage)
			deed := test.deed
			if deed == nil {
				deed = addPost(1, 1, "alice", "secret", when, nil)
			}
			records := []opened{
				r.record(defined, does(insert("author", idless, "carol"))),
				r.record(does(insert("author", idless, "dave")), does(insert("author", idless, "erin"), deed)),
			}
			err := r.target(t).apply(t.Context(), records)
			var stuck *Stuck
			if !errors.As(err, &stuck) || stuck.Tx != 1 || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want the second transaction stuck, and %q", err, test.want)
			}
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error has a value: %v", err)
			}
			if got, want := r.rows(t, "SELECT name FROM work.author WHERE name <> 'BOB' ORDER BY name"), "(alice) (bob) (carol) (dave)"; got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}

// idless are the columns of an author that has yet to post.
var idless = []string{"name"}

// The counters that the server keeps for a session may still hold what a
// transaction before wrote. Only differences are looked at.
func TestCountersOfBefore(t *testing.T) {
	r := newRig(t, board)
	to := r.target(t)
	if err := to.apply(t.Context(), []opened{r.record(defined)}); err != nil {
		t.Fatal(err)
	}
	left := false
	for n := range 20 {
		if err := to.apply(t.Context(), []opened{r.record(does(addPost(n+1, n+1, "alice", "x", nil, nil)))}); err != nil {
			t.Fatalf("call %d: %v", n+1, err)
		}
		all, err := to.counters.read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		left = left || len(all) > 0
	}
	if !left {
		t.Error("the server counts nothing of a transaction before: this test shows nothing")
	}
}
