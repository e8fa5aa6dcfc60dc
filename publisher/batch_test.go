package publisher

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/postgres"
)

var (
	posts    = action.Name{Schema: "app", Name: "post"}
	tags     = action.Name{Schema: "app", Name: "tag"}
	newPost  = action.NewShape(action.Insert, posts, nil, []string{"id"})
	newTag   = action.NewShape(action.Insert, tags, nil, []string{"id"})
	goneTag  = action.NewShape(action.Delete, tags, []string{"id"}, nil)
	noPosts  = action.NewTruncate(posts, false, false)
	noTags   = action.NewTruncate(tags, false, true)
	restarts = action.NewTruncate(tags, true, false)
)

func row(text string) [][]byte { return [][]byte{[]byte(text)} }

// commit ends a transaction that defines nothing, which cannot fail.
func commit(b *builder, end action.LSN) {
	if err := b.commit(end); err != nil {
		panic(err)
	}
}

// lines writes a body down: a line for each transaction, its clock, its part,
// the values of its rows, and what each truncate is of.
func lines(t *testing.T, body []byte) []string {
	t.Helper()
	var out []string
	r := action.NewReader(body)
	for r.Tx() {
		head := r.Head()
		line := fmt.Sprintf("%s %s", head.LSN, head.Clock)
		if head.Part > 1 {
			line += fmt.Sprint(" part ", head.Part)
		}
		if head.Copy {
			line += " copy"
		}
		line += ":"
		for r.Action() {
			if r.Shape().Op == action.Truncate {
				line += " " + r.Shape().Action()
			}
			for r.Row() {
				text, _ := r.Values()[0].Text()
				line += " " + text
			}
		}
		if r.More() {
			line += " …"
		}
		out = append(out, line)
	}
	if err := r.Err(); err != nil {
		t.Fatalf("read body: %v\n%s", err, body)
	}
	return out
}

func TestBuilder(t *testing.T) {
	tx := func(b *builder, lsn action.LSN, at int64, rows ...string) {
		b.begin(action.Tx{LSN: lsn, At: at}, false, postgres.Part{})
		for _, text := range rows {
			b.row(newPost, row(text))
		}
		commit(b, lsn+8)
	}
	for _, test := range []struct {
		name  string
		build func(*builder)
		want  string // the lines, then what else is in the batch
	}{
		{"nothing", func(*builder) {}, `to 0/1 at 0 clock 7.3`},
		{"a transaction", func(b *builder) { tx(b, 16, 100, "1", "2") }, `0/10 100.0: 1 2 | txs 1 to 0/18 at 100 clock 100.0 [app.post.insert]`},
		{
			"a clock that goes back, and stands", func(b *builder) { tx(b, 16, 5, "1"); tx(b, 32, 7, "2"); tx(b, 48, 9, "3"); tx(b, 64, 9, "4") },
			`0/10 7.4: 1 | 0/20 7.5: 2 | 0/30 9.0: 3 | 0/40 9.1: 4 | txs 4 to 0/48 at 9 clock 9.1 [app.post.insert]`,
		},
		{"an empty transaction moves the position and nothing else", func(b *builder) { tx(b, 16, 100, "1"); tx(b, 32, 200) }, `0/10 100.0: 1 | txs 1 to 0/28 at 100 clock 100.0 [app.post.insert]`},
		{"only empty ones", func(b *builder) { tx(b, 16, 100); tx(b, 32, 200) }, `to 0/28 at 0 clock 7.3`},
		{"an echo", func(b *builder) {
			b.begin(action.Tx{LSN: 16, At: 100}, false, postgres.Part{})
			b.drop()
			b.row(newPost, row("echo"))
			b.truncate([]*action.Shape{restarts})
			commit(b, 24)
			tx(b, 32, 200, "own")
		}, `0/20 200.0: own | txs 1 to 0/28 at 200 clock 200.0 [app.post.insert]`},
		{"what is in the chain already", func(b *builder) {
			b.begin(action.Tx{LSN: 16, At: 100}, true, postgres.Part{})
			b.row(newPost, row("old"))
			commit(b, 24)
		}, `to 0/18 at 0 clock 7.3`},
		{"names, each once, sorted", func(b *builder) {
			b.begin(action.Tx{LSN: 16, At: 100}, false, postgres.Part{})
			for _, s := range []*action.Shape{newTag, newPost, newTag, goneTag, newPost, action.NewShape(action.Insert, tags, nil, []string{"other"})} {
				b.row(s, row("x"))
			}
			b.truncate([]*action.Shape{noPosts, noTags})
			commit(b, 24)
		}, `0/10 100.0: x x x x x x app.post.truncate app.tag.truncate | txs 1 to 0/18 at 100 clock 100.0 [app.post.insert app.post.truncate app.tag.delete app.tag.insert app.tag.truncate]`},
		{"sequences restart", func(b *builder) {
			b.begin(action.Tx{LSN: 16, At: 100}, false, postgres.Part{})
			b.truncate([]*action.Shape{noPosts, restarts})
			commit(b, 24)
		}, `0/10 100.0: app.post.truncate app.tag.truncate | txs 1 to 0/18 at 100 clock 100.0 restart [app.post.truncate app.tag.truncate]`},
		{"initial rows", func(b *builder) {
			b.begin(action.Tx{LSN: 16, At: 100, Copy: true}, false, postgres.Part{})
			b.row(newPost, row("1"))
			commit(b, 16)
		}, `0/10 100.0 copy: 1 | txs 1 to 0/10 at 100 clock 100.0 [app.post.insert]`},
		{"the end of the initial rows", func(b *builder) {
			b.begin(action.Tx{LSN: 16, At: 100}, false, postgres.Part{})
			b.openLine()
			commit(b, 16)
		}, `0/10 100.0: | txs 1 to 0/10 at 100 clock 100.0 []`},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := &builder{split: 1 << 20, to: 1, clock: action.Clock{Micros: 7, Counter: 3}}
			test.build(b)
			if got := write(t, b.batch(nil)); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if again := b.batch(nil); again.body != nil || again.txs != 0 || again.restart || len(again.actions) > 0 {
				t.Errorf("the next batch is not empty: %+v", again)
			}
		})
	}
}

func write(t *testing.T, b batch) string {
	t.Helper()
	out := strings.Join(lines(t, b.body), " | ")
	if b.body != nil {
		out += fmt.Sprintf(" | txs %d ", b.txs)
	}
	out += fmt.Sprintf("to %s at %d clock %s", b.to, b.at, b.clock)
	if b.restart {
		out += " restart"
	}
	if b.part != (postgres.Part{}) {
		out += fmt.Sprintf(" part %+v", b.part)
	}
	if b.body != nil {
		out += fmt.Sprint(" ", b.actions)
	}
	return out
}

func TestBuilderCuts(t *testing.T) {
	b := &builder{split: 250}
	b.begin(action.Tx{LSN: 16, At: 50}, false, postgres.Part{})
	b.row(newPost, row("small"))
	commit(b, 24)
	b.begin(action.Tx{LSN: 32, XID: 7, At: 100}, false, postgres.Part{})
	var got []string
	for i := range 6 {
		b.row(newPost, row(strings.Repeat(fmt.Sprint(i), 100)))
		if b.full() {
			got = append(got, write(t, b.cut(nil)))
		}
	}
	b.truncate([]*action.Shape{restarts})
	commit(b, 40)
	got = append(got, write(t, b.batch(nil)))
	long := func(i int) string { return strings.Repeat(fmt.Sprint(i), 100) }
	want := []string{
		`0/10 50.0: small | 0/20 100.0: ` + long(0) + ` … | txs 2 to 0/18 at 100 clock 100.0 part {LSN:0/20 Parts:1 Rows:1} [app.post.insert]`,
		`0/20 100.0 part 2: ` + long(1) + ` ` + long(2) + ` … | txs 1 to 0/18 at 100 clock 100.0 part {LSN:0/20 Parts:2 Rows:3} [app.post.insert]`,
		`0/20 100.0 part 3: ` + long(3) + ` ` + long(4) + ` … | txs 1 to 0/18 at 100 clock 100.0 part {LSN:0/20 Parts:3 Rows:5} [app.post.insert]`,
		`0/20 100.0 part 4: ` + long(5) + ` app.tag.truncate | txs 1 to 0/28 at 100 clock 100.0 restart [app.post.insert app.tag.truncate]`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A transaction that was cut after its last change still gets its end.
func TestBuilderEndsWhatItCut(t *testing.T) {
	b := &builder{split: 1}
	b.begin(action.Tx{LSN: 32, At: 100}, false, postgres.Part{})
	b.row(newPost, row("all"))
	first := b.cut(nil)
	commit(b, 40)
	got := write(t, first) + "\n" + write(t, b.batch(nil))
	want := "0/20 100.0: all … | txs 1 to 0/0 at 100 clock 100.0 part {LSN:0/20 Parts:1 Rows:1} [app.post.insert]\n" +
		"0/20 100.0 part 2: | txs 1 to 0/28 at 100 clock 100.0 []"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// chained is what the chain remembers between two runs.
type chained struct {
	end   action.LSN
	part  postgres.Part
	clock action.Clock
	lines []string
}

func (c *chained) take(t *testing.T, b batch) {
	t.Helper()
	if b.body == nil {
		return // nothing is sealed: the server sends it again
	}
	c.lines = append(c.lines, lines(t, b.body)...)
	c.end, c.part, c.clock = max(b.to, c.end), b.part, b.clock
}

// replay feeds transactions to a builder as capture does, from where the chain
// is, until lives batches were taken.
func (c *chained) replay(t *testing.T, r *rand.Rand, story [][]string, split, lives int) (done bool) {
	t.Helper()
	b := &builder{split: split, to: c.end, clock: c.clock}
	start, part := c.end, c.part
	for i, rows := range story {
		lsn := action.LSN(16 * (i + 1))
		if lsn+8 <= start {
			continue // the server does not send it
		}
		b.begin(action.Tx{LSN: lsn, At: int64(1000 - i)}, lsn < start, part)
		for _, text := range rows {
			if strings.HasPrefix(text, "app.") {
				b.truncate([]*action.Shape{noPosts})
			} else {
				b.row(newPost, row(text))
			}
			if b.full() {
				if lives--; lives < 0 {
					return false
				}
				c.take(t, b.cut(nil))
			}
		}
		commit(b, lsn+8)
		if r.IntN(3) == 0 {
			if lives--; lives < 0 {
				return false
			}
			c.take(t, b.batch(nil))
		}
	}
	c.take(t, b.batch(nil))
	return true
}

// Wherever a run is cut off, and at whatever size it cuts, the next one goes on
// with the next change: nothing is missing, nothing is there twice, and the
// parts of a transaction say that they are.
func TestBuilderResumes(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		var story [][]string
		for i := range 1 + r.IntN(6) {
			rows := []string{} // an empty transaction, perhaps
			for j := range r.IntN(12) {
				text := fmt.Sprintf("%d-%d%s", i, j, strings.Repeat("x", r.IntN(60)))
				if r.IntN(8) == 0 {
					text = "app.post.truncate"
				}
				rows = append(rows, text)
			}
			story = append(story, rows)
		}
		var c chained
		for runs := 0; !c.replay(t, r, story, 1+r.IntN(400), r.IntN(4)); runs++ {
			if runs > 1000 {
				t.Fatalf("seed %d: it never ends", seed)
			}
		}
		checkStory(t, seed, story, c.lines)
	}
}

func checkStory(t *testing.T, seed uint64, story [][]string, got []string) {
	t.Helper()
	clocks := map[string]bool{}
	for i, rows := range story {
		if len(rows) == 0 {
			continue
		}
		lsn, clock, all := action.LSN(16*(i+1)).String(), "", []string{}
		for part := 1; ; part++ {
			if len(got) == 0 {
				t.Fatalf("seed %d: transaction %s is missing or has no end", seed, lsn)
			}
			head, values, _ := strings.Cut(got[0], ":")
			got = got[1:]
			words := strings.Fields(head)
			if words[0] != lsn || part > 1 && (words[1] != clock || len(words) != 4 || words[3] != fmt.Sprint(part)) || part == 1 && (len(words) != 2 || clocks[words[1]]) {
				t.Fatalf("seed %d: got %q, want part %d of %s with clock %q", seed, head, part, lsn, clock)
			}
			clock = words[1]
			clocks[clock] = true
			text, more := strings.CutSuffix(values, " …")
			all = append(all, strings.Fields(text)...)
			if !more {
				break
			}
		}
		if !slices.Equal(all, rows) {
			t.Fatalf("seed %d: transaction %s: got %v, want %v", seed, lsn, all, rows)
		}
	}
	if len(got) > 0 {
		t.Fatalf("seed %d: too much: %v", seed, got)
	}
}
