package action

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// A body reads as in docs/wire.md.
func ExampleBody() {
	posts := Name{Schema: "app", Name: "posts"}
	insert := NewShape(Insert, posts, nil, []string{"id", "title"})
	update := NewShape(Update, posts, []string{"id"}, []string{"title"})

	at := time.Date(2026, 11, 20, 10, 0, 0, 123456000, time.UTC).UnixMicro()
	var b Body
	b.Begin(Tx{LSN: 0x16B3748, XID: 771, At: at, Clock: Clock{Micros: at}})
	b.Row(insert, [][]byte{[]byte("7"), []byte(`say "hi"`)})
	b.Row(insert, [][]byte{[]byte("8"), nil})
	b.Row(update, [][]byte{[]byte("7"), []byte("two\nlines")})
	b.Truncate(NewTruncate(Name{Schema: "app", Name: "Old Tags"}, true, false))
	b.End()
	fmt.Print(string(b.Bytes()))
	// Output:
	// {"lsn":"0/16B3748","xid":771,"at":"2026-11-20T10:00:00.123456Z","hlc":"1795168800123456.0","actions":[{"action":"app.posts.insert","columns":["id","title"],"rows":[["7","say \"hi\""],["8",null]]},{"action":"app.posts.update","key":["id"],"set":["title"],"rows":[["7","two\nlines"]]},{"action":"app.\"Old Tags\".truncate","restart":true}]}
}

// So do calls and rows that are named after functions.
func ExampleBody_Call() {
	posts := Name{Schema: "app", Name: "posts"}
	insert := NewShape(Insert, posts, nil, []string{"id", "title"})
	update := NewShape(Update, posts, []string{"id"}, []string{"title"})

	var b Body
	b.Begin(Tx{})
	b.Call(NewCall(Name{Schema: "app", Name: "create_post"}, []string{"id", "title"}), [][]byte{[]byte("7"), nil})
	b.Row(insert, [][]byte{[]byte("7"), nil})
	b.EndCall()
	b.Row(NewMapped(update, Name{Schema: "app", Name: "rename_post"}, []string{"post", "title"}), [][]byte{[]byte("7"), []byte("hello")})
	b.End()
	fmt.Println(strings.ReplaceAll(string(b.Bytes()), `{"action"`, "\n"+`{"action"`))
	// Output:
	// {"lsn":"0/0","xid":0,"at":"1970-01-01T00:00:00.000000Z","hlc":"0.0","actions":[
	// {"action":"app.create_post","params":["id","title"],"values":["7",null],"effect":[
	// {"action":"app.posts.insert","columns":["id","title"],"rows":[["7",null]]}]},
	// {"action":"app.rename_post","of":"app.posts.update","params":["post","title"],"key":["id"],"set":["title"],"rows":[["7","hello"]]}]}
}

// script is a random body together with what was put into it.
type script struct {
	txs []scriptTx
}

type scriptTx struct {
	head Tx
	more bool
	acts []scriptRow
}

type scriptRow struct {
	shape  *Shape
	values [][]byte
	ends   bool // a call: before this
}

func randomScript(rng *rand.Rand) script {
	var shapes []*Shape
	for i := range 6 {
		table := Name{Schema: []string{"app", "Weird Schema", `q"uote`}[rng.IntN(3)], Name: fmt.Sprintf("t%d", i)}
		cols := []string{"id", "Title", `we"ird`, "d"}[:1+rng.IntN(4)]
		shapes = append(shapes,
			NewShape(Insert, table, nil, cols), NewShape(Delete, table, cols, nil),
			NewShape(Update, table, cols[:1], cols), NewShape(Update, table, cols, []string{}), NewShape(Insert, table, nil, nil),
			NewTruncate(table, rng.IntN(2) == 0, rng.IntN(2) == 0))
	}
	named := []*Shape{NewSequences(), NewDefine(), NewCall(Name{Schema: "app", Name: "make"}, []string{"a", `b"`}), NewCall(Name{Schema: "app", Name: "no params"}, nil)}
	for _, rows := range shapes[:5] {
		named = append(named, NewMapped(rows, Name{Schema: "app", Name: "mapped"}, slices.Repeat([]string{"x", "", "y"}, 5)[:rows.Width()]))
	}
	var s script
	n := rng.IntN(5)
	for i := range n {
		tx := scriptTx{head: Tx{
			LSN: LSN(rng.Uint64()), XID: rng.Uint32(), At: rng.Int64N(4e15),
			Clock: Clock{Micros: rng.Int64N(4e15), Counter: rng.Uint32N(3)}, Part: 1 + rng.IntN(2), Copy: rng.IntN(4) == 0,
		}}
		tx.more = i == n-1 && rng.IntN(3) == 0
		call := false
		for range rng.IntN(8) {
			row := scriptRow{shape: shapes[rng.IntN(len(shapes))]}
			switch {
			case rng.IntN(3) == 0:
				row.shape, row.ends = named[rng.IntN(len(named))], call
				call = row.shape.Op == Call
			case call && rng.IntN(3) == 0:
				row.ends, call = true, false
			}
			for range row.shape.Width() {
				row.values = append(row.values, randomText(rng))
			}
			tx.acts = append(tx.acts, row)
		}
		s.txs = append(s.txs, tx)
	}
	return s
}

func randomText(rng *rand.Rand) []byte {
	if rng.IntN(6) == 0 {
		return nil
	}
	text := []rune{}
	for range rng.IntN(12) {
		text = append(text, letters[rng.IntN(len(letters))])
	}
	return []byte(string(text))
}

var letters = []rune("ab\x01\t\n\r\b\f\"\\\x1f\x7f\u2028é😀{}[],:\\N")

func (s script) write() []byte {
	var b Body
	for _, tx := range s.txs {
		b.Begin(tx.head)
		for _, a := range tx.acts {
			if a.ends {
				b.EndCall()
			}
			switch a.shape.Op {
			case Truncate:
				b.Truncate(a.shape)
			case Call:
				b.Call(a.shape, a.values)
			default:
				b.Row(a.shape, a.values)
			}
		}
		if tx.more {
			b.EndPart()
		} else {
			b.End()
		}
	}
	return b.Bytes()
}

func TestBodyRoundTrip(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 1))
		want := randomScript(rng)
		body := want.write()
		for line := range bytes.Lines(body) {
			if !json.Valid(line) {
				t.Fatalf("seed %d: not JSON: %s", seed, line)
			}
		}
		r := NewReader(body)
		for i, tx := range want.txs {
			if !r.Tx() {
				t.Fatalf("seed %d: transaction %d: %v", seed, i, r.Err())
			}
			if r.Head() != tx.head {
				t.Fatalf("seed %d: head = %+v, want %+v", seed, r.Head(), tx.head)
			}
			checkRows(t, r, tx)
		}
		if r.Tx() || r.Err() != nil {
			t.Fatalf("seed %d: after the last transaction: %v", seed, r.Err())
		}
	}
}

func checkRows(t *testing.T, r *Reader, tx scriptTx) {
	t.Helper()
	var got, want []string
	for r.Action() {
		row := func() {
			line := fmt.Sprint(r.InCall(), string(r.Shape().text))
			for _, v := range r.Values() {
				text, ok := v.Text()
				line += fmt.Sprintf(" %q %v %s", text, ok, v.AppendCopy(nil))
			}
			got = append(got, line)
		}
		switch r.Shape().Op {
		case Truncate:
			got = append(got, fmt.Sprint(r.InCall(), string(r.Shape().text)))
		case Call:
			row()
		}
		for r.Row() {
			row()
		}
	}
	call := false
	for _, a := range tx.acts {
		call = call && !a.ends && a.shape.Op != Call
		line := fmt.Sprint(call, string(a.shape.text))
		call = call || a.shape.Op == Call
		for _, v := range a.values {
			line += fmt.Sprintf(" %q %v %s", v, v != nil, copyText(v))
		}
		want = append(want, line)
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("rows:\ngot  %q\nwant %q", got, want)
	}
	if r.More() != tx.more {
		t.Fatalf("more = %v, want %v", r.More(), tx.more)
	}
}

// copyText is COPY's text format, written the plain way.
func copyText(v []byte) string {
	if v == nil {
		return `\N`
	}
	return strings.NewReplacer(`\`, `\\`, "\b", `\b`, "\f", `\f`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(string(v))
}

func TestReaderRefuses(t *testing.T) {
	const head = `{"lsn":"0/1","xid":1,"at":"2026-11-20T10:00:00.000000Z","hlc":"1.0","actions":[`
	tests := []struct{ name, body string }{
		{"no newline", head + `]}`},
		{"space", `{"lsn": "0/1"}` + "\n"},
		{"leading zero", strings.Replace(head, `"xid":1`, `"xid":01`, 1) + "]}\n"},
		{"lower-case lsn", strings.Replace(head, "0/1", "0/a", 1) + "]}\n"},
		{"padded lsn", strings.Replace(head, "0/1", "0/01", 1) + "]}\n"},
		{"short time", strings.Replace(head, ".000000Z", ".00000Z", 1) + "]}\n"},
		{"impossible day", strings.Replace(head, "-11-20", "-02-30", 1) + "]}\n"},
		{"clock form", strings.Replace(head, `"1.0"`, `"1"`, 1) + "]}\n"},
		{"part one", strings.Replace(head, `,"actions"`, `,"part":1,"actions"`, 1) + "]}\n"},
		{"run without rows", head + `{"action":"a.b.insert","columns":["x"],"rows":[]}]}` + "\n"},
		{"too few values", head + `{"action":"a.b.insert","columns":["x","y"],"rows":[["1"]]}]}` + "\n"},
		{"too many values", head + `{"action":"a.b.insert","columns":["x"],"rows":[["1","2"]]}]}` + "\n"},
		{"number for text", head + `{"action":"a.b.insert","columns":["x"],"rows":[[1]]}]}` + "\n"},
		{"needless escape", head + `{"action":"a.b.insert","columns":["x"],"rows":[["\/"]]}]}` + "\n"},
		{"escaped letter", head + `{"action":"a.b.insert","columns":["x"],"rows":[["\u0061"]]}]}` + "\n"},
		{"upper-case escape", head + `{"action":"a.b.insert","columns":["x"],"rows":[["\u001F"]]}]}` + "\n"},
		{"raw control character", head + "{\"action\":\"a.b.insert\",\"columns\":[\"x\"],\"rows\":[[\"\x01\"]]}]}\n"},
		{"not UTF-8", head + "{\"action\":\"a.b.insert\",\"columns\":[\"x\"],\"rows\":[[\"\xff\"]]}]}\n"},
		{"needless quotes", head + `{"action":"a.\"b\".insert","columns":["x"],"rows":[["1"]]}]}` + "\n"},
		{"missing quotes", head + `{"action":"a.B.insert","columns":["x"],"rows":[["1"]]}]}` + "\n"},
		{"unknown action", head + `{"action":"a.b.merge","columns":["x"],"rows":[["1"]]}]}` + "\n"},
		{"unknown field", head + `{"action":"a.b.insert","sql":"x","columns":["x"],"rows":[["1"]]}]}` + "\n"},
		{"fields in another order", head + `{"action":"a.b.update","set":["x"],"key":["y"],"rows":[["1","2"]]}]}` + "\n"},
		{"two runs that are one", head + `{"action":"a.b.insert","columns":["x"],"rows":[["1"]]},{"action":"a.b.insert","columns":["x"],"rows":[["1"]]}]}` + "\n"},
		{"a call without an effect", head + `{"action":"a.f","params":["x"],"values":["1"]}]}` + "\n"},
		{"a call with too few values", head + `{"action":"a.f","params":["x"],"values":[],"effect":[]}]}` + "\n"},
		{"a parameter without a name", head + `{"action":"a.f","params":[""],"values":["1"],"effect":[]}]}` + "\n"},
		{"a call's parameter that is null", head + `{"action":"a.f","params":[null],"values":["1"],"effect":[]}]}` + "\n"},
		{"a call that is not closed", head + `{"action":"a.f","params":[],"values":[],"effect":[],"more":true}` + "\n"},
		{"a call in a call", head + `{"action":"a.f","params":[],"values":[],"effect":[{"action":"a.f","params":[],"values":[],"effect":[]}]}]}` + "\n"},
		{"a mapped run in a call", head + `{"action":"a.f","params":[],"values":[],"effect":[{"action":"a.g","of":"a.b.insert","params":["p"],"columns":["x"],"rows":[["1"]]}]}]}` + "\n"},
		{"a mapped run with too few parameters", head + `{"action":"a.g","of":"a.b.insert","params":[],"columns":["x"],"rows":[["1"]]}]}` + "\n"},
		{"a mapped truncate", head + `{"action":"a.g","of":"a.b.truncate","params":[]}]}` + "\n"},
		{"a line after a part", head + "],\"more\":true}\n" + head + "]}\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := NewReader([]byte(tt.body))
			for r.Tx() {
			}
			if r.Err() == nil {
				t.Errorf("%s: taken, want an error", tt.body)
			}
		})
	}
}

func texts(values []Value) (all [][]byte) {
	for _, v := range values {
		var text []byte
		if v != nil {
			text = v.AppendText([]byte{})
		}
		all = append(all, text)
	}
	return all
}

// What a reader takes, a writer writes: a body has one form.
func FuzzReader(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(randomScript(rand.New(rand.NewPCG(seed, 2))).write())
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var again Body
		r := NewReader(body)
		for r.Tx() {
			open := false // a call
			again.Begin(r.Head())
			for r.Action() {
				if open && !r.InCall() {
					again.EndCall()
				}
				open = r.InCall() || r.Shape().Op == Call
				switch r.Shape().Op {
				case Truncate:
					again.Truncate(r.Shape())
				case Call:
					again.Call(r.Shape(), texts(r.Values()))
				}
				for r.Row() {
					again.Row(r.Shape(), texts(r.Values()))
				}
			}
			if r.Err() == nil && r.More() {
				again.EndPart()
			} else {
				again.End()
			}
		}
		if r.Err() != nil {
			return
		}
		if !bytes.Equal(again.Bytes(), body) {
			t.Fatalf("read and written again:\n%s\nwas\n%s", again.Bytes(), body)
		}
	})
}

func BenchmarkBody(b *testing.B) {
	shape := NewShape(Insert, Name{Schema: "public", Name: "t"}, nil, []string{"id", "name", "n"})
	values := [][]byte{[]byte("123456"), []byte("a row of some length"), []byte("42.50")}
	var body Body
	b.ReportAllocs()
	for b.Loop() {
		if body.Txs() >= 10000 {
			body.Reset()
		}
		body.Begin(Tx{LSN: 12345, XID: 7, At: 1795168800123456, Clock: Clock{Micros: 1795168800123456}})
		body.Row(shape, values)
		body.End()
	}
}

func BenchmarkReader(b *testing.B) {
	shape := NewShape(Insert, Name{Schema: "public", Name: "t"}, nil, []string{"id", "name", "n"})
	var body Body
	for i := range 1000 {
		body.Begin(Tx{LSN: LSN(i), XID: 7, At: 1795168800123456, Clock: Clock{Micros: 1795168800123456}})
		body.Row(shape, [][]byte{[]byte("123456"), []byte("a row of some length"), []byte("42.50")})
		body.End()
	}
	r := NewReader(nil)
	b.ReportAllocs()
	b.SetBytes(int64(body.Len()))
	for b.Loop() {
		r.Reset(body.Bytes())
		for r.Tx() {
			for r.Action() {
				for r.Row() {
				}
			}
		}
		if r.Err() != nil {
			b.Fatal(r.Err())
		}
	}
}
