package decoder

import (
	"runtime"
	"strings"
	"testing"
)

func TestDecodeRefuses(t *testing.T) {
	tests := []struct {
		name     string
		messages [][]byte // the last is refused
		want     string
	}{
		{"nothing", [][]byte{{}}, "empty message"},
		{"a table never described", [][]byte{insert(9, newRow("1"))}, "decode Insert message: table with oid 9 was never described"},
		{"a truncate of such a table", [][]byte{posts, truncate(0, 1, 9)}, "decode Truncate message: table with oid 9 was never described"},
		{"too few values", [][]byte{posts, insert(1, newRow("7", "hi"))}, "app.posts: 2 values for 3 columns"},
		{"too many values", [][]byte{posts, update(1, newRow("7", "hi", nil, nil))}, "app.posts: 4 values for 3 columns"},
		{"too few old values", [][]byte{posts, remove(1, oldKey("7"))}, "app.posts: 1 values for 3 columns"},
		{"a binary value", [][]byte{posts, insert(1, newRow("7", binry, nil))}, `app.posts: value of column "title" has format 'b', text was asked for`},
		{"a value of no known format", [][]byte{posts, insert(1, newRow("7", special('z'), nil))}, `column "title" has format 'z'`},
		{"a column of an inserted row absent", [][]byte{posts, insert(1, newRow("7", "hi", absent))}, `inserted value of column "body" is absent`},
		{"the key of an update absent", [][]byte{posts, update(1, newRow(absent, "hi", nil))}, `value of column "id" is absent`},
		{"the key of a delete absent", [][]byte{posts, remove(1, oldKey(absent, nil, nil))}, `value of column "id" is absent`},
		{"a column of an old row absent", [][]byte{logs, update(3, oldRow("1", absent), newRow("1", "b"))}, `value of column "text" is absent`},
		{"an insert of an old row", [][]byte{posts, insert(1, oldRow("7", "hi", nil))}, `tuple of kind 'O' where the new one is expected`},
		{"an update without a new row", [][]byte{posts, update(1, oldKey("7", nil, nil), oldKey("7", nil, nil))}, `tuple of kind 'K' where the new one is expected`},
		{"a delete of a new row", [][]byte{posts, remove(1, newRow("7", "hi", nil))}, `tuple of kind 'N' where an old one is expected`},
		{"FULL without the old row", [][]byte{logs, update(3, newRow("1", "b"))}, `the old row is absent, but the replica identity is FULL`},
		{"FULL with a key only", [][]byte{logs, update(3, oldKey("1", "a"), newRow("1", "b"))}, `the old row is absent, but the replica identity is FULL`},
		{
			"an update without replica identity",
			[][]byte{loose, update(4, newRow("1", "2"))},
			`update of app.loose without a replica identity: give the table a primary key, or ALTER TABLE "app"."loose" REPLICA IDENTITY FULL`,
		},
		{"a delete without replica identity", [][]byte{loose, remove(4, oldKey(nil, nil))}, `delete of app.loose without a replica identity`},
		{"unknown flags of a logical message", [][]byte{logical(2, 1, "p", "c")}, "unknown flags 0x2"},
		{"unknown options of a truncate", [][]byte{posts, truncate(4, 1)}, "unknown options 0x4"},
		{"a truncate of no table", [][]byte{truncate(0)}, "no table is named"},

		{"later: stream start", [][]byte{[]byte("S")}, "decode Stream Start message: not part of protocol version 1"},
		{"later: stream stop", [][]byte{[]byte("E")}, "decode Stream Stop message: not part"},
		{"later: stream commit", [][]byte{[]byte("c")}, "decode Stream Commit message: not part"},
		{"later: stream abort", [][]byte{[]byte("A")}, "decode Stream Abort message: not part"},
		{"later: begin prepare", [][]byte{[]byte("b")}, "decode Begin Prepare message: not part"},
		{"later: prepare", [][]byte{[]byte("P")}, "decode Prepare message: not part"},
		{"later: commit prepared", [][]byte{[]byte("K")}, "decode Commit Prepared message: not part"},
		{"later: rollback prepared", [][]byte{[]byte("r")}, "decode Rollback Prepared message: not part"},
		{"later: stream prepare", [][]byte{[]byte("p")}, "decode Stream Prepare message: not part"},
		{"never heard of", [][]byte{[]byte("?")}, `decode unknown ('?') message: not part`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var d Decoder
			last := len(test.messages) - 1
			for _, m := range test.messages[:last] {
				if _, err := d.Decode(m); err != nil {
					t.Fatal(err)
				}
			}
			_, err := d.Decode(test.messages[last])
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

// Every message is refused when it ends early, wherever that is, and when
// something follows it.
func TestDecodeLength(t *testing.T) {
	tests := []struct {
		name    string
		message []byte
	}{
		{"begin", begin(1, 2, 3)},
		{"commit", commit(1, 2, 3)},
		{"origin", origin(1, "o")},
		{"relation", table(9, "app.x", 'd', "a*", "b")},
		{"relation without columns", table(9, "app.x", 'd')},
		{"type", typ(1, "app", "mood")},
		{"insert", insert(1, newRow("7", nil, "b"))},
		{"insert without columns", insert(5, newRow())},
		{"update", update(1, newRow("7", "t", absent))},
		{"update of the key", update(1, oldKey("7", nil, nil), newRow("8", "t", ""))},
		{"update by the whole row", update(3, oldRow("7", "a"), newRow("7", "b"))},
		{"delete", remove(1, oldKey("7", nil, nil))},
		{"truncate", truncate(0, 1, 3)},
		{"message", logical(1, 1, "p", "content")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for cut := 1; cut < len(test.message); cut++ {
				if err := decodeAfter(t, test.message[:cut]); err == nil || !strings.HasSuffix(err.Error(), "message is cut short") {
					t.Errorf("the first %d of %d bytes: got %v, want that it is cut short", cut, len(test.message), err)
				}
			}
			if err := decodeAfter(t, append(test.message[:len(test.message):len(test.message)], 0)); err == nil || !strings.HasSuffix(err.Error(), "bytes follow the end of the message") {
				t.Errorf("one byte more: got %v, want that bytes follow", err)
			}
			if err := decodeAfter(t, test.message); err != nil {
				t.Errorf("whole: %v", err)
			}
		})
	}
}

// decodeAfter decodes m after the tables of the tests were described.
func decodeAfter(t *testing.T, m []byte) error {
	t.Helper()
	_, err := described(t).Decode(m)
	return err
}

// A length in a message makes no memory.
func TestDecodeAllocatesWhatCame(t *testing.T) {
	huge := u32(0x7fffffff)
	tests := []struct {
		name    string
		message []byte
	}{
		{"value", join("I", u32(1), "N", u16(3), "t", huge)},
		{"content", join("M\x00", u64(1), cstring("p"), huge)},
		{"tables", join("T", huge, "\x00", u32(1))},
		{"columns", join("R", u32(9), cstring("app"), cstring("x"), "d", u16(65535), "\x00")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := decodeAfter(t, test.message)
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Fatal("taken, want an error")
			}
			if got := after.TotalAlloc - before.TotalAlloc; got > 64<<10 {
				t.Errorf("%d bytes allocated for a message of %d", got, len(test.message))
			}
		})
	}
}
