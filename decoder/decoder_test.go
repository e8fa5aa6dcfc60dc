package decoder

import (
	"strings"
	"testing"

	"github.com/pgbridge/pgbridge/action"
)

// The tables of these tests, as the server describes them.
var (
	posts = table(1, "app.posts", 'd', "id*", "title", "body")
	tags  = table(2, "app.tags", 'i', "post*", "tag*", "note")
	logs  = table(3, "app.Logs", 'f', "at*", "text*") // FULL marks every column
	loose = table(4, "app.loose", 'n', "a", "b")
	empty = table(5, "app.empty", 'd')
	rules = table(6, ".rules", 'd', "id*") // pg_catalog is abbreviated to nothing
)

func TestDecode(t *testing.T) {
	long := strings.Repeat("x", 3000)
	tests := []struct {
		name     string
		messages [][]byte
		want     string
	}{
		{
			"a transaction",
			[][]byte{begin(0x16B3748, 0, 771), posts, insert(1, newRow("7", "hi", nil)), commit(0x16B3748, 0x16B3778, 0)},
			"begin\napp.posts.insert id=\"7\" title=\"hi\" body=NULL\ncommit\n",
		},
		{"an empty transaction, as 14 sends it", [][]byte{begin(1, 0, 1), commit(1, 2, 0)}, "begin\ncommit\n"},
		{"an origin", [][]byte{begin(1, 0, 1), origin(0x10, "pgbridge_a"), commit(1, 2, 0)}, "begin\norigin pgbridge_a\ncommit\n"},
		{"a type teaches nothing", [][]byte{typ(17000, "app", "mood")}, ""},
		{"a logical message in a transaction", [][]byte{logical(1, 1, "app", "hello")}, "message transactional app \"hello\"\n"},
		{"a logical message outside", [][]byte{logical(0, 1, "", "")}, "message outside  \"\"\n"},

		{"NULL is not the empty text", [][]byte{posts, insert(1, newRow("7", nil, ""))}, "app.posts.insert id=\"7\" title=NULL body=\"\"\n"},
		{"a table without columns", [][]byte{empty, insert(5, newRow())}, "app.empty.insert\n"},
		{"a table of pg_catalog", [][]byte{rules, insert(6, newRow("1"))}, "pg_catalog.rules.insert id=\"1\"\n"},

		{
			"an update without an old row: the key is as it was",
			[][]byte{posts, update(1, newRow("7", "hello", nil))},
			"app.posts.update id=\"7\" set title=\"hello\" body=NULL\n",
		},
		{
			"an update of the key",
			[][]byte{posts, update(1, oldKey("7", nil, nil), newRow("8", "hello", nil))},
			"app.posts.update id=\"7\" set id=\"8\" title=\"hello\" body=NULL\n",
		},
		{
			"an update that leaves TOAST alone, default identity",
			[][]byte{posts, update(1, newRow("7", "hello", absent))},
			"app.posts.update id=\"7\" set title=\"hello\"\n",
		},
		{
			"an update of the key that leaves TOAST alone",
			[][]byte{posts, update(1, oldKey("7", nil, nil), newRow("8", "hello", absent))},
			"app.posts.update id=\"7\" set id=\"8\" title=\"hello\"\n",
		},
		{
			"an update that leaves TOAST alone, identity by index",
			[][]byte{tags, update(2, newRow("7", "go", absent))},
			"app.tags.update post=\"7\" tag=\"go\" set\n",
		},
		{
			"an update of half a key whose other half is TOAST",
			[][]byte{tags, update(2, oldKey("7", long, nil), newRow("8", absent, "n"))},
			"app.tags.update post=\"7\" tag=\"xxxxxxxx… (3000 bytes)\" set post=\"8\" note=\"n\"\n",
		},
		{
			"FULL: only what differs is set",
			[][]byte{logs, update(3, oldRow("1", "a"), newRow("1", "b"))},
			"app.\"Logs\".update at=\"1\" text=\"a\" set text=\"b\"\n",
		},
		{
			"FULL: from NULL to the empty text",
			[][]byte{logs, update(3, oldRow("1", nil), newRow("1", ""))},
			"app.\"Logs\".update at=\"1\" text=NULL set text=\"\"\n",
		},
		{
			"FULL: nothing differs",
			[][]byte{logs, update(3, oldRow("1", "a"), newRow("1", "a"))},
			"app.\"Logs\".update at=\"1\" text=\"a\" set\n",
		},
		{
			"FULL: TOAST that did not change is in the old row only",
			[][]byte{logs, update(3, oldRow("1", long), newRow("2", absent))},
			"app.\"Logs\".update at=\"1\" text=\"xxxxxxxx… (3000 bytes)\" set at=\"2\"\n",
		},
		{
			"a whole old row where a key would do",
			[][]byte{posts, update(1, oldRow("7", "a", nil), newRow("7", "b", nil)), update(1, newRow("7", "b", nil))},
			"app.posts.update id=\"7\" title=\"a\" body=NULL set title=\"b\"\napp.posts.update id=\"7\" set title=\"b\" body=NULL\n",
		},

		{"a delete by key", [][]byte{posts, remove(1, oldKey("7", nil, nil))}, "app.posts.delete id=\"7\"\n"},
		{"a delete by index", [][]byte{tags, remove(2, oldKey("7", "go", nil))}, "app.tags.delete post=\"7\" tag=\"go\"\n"},
		{"a delete by the whole row", [][]byte{logs, remove(3, oldRow("1", nil))}, "app.\"Logs\".delete at=\"1\" text=NULL\n"},

		{"a truncate", [][]byte{posts, truncate(0, 1)}, "app.posts.truncate\n"},
		{
			"a truncate of several tables with both options",
			[][]byte{posts, logs, truncate(3, 1, 3)},
			"app.posts.truncate restart cascade, app.\"Logs\".truncate restart cascade\n",
		},
		{"a truncate that restarts", [][]byte{posts, truncate(2, 1)}, "app.posts.truncate restart\n"},

		{
			"ALTER TABLE between two rows",
			[][]byte{
				posts, insert(1, newRow("7", "hi", nil)),
				table(1, "app.posts", 'd', "id*", "headline"), insert(1, newRow("8", "ho")),
				table(1, "app.posts", 'f', "id*", "headline*"), remove(1, oldRow("8", "ho")),
			},
			"app.posts.insert id=\"7\" title=\"hi\" body=NULL\napp.posts.insert id=\"8\" headline=\"ho\"\napp.posts.delete id=\"8\" headline=\"ho\"\n",
		},
		{
			"two tables taking turns",
			[][]byte{posts, tags, remove(1, oldKey("1", nil, nil)), remove(2, oldKey("2", "x", nil)), remove(1, oldKey("3", nil, nil))},
			"app.posts.delete id=\"1\"\napp.tags.delete post=\"2\" tag=\"x\"\napp.posts.delete id=\"3\"\n",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := transcript(t, test.messages...); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// What line leaves out.
func TestDecodePositions(t *testing.T) {
	const at = 1795168800123456 // 2026-11-20T10:00:00.123456Z
	tests := []struct {
		name    string
		message []byte
		want    Event
	}{
		{"begin", begin(0x16B3748, at, 771), Event{Kind: Begin, LSN: 0x16B3748, Time: at, XID: 771}},
		{"commit", commit(0x16B3748, 0x16B3778, at), Event{Kind: Commit, LSN: 0x16B3748, End: 0x16B3778, Time: at}},
		{"before 2000", begin(1, -1, 1), Event{Kind: Begin, LSN: 1, Time: -1, XID: 1}},
		{"origin", origin(0x1_00000002, "o"), Event{Kind: Origin, LSN: 0x1_00000002, Name: "o"}},
		{"message", logical(0, 0x30, "p", ""), Event{Kind: Message, LSN: 0x30, Name: "p"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var d Decoder
			e, err := d.Decode(test.message)
			if err != nil {
				t.Fatal(err)
			}
			w := test.want
			if e.Kind != w.Kind || e.LSN != w.LSN || e.End != w.End || e.Time != w.Time || e.XID != w.XID || e.Name != w.Name {
				t.Errorf("got  %+v\nwant %+v", *e, w)
			}
		})
	}
}

// An event says nothing of the event before it.
func TestDecodeForgets(t *testing.T) {
	var d Decoder
	for _, m := range [][]byte{posts, insert(1, newRow("7", "hi", nil)), truncate(3, 1), logical(1, 9, "p", "c"), commit(1, 2, 3)} {
		if _, err := d.Decode(m); err != nil {
			t.Fatal(err)
		}
	}
	e, err := d.Decode(begin(1, 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	if e.End != 0 || e.Name != "" || e.Content != nil || e.Transactional || e.Shape != nil || len(e.Values) > 0 || len(e.Truncates) > 0 {
		t.Errorf("begin after other events: got %+v, want nothing of them", *e)
	}
}

// Rows that have the same columns share their shape: a run is one in the record.
func TestShapesAreShared(t *testing.T) {
	var d Decoder
	shape := func(m []byte) *action.Shape {
		t.Helper()
		e, err := d.Decode(m)
		if err != nil {
			t.Fatal(err)
		}
		return e.Shape
	}
	shape(posts)
	shape(logs)
	tests := []struct {
		name string
		a, b []byte
	}{
		{"insert", insert(1, newRow("1", "a", nil)), insert(1, newRow("2", nil, "b"))},
		{"update", update(1, newRow("1", "a", nil)), update(1, newRow("2", "b", nil))},
		{"update by the whole row", update(3, oldRow("1", "a"), newRow("1", "b")), update(3, oldRow("2", "a"), newRow("2", "b"))},
		{"delete", remove(1, oldKey("1", nil, nil)), remove(1, oldKey("2", nil, nil))},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			first := shape(test.a)
			shape(insert(3, newRow("1", "x"))) // another table between
			shape(update(1, newRow("7", absent, absent)))
			if shape(test.b) != first {
				t.Error("two shapes, want one")
			}
		})
	}
}

// A wide table can change in more ways than there is memory for.
func TestUpdateShapesAreBounded(t *testing.T) {
	var names []string
	var before []any
	for i := range 16 {
		names = append(names, string(rune('a'+i))+"*")
		before = append(before, "0")
	}
	var d Decoder
	if _, err := d.Decode(table(1, "app.wide", 'f', names...)); err != nil {
		t.Fatal(err)
	}
	for change := range 4 * maxUpdates {
		after := append([]any(nil), before...)
		for i := range after {
			if change>>i&1 == 1 {
				after[i] = "1"
			}
		}
		e, err := d.Decode(update(1, oldRow(before...), newRow(after...)))
		if err != nil {
			t.Fatal(err)
		}
		if len(e.Values) != e.Shape.Width() {
			t.Fatalf("change %b: %d values for a shape of %d", change, len(e.Values), e.Shape.Width())
		}
		if n := len(d.relations[1].updates); n > maxUpdates {
			t.Fatalf("%d shapes remembered, want at most %d", n, maxUpdates)
		}
	}
}

func TestRenameSchema(t *testing.T) {
	var d Decoder
	name := func(oid uint32, values ...any) string {
		t.Helper()
		e, err := d.Decode(insert(oid, newRow(values...)))
		if err != nil {
			t.Fatal(err)
		}
		return e.Shape.Action()
	}
	for _, m := range [][]byte{posts, loose, rules} {
		if _, err := d.Decode(m); err != nil {
			t.Fatal(err)
		}
	}
	before := name(1, "7", "hi", nil)
	d.RenameSchema("app", "other")
	if got := []string{before, name(1, "7", "hi", nil), name(4, "1", "2"), name(6, "1")}; strings.Join(got, " ") !=
		"app.posts.insert other.posts.insert other.loose.insert pg_catalog.rules.insert" {
		t.Errorf("got %q", got)
	}
}
