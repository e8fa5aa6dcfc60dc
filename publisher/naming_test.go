package publisher

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/postgres"
)

const (
	addPost = `{"action":"app.add_post","function":"app.add_post(integer)","params":[{"name":"id","type":"integer"}],"replay":"function",` +
		`"rules":[{"table":"app.post","operation":"insert","changed":null,"from":{"id":"id"},"derived":null}]}`
	beginCall = `c["app.make",["a","b"],["1",null]]`
	endCall   = "e"
)

// mark is the content of a true mark of transaction 7. An end is that of
// beginCall.
func mark(secret, rest string) []byte {
	kind := rest[:min(1, len(rest))]
	if kind == "c" || kind == "e" {
		kind = `c"app.make"`
	}
	return markOf(secret, kind, rest)
}

// markOf is a mark of transaction 7 with the token of a kind; of a call with its
// action.
func markOf(secret, kind, rest string) []byte {
	sum := sha256.Sum256([]byte(secret + ":7:" + kind))
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
		{"a definition counts from its place", "row define row;row", []string{
			`{"action":"app.post.insert","columns":["id"],"rows":[["x"]]}`,
			`{"action":"pgbridge.define","columns":["action","definition"],"rows":[["app.add_post",`,
			`{"action":"app.add_post","of":"app.post.insert","params":["id"],"columns":["id"],"rows":[["x"]]}`,
			`{"action":"app.add_post","of":"app.post.insert","params":["id"],"columns":["id"],"rows":[["x"]]}`,
		}},
		{"so does its end", "define row drop row;row", []string{
			`{"action":"pgbridge.define","columns":["action","definition"],"rows":[["app.add_post",`,
			`{"action":"app.add_post","of":"app.post.insert","params":["id"],"columns":["id"],"rows":[["x"]]}`,
			`{"action":"pgbridge.define","columns":["action","definition"],"rows":[["app.add_post",null]]}`,
			`{"action":"app.post.insert","columns":["id"],"rows":[["x"]]}`,
			`{"action":"app.post.insert","columns":["id"],"rows":[["x"]]}`,
		}},
		{"rows of a call are not named", "define;begin row end", []string{
			`{"action":"pgbridge.define","columns":["action","definition"],"rows":[["app.add_post",`,
			`{"action":"app.make","params":["a","b"],"values":["1",null],"effect":[{"action":"app.post.insert","columns":["id"],"rows":[["x"]]}]}`,
		}},
		{"a definition in a call stands behind it", "begin define row end row", []string{
			`{"action":"app.make","params":["a","b"],"values":["1",null],"effect":[{"action":"app.post.insert","columns":["id"],"rows":[["x"]]}]}`,
			`{"action":"pgbridge.define","columns":["action","definition"],"rows":[["app.add_post",`,
			`{"action":"app.add_post","of":"app.post.insert","params":["id"],"columns":["id"],"rows":[["x"]]}`,
		}},
		{"a definition in a call that is left open", "begin define row", []string{
			`{"action":"app.make","params":["a","b"],"values":["1",null],"effect":[{"action":"app.post.insert","columns":["id"],"rows":[["x"]]}]}`,
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
		b.begin(action.Tx{LSN: action.LSN(16 * (i + 1)), XID: 7, At: 100}, false, postgres.Part{})
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

// What an owner of app.make can write: its calls, and nothing else. Whatever it
// tries is counted, is no error, and the rows are there.
func TestForgedAreCounted(t *testing.T) {
	const call, other = `c"app.make"`, `c"app.other"`
	drop, checkpoint := `d["app.other",null]`, `k["7","abc"]`
	for _, test := range []struct {
		name    string
		content [][]byte
		forged  int64
	}{
		{"nothing", [][]byte{nil, []byte("c"), mark("s", "")}, 3},
		{"with another secret", [][]byte{mark("t", beginCall)}, 1},
		{"a definition", [][]byte{markOf("s", call, drop), markOf("s", "", drop), markOf("s", "c", drop), markOf("s", `c"d"`, drop)}, 4},
		{"a checkpoint", [][]byte{markOf("s", call, checkpoint), markOf("s", "d", checkpoint)}, 2},
		{"a statement", [][]byte{markOf("s", call, schemaMarks["one"])}, 1},
		{"no kind, after a mark", [][]byte{mark("s", beginCall), mark("s", endCall), markOf("s", call, "\x00")}, 1},
		{"of another action", [][]byte{markOf("s", call, `c["app.other",["a"],["1"]]`), markOf("s", other, beginCall)}, 2},
		{"of another action, with a name behind", [][]byte{markOf("s", call, `c["app.other",["a"],["1"]]"app.make"`), markOf("s", call, `c ["app.make",["a"],["1"]]`)}, 2},
		{"what is no call", [][]byte{markOf("s", call, `c["app.make"`), markOf("s", call, `c["app.make",["a"],[]]`), markOf("s", call, `cx"app.make"`), markOf("s", call, `c["app.make",1,2]`)}, 4},
		{"an end without a beginning", [][]byte{mark("s", endCall)}, 1},
		{"an end of another's call", [][]byte{markOf("s", other, `c["app.other",["a"],["1"]]`), mark("s", endCall), markOf("s", other, endCall)}, 1},
		{"an end of the outer call", [][]byte{mark("s", beginCall), markOf("s", other, `c["app.other",["a"],["1"]]`), mark("s", endCall), markOf("s", other, endCall), mark("s", endCall)}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			naming, err := newNaming(nil)
			if err != nil {
				t.Fatal(err)
			}
			b := &builder{split: 1 << 20, marks: marks{secret: "s"}, naming: naming}
			b.begin(action.Tx{LSN: 16, XID: 7}, false, postgres.Part{})
			for _, content := range test.content {
				if err := b.message(content); err != nil {
					t.Errorf("%q: %v", content, err)
				}
			}
			b.row(newPost, row("x"))
			commit(b, 24)
			out := b.batch(nil)
			if out.forged != test.forged {
				t.Errorf("counted %d forged marks, want %d", out.forged, test.forged)
			}
			if out.named != nil || len(out.changes) > 0 || strings.Contains(string(out.body), "pgbridge.") || !strings.HasSuffix(string(out.body), `[["x"]]}]}`+"\n") {
				t.Errorf("something was believed: %s", out.body)
			}
		})
	}
}

// A token is of one transaction.
func TestForgedWithTheTokenOfAnother(t *testing.T) {
	b := &builder{split: 1 << 20, marks: marks{secret: "s"}, naming: &naming{}}
	for xid := range uint32(3) {
		b.begin(action.Tx{LSN: action.LSN(16 * (xid + 1)), XID: 6 + xid}, false, postgres.Part{})
		for _, content := range [][]byte{mark("s", beginCall), mark("s", endCall)} {
			if err := b.message(content); err != nil {
				t.Error(err)
			}
		}
		commit(b, action.LSN(16*(xid+1)+8))
	}
	out := b.batch(nil)
	if got := strings.Count(string(out.body), "app.make"); got != 1 || out.forged != 4 {
		t.Errorf("%d calls and %d forged marks, want 1 and 4: %s", got, out.forged, out.body)
	}
}

// A name with quotes is quoted again in the mark.
func TestCallOfAnOddName(t *testing.T) {
	const name = `"app.\"G \"\"\\g\""`
	b := &builder{split: 1 << 20, marks: marks{secret: "s"}, naming: &naming{}}
	b.begin(action.Tx{LSN: 16, XID: 7}, false, postgres.Part{})
	for _, rest := range []string{`c[` + name + `,["a"],["1"]]`, endCall} {
		if err := b.message(markOf("s", "c"+name, rest)); err != nil {
			t.Error(err)
		}
	}
	commit(b, 24)
	if out := b.batch(nil); out.forged != 0 || !strings.Contains(string(out.body), `{"action":`+name+`,"params":["a"],"values":["1"],"effect":[]}`) {
		t.Errorf("%d forged marks, want none, and the call: %s", out.forged, out.body)
	}
}
