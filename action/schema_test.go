package action

import (
	"bytes"
	"testing"
)

// The digest is part of the wire format: this one was made with sha256sum.
func TestNextSchema(t *testing.T) {
	before := Digest(bytes.Repeat([]byte{7}, 32))
	const want = "e971c343cf78e1e398ef407da074fd25d3447ebaef055e430b0edccd86c8a896"
	if got := NextSchema(before, "ALTER TABLE app.t ADD a int", `{"search_path":"app"}`).String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if NextSchema(before, "ab", "c") == NextSchema(before, "a", "bc") {
		t.Error("where the statement ends is not in the digest")
	}
}

func TestChangesSchema(t *testing.T) {
	table := Name{Schema: "app", Name: "t"}
	var b Body
	b.Begin(Tx{LSN: 16})
	b.Row(NewShape(Insert, table, nil, []string{"a"}), [][]byte{[]byte(`{"action":"pgbridge.schema","columns":[`)})
	b.Truncate(NewClear(table))
	b.End()
	if ChangesSchema(b.Bytes()) {
		t.Error("a value that looks like a statement is taken for one")
	}
	b.Begin(Tx{LSN: 32})
	b.Row(NewShape(Insert, table, nil, []string{"a"}), [][]byte{nil})
	b.Row(NewSchema(), [][]byte{[]byte("DROP TABLE app.t"), []byte("{}")})
	b.End()
	if !ChangesSchema(b.Bytes()) {
		t.Error("a statement is not found")
	}
}
