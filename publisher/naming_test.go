package publisher

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/sql"
)

const (
	addPost = `{"action":"app.add_post","function":"app.add_post(integer)","params":[{"name":"id","type":"integer"}],"replay":"function",` +
		`"rules":[{"table":"app.post","operation":"insert","changed":null,"from":{"id":"id"},"derived":null}]}`
	beginCall = `c["app.make",["a","b"],["1",null]]`
	endCall   = "e"
)

// mark is the content of a true mark of transaction 7.
func mark(secret, rest string) []byte {
	seed := secret + ":7"
	if !strings.ContainsAny(rest[:min(1, len(rest))], "ced") {
		seed += ":" + rest[:min(1, len(rest))]
	}
	sum := sha256.Sum256([]byte(seed))
	return []byte(hex.EncodeToString(sum[:]) + rest)
}

// A transaction is a script of words: marks, "row", and what else can happen.
func TestNaming(t *testing.T) {
	define := `d["app.add_post",` + addPost + `]`
	for _, test := range []struct {
		name   string
		script string // transactions by ";", of words by a space
		want   []string
	}{
		{"a call", "begin row row end row", []string{
			`{"action":"app.make","params":["a","b"],"values":["1",null],"effect":[{"action":"app.post.insert","columns":["id"],"rows":[["x"],["x"]]}]}`,
			`{"action":"app.post.insert","columns":["id"],"rows":[["x"]]}`,
		}},
		{"without effect", "begin end", []string{`{"action":"app.make","params":["a","b"],"values":["1",null],"effect":[]}`}},
		{"a call in a call is part of it", "begin row begin row end row end", []string{
			`{"action":"app.make","params":["a","b"],"values":["1",null],"effect":[{"action":"app.post.insert","columns":["id"],"rows":[["x"],["x"],["x"]]}]}`,
		}},
		{"a forged mark", "forged row end row", []string{`{"action":"app.post.insert","columns":["id"],"rows":[["x"],["x"]]}`}},
		{"a definition counts from its commit", "row define row;row", []string{
			`{"action":"app.post.insert","columns":["id"],"rows":[["x"],["x"]]}`,
			`{"action":"pgbridge.define","columns":["action","definition"],"rows":[["app.add_post",`,
			`{"action":"app.add_post","of":"app.post.insert","params":["id"],"columns":["id"],"rows":[["x"]]}`,
		}},
		{"so does its end", "define;row drop row;row", []string{
			`{"action":"pgbridge.define","columns":["action","definition"],"rows":[["app.add_post",`,
			`{"action":"app.add_post","of":"app.post.insert","params":["id"],"columns":["id"],"rows":[["x"],["x"]]}`,
			`{"action":"pgbridge.define","columns":["action","definition"],"rows":[["app.add_post",null]]}`,
			`{"action":"app.post.insert","columns":["id"],"rows":[["x"]]}`,
		}},
		{"rows of a call are not named", "define;begin row end", []string{
			`{"action":"pgbridge.define","columns":["action","definition"],"rows":[["app.add_post",`,
			`{"action":"app.make","params":["a","b"],"values":["1",null],"effect":[{"action":"app.post.insert","columns":["id"],"rows":[["x"]]}]}`,
		}},
		{"a definition in a call", "begin define end", []string{
			`{"action":"app.make","params":["a","b"],"values":["1",null],"effect":[]}`,
			`{"action":"pgbridge.define","columns":["action","definition"],"rows":[["app.add_post",`,
		}},
		{"a checkpoint is named at the end, whatever it stands in", "begin checkpoint row end row", []string{
			`{"action":"app.make","params":["a","b"],"values":["1",null],"effect":[{"action":"app.post.insert","columns":["id"],"rows":[["x"]]}]}`,
			`{"action":"app.post.insert","columns":["id"],"rows":[["x"]]}`,
			`{"action":"pgbridge.checkpoint","columns":["number","digest"],"rows":[["7","abc"]]}]}`,
		}},
		{"a huge call is cut", "begin row cut row end row", []string{
			`{"action":"app.make","params":["a","b"],"values":["1",null],"effect":[{"action":"app.post.insert","columns":["id"],"rows":[["x"]]}]}`,
			`],"more":true}`, `"part":2`,
			`{"action":"app.post.insert","columns":["id"],"rows":[["x"],["x"]]}`,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := publish(t, test.script, define)
			rest := body
			for _, want := range test.want {
				_, after, ok := strings.Cut(rest, want)
				if !ok {
					t.Fatalf("got\n%s\nwant, after what came before, %s", body, want)
				}
				rest = after
			}
			for r := action.NewReader([]byte(body)); r.Tx(); {
				for r.Action() {
				}
				if r.Err() != nil {
					t.Error(r.Err())
				}
			}
		})
	}
}

// publish builds what a script makes and returns the bodies, one after the other.
func publish(t *testing.T, script, define string) (body string) {
	t.Helper()
	naming, err := newNaming(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &builder{split: 1 << 20, marks: marks{secret: "s"}, naming: naming}
	for i, tx := range strings.Split(script, ";") {
		b.begin(action.Tx{LSN: action.LSN(16 * (i + 1)), XID: 7, At: 100}, false, sql.Part{})
		for word := range strings.FieldsSeq(tx) {
			var err error
			switch word {
			case "row":
				b.row(newPost, row("x"))
			case "begin":
				err = b.message(mark("s", beginCall))
			case "end":
				err = b.message(mark("s", endCall))
			case "forged":
				err = b.message(mark("t", beginCall))
			case "define":
				err = b.message(mark("s", define))
			case "drop":
				err = b.message(mark("s", `d["app.add_post",null]`))
			case "checkpoint":
				err = b.message(mark("s", `k["7","abc"]`))
			case "cut":
				body += string(b.cut(nil).body)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		commit(b, action.LSN(16*(i+1)+8))
	}
	return body + string(b.batch(nil).body)
}

func TestForgedAreCounted(t *testing.T) {
	naming, err := newNaming(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &builder{split: 1 << 20, marks: marks{secret: "s"}, naming: naming}
	b.begin(action.Tx{LSN: 16, XID: 7}, false, sql.Part{})
	for _, content := range [][]byte{nil, []byte("c"), mark("t", beginCall), mark("s", "")} {
		if err := b.message(content); err != nil {
			t.Errorf("%q: %v", content, err)
		}
	}
	b.begin(action.Tx{LSN: 32, XID: 8}, false, sql.Part{})
	if err := b.message(mark("s", beginCall)); err != nil {
		t.Errorf("the mark of another transaction: %v", err)
	}
	b.row(newPost, row("x"))
	commit(b, 40)
	if got := b.batch(nil).forged; got != 5 {
		t.Errorf("counted %d forged marks, want 5", got)
	}
}
