package publisher

import (
	"errors"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/ddl"
	"github.com/pgbridge/pgbridge/postgres"
)

// Words of a script, each a mark.
var schemaMarks = map[string]string{
	"begin":        beginCall,
	"end":          endCall,
	"one":          `s{"statement":"CREATE TABLE a (\"x\" int)","n":0,"tag":"CREATE TABLE","settings":{"search_path": "app, public"}}`,
	"second":       `s{"statement":"CREATE TABLE a (); SELECT 1; CREATE INDEX CONCURRENTLY i ON a (b)","n":2,"tag":"CREATE INDEX","settings":{}}`,
	"first":        `s{"statement":"CREATE TABLE a (); CREATE TABLE b ()","n":1,"tag":"CREATE TABLE","settings":{}}`,
	"same":         `s{"statement":null,"n":2,"tag":"CREATE TABLE","settings":{}}`,
	"inside":       `s{"statement":"CREATE TABLE c (); DROP TABLE c","in":"text","n":4,"tag":"DROP TABLE","settings":{}}`,
	"body":         `s{"statement":"SELECT 1; CREATE TABLE d ()","in":"body","n":2,"tag":"CREATE TABLE","settings":{}}`,
	"elsewhere":    `s{"statement":"CREATE TABLE d ()","in":"dream","n":1,"tag":"CREATE TABLE","settings":{}}`,
	"label":        `s{"statement":"SECURITY LABEL ON TABLE a IS 'x'","n":0,"tag":"SECURITY LABEL","settings":{}}`,
	"granted":      `s{"statement":"GRANT SELECT ON a, b TO CURRENT_USER; GRANT ALL ON c TO SESSION_USER","n":1,"tag":"GRANT","author":{"user":"\"Ann\"","role":"Ann"},"settings":{"TimeZone" : "UTC"}}`,
	"granted_more": `s{"statement":null,"n":2,"tag":"GRANT","author":{"user":"\"Ann\"","session":"sue","on":["TABLE",["app.c","app.d"]],"object": ["table", ["app","c"], []]},"settings":{}}`,
	"owner":        `s{"statement":"ALTER TABLE a OWNER TO joe, ADD z int","n":1,"tag":"ALTER TABLE","author":{"unowned":true,"role":"joe","object":["table",["a"],[]]},"settings":{}}`,
	"only_owner":   `s{"statement":"ALTER TABLE a OWNER TO joe","n":1,"tag":"ALTER TABLE","author":{"unowned":true,"role":"joe","object":["table",["a"],[]]},"settings":{}}`,
	"no_owner":     `s{"statement":"ALTER TABLE a ADD z int","n":1,"tag":"ALTER TABLE","author":{"unowned":true,"role":"joe","object":["table",["a"],[]]},"settings":{}}`,
	"her_owner":    `s{"statement":"ALTER TABLE a OWNER TO postgres, ADD z int","n":1,"tag":"ALTER TABLE","author":{"unowned":true,"role":"Ann"},"settings":{}}`,
	"no_settings":  `s{"statement":"ALTER TABLE a ADD z int","n":1,"tag":"ALTER TABLE","author":{"role":"joe"},"settings":[]}`,
	"no_grant":     `s{"statement":"ALTER TABLE a ADD z int","n":1,"tag":"ALTER TABLE","author":{"on":["TABLE",["a"]]},"settings":{}}`,
	"nothing_like": `s{"statement":"CREATE TABLE a (); CREATE TABLE b ()","n":1,"tag":"CREATE INDEX","settings":{}}`,
	"clear":        `w["app.post",["id","text"]]`,
	"rows":         `v[["1",null],["2","b"]]`,
	"narrow":       `v[["1"]]`,
}

const (
	createA   = `{"action":"pgbridge.schema","columns":["statement","settings"],"rows":[["CREATE TABLE a (\"x\" int)","{\"search_path\":\"app, public\"}"]]}`
	schemaRow = `{"action":"pgbridge.schema","columns":["statement","settings"],"rows":[`
	cleared   = `{"action":"app.post.clear"},{"action":"app.post.insert","columns":["id","text"],"rows":[["1",null],["2","b"]]}`
	onePost   = `{"action":"app.post.insert","columns":["id"],"rows":[["x"]]}`
)

func TestSchemaChanges(t *testing.T) {
	for _, test := range []struct{ name, script, want string }{
		{"at its place", "row one row", onePost + "," + createA + "," + onePost},
		{"one of several", "second", `{"action":"pgbridge.schema","columns":["statement","settings"],"rows":[["CREATE INDEX i ON a (b)","{}"]]}`},
		{
			"of the same string, and of functions", "first inside body same",
			`{"action":"pgbridge.schema","columns":["statement","settings"],"rows":[["CREATE TABLE a ()","{}"],["DROP TABLE c","{}"],["CREATE TABLE d ()","{}"],["CREATE TABLE b ()","{}"]]}`,
		},
		{
			"with who runs it", "granted granted_more", schemaRow + `["GRANT SELECT ON a, b TO \"Ann\"","{\"TimeZone\":\"UTC\",\"role\":\"Ann\"}"],` +
				`["GRANT ALL ON TABLE app.c, app.d TO sue","{\"object\":[\"table\",[\"app\",\"c\"],[]]}"]]}`,
		},
		{
			"owners of their own", "owner only_owner no_owner her_owner", schemaRow + `["ALTER TABLE a ADD z int","{\"object\":[\"table\",[\"a\"],[]]}"],` +
				`["ALTER TABLE a ADD z int","{\"role\":\"joe\"}"],["ALTER TABLE a ADD z int","{\"role\":\"Ann\"}"]]}`,
		},
		{"labels stay at home", "row label row", `{"action":"app.post.insert","columns":["id"],"rows":[["x"],["x"]]}`},
		{"a rewrite", "one clear rows row", createA + "," + cleared + "," + onePost},
		{
			"never in a call", "begin row one row end row",
			`{"action":"app.make","params":["a","b"],"values":["1",null],"effect":[` + onePost + `]},` + createA + `,{"action":"app.post.insert","columns":["id"],"rows":[["x"],["x"]]}`,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := playSchema(t, test.script, postgres.Part{})
			out := b.batch(nil)
			_, actions, _ := strings.Cut(string(out.body), `"actions":[`)
			if want := test.want + "]}\n"; actions != want {
				t.Errorf("got\n%swant\n%s", actions, want)
			}
			if len(out.changes) != strings.Count(test.want, `["CREATE `)+strings.Count(test.want, `["DROP `)+strings.Count(test.want, `["ALTER `)+strings.Count(test.want, `["GRANT `) || out.restart != (len(out.changes) > 0) {
				t.Errorf("got %d changes, sequences are published again: %v, for\n%s", len(out.changes), out.restart, out.body)
			}
			if r := action.NewReader(out.body); !r.Tx() || r.Tx() || r.Err() != nil {
				t.Errorf("the body cannot be read: %v", r.Err())
			}
		})
	}
}

// What is in the chain already is not published again, and does not count again.
func TestSchemaChangesAfterARestart(t *testing.T) {
	all := lines(t, playSchema(t, "row one clear rows second row", postgres.Part{}).batch(nil).body)
	for rows := range int64(7) {
		b := playSchema(t, "row one clear rows second row", postgres.Part{LSN: 16, Parts: 1, Rows: rows})
		out := b.batch(nil)
		if want := int(max(0, min(2, 2-min(1, rows/2)-rows/6))); len(out.changes) != want {
			t.Errorf("after %d changes: %d of the schema are left, want %d", rows, len(out.changes), want)
		}
		if got := strings.Join(lines(t, out.body), ""); len(got) > len(strings.Join(all, "")+" part 2") {
			t.Errorf("after %d changes: got %s, of %s", rows, got, all)
		}
	}
}

func TestSchemaMarksThatAreWrong(t *testing.T) {
	for word, want := range map[string]error{"nothing_like": ddl.ErrStatement, "same": ddl.ErrStatement, "elsewhere": nil, "rows": nil, "clear narrow": nil, "no_settings": nil, "no_grant": ddl.ErrStatement} {
		b := &builder{split: 1 << 20, marks: marks{secret: "s"}}
		b.begin(action.Tx{LSN: 16, XID: 7, At: 100}, false, postgres.Part{})
		var err error
		for w := range strings.FieldsSeq(word) {
			err = b.message(mark("s", schemaMarks[w]))
		}
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: got %v, want an error (%v)", word, err, want)
		}
	}
}

// playSchema builds one transaction; part is what the chain has of it.
func playSchema(t *testing.T, script string, part postgres.Part) *builder {
	t.Helper()
	b := &builder{split: 1 << 20, marks: marks{secret: "s"}, naming: &naming{}}
	b.begin(action.Tx{LSN: 16, XID: 7, At: 100}, false, part)
	for word := range strings.FieldsSeq(script) {
		if word == "row" {
			b.row(newPost, row("x"))
		} else if err := b.message(mark("s", schemaMarks[word])); err != nil {
			t.Fatalf("%s: %v", word, err)
		}
	}
	commit(b, 24)
	return b
}

// What the decoder is to know it is told, whether a transaction is published or not.
func TestRenames(t *testing.T) {
	for _, done := range []bool{false, true} {
		b := &builder{split: 1 << 20, marks: marks{secret: "s"}, naming: &naming{}}
		b.begin(action.Tx{LSN: 16, XID: 7, At: 100}, done, postgres.Part{})
		if err := b.message(mark("s", `s{"statement":"SELECT 1; ALTER SCHEMA a RENAME TO \"B\"","n":1,"tag":"ALTER SCHEMA","settings":{}}`)); err != nil {
			t.Fatal(err)
		}
		if got := b.takeRenames(); len(got) != 1 || got[0] != [2]string{"a", "B"} {
			t.Errorf("published before: %v: got %q", done, got)
		}
		if got := b.takeRenames(); got != nil {
			t.Errorf("again: got %q", got)
		}
	}
}
