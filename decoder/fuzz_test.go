package decoder

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/jackc/pglogrepl"

	"github.com/pgbridge/pgbridge/action"
)

// A stream is messages one after the other, each after its length in two bytes.
func split(stream []byte) (messages [][]byte) {
	for len(stream) >= 2 {
		n := min(int(binary.BigEndian.Uint16(stream)), len(stream)-2)
		messages = append(messages, stream[2:2+n])
		stream = stream[2+n:]
	}
	return messages
}

func joined(messages ...[]byte) (stream []byte) {
	for _, m := range messages {
		stream = append(stream, u16(len(m))...)
		stream = append(stream, m...)
	}
	return stream
}

// What the decoder takes, pglogrepl takes too, and reads the same in it; a byte
// less or more would not have been taken; and memory is bounded by the input.
func FuzzDecode(f *testing.F) {
	for _, row := range rows {
		f.Add(joined(posts, tags, logs, row.message))
	}
	f.Add(joined(begin(1, 2, 3), origin(4, "o"), typ(5, "app", "mood"), loose, empty, rules, insert(5, newRow()), insert(6, newRow("")),
		logical(1, 6, "p", "c"), truncate(3, 5, 6), table(6, ".rules", 'f', "id*"), remove(6, oldRow("1")), commit(7, 8, 9), logical(0, 0, "", "")))
	recorded, err := filepath.Glob("testdata/*.stream")
	if err != nil || len(recorded) == 0 {
		f.Fatalf("recorded streams: got %v, %v, want some", recorded, err)
	}
	for _, name := range recorded {
		stream, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, tx := range transactions(split(stream)) {
			f.Add(joined(tx...))
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		checkMemory(t, stream)
		var d Decoder
		o := oracle{}
		for i, m := range split(stream) {
			e, err := d.Decode(m)
			if err != nil {
				return
			}
			if want, got := o.read(t, m), describe(e, e.Time*1000); got != want {
				t.Fatalf("message %d %q:\ngot  %s\nwant %s", i, m, got, want)
			}
			for _, other := range [][]byte{m[:len(m)-1], append(slices.Clone(m), 0)} {
				if _, err := d.Decode(other); err == nil {
					t.Fatalf("message %d: both %q and %q are taken", i, m, other)
				}
			}
		}
	})
}

// transactions cuts a stream into small ones, each with the tables that were
// described before, and without long values: the fuzzer is slow with those.
func transactions(messages [][]byte) (all [][][]byte) {
	var tables, tx [][]byte
	for _, m := range messages {
		if len(m) < 256 {
			tx = append(tx, m)
		}
		if m[0] == 'R' {
			tables = append(tables, m)
		}
		if m[0] == 'C' {
			all = append(all, tx)
			tx = slices.Clone(tables)
		}
	}
	return all
}

// checkMemory allows for the shapes of rows, each of the size of its table's
// description, but for no length that is only announced.
func checkMemory(t *testing.T, stream []byte) {
	t.Helper()
	var before, after runtime.MemStats
	var d Decoder
	messages := split(stream)
	runtime.ReadMemStats(&before)
	for _, m := range messages {
		if _, err := d.Decode(m); err != nil {
			break
		}
	}
	runtime.ReadMemStats(&after)
	n := uint64(len(stream))
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20+n<<10+n*n*8 {
		t.Fatalf("%d bytes allocated for %d", got, n)
	}
	for _, r := range d.relations {
		if len(r.updates) > maxUpdates {
			t.Fatalf("%d shapes kept", len(r.updates))
		}
	}
}

// describe writes all that an event says. pglogrepl has the time in nanoseconds,
// with the overflow that brings.
func describe(e *Event, nanos int64) string {
	s := fmt.Sprintf("%d %v %v %d %d %q %q %v", e.Kind, e.LSN, e.End, nanos, e.XID, e.Name, e.Content, e.Transactional)
	for _, shape := range e.Truncates {
		s += fmt.Sprintf(" truncate %q %v %v", shape.Table, shape.Restart, shape.Cascade)
	}
	if e.Kind != Row {
		return s
	}
	s += fmt.Sprintf(" %v %q", e.Shape.Op, e.Shape.Table)
	for i, column := range slices.Concat(e.Shape.Key, e.Shape.Set) {
		if i == len(e.Shape.Key) {
			s += " set"
		}
		s += fmt.Sprintf(" %q=%q/%v", column, e.Values[i], e.Values[i] == nil)
	}
	return s
}

// oracle makes of pglogrepl's messages what describe makes of events.
type oracle map[uint32]*pglogrepl.RelationMessage

func (o oracle) read(t *testing.T, m []byte) string {
	t.Helper()
	parsed, err := pglogrepl.Parse(m)
	if err != nil {
		if m[0] == 'I' && len(m) == 8 { // it refuses a row without columns
			return describe(&Event{Kind: Row, Shape: action.NewShape(action.Insert, o.table(binary.BigEndian.Uint32(m[1:])), nil, nil)}, 0)
		}
		t.Fatalf("message %q: %v", m, err)
	}
	e, nanos := Event{}, int64(0)
	switch m := parsed.(type) {
	case *pglogrepl.BeginMessage:
		e = Event{Kind: Begin, LSN: action.LSN(m.FinalLSN), XID: m.Xid}
		nanos = m.CommitTime.UnixNano()
	case *pglogrepl.CommitMessage:
		e = Event{Kind: Commit, LSN: action.LSN(m.CommitLSN), End: action.LSN(m.TransactionEndLSN)}
		nanos = m.CommitTime.UnixNano()
	case *pglogrepl.OriginMessage:
		e = Event{Kind: Origin, LSN: action.LSN(m.CommitLSN), Name: m.Name}
	case *pglogrepl.LogicalDecodingMessage:
		e = Event{Kind: Message, LSN: action.LSN(m.LSN), Name: m.Prefix, Content: m.Content, Transactional: m.Transactional}
	case *pglogrepl.RelationMessage:
		o[m.RelationID] = m
	case *pglogrepl.TruncateMessage:
		e.Kind = Truncate
		for _, oid := range m.RelationIDs {
			e.Truncates = append(e.Truncates, action.NewTruncate(o.table(oid),
				m.Option&pglogrepl.TruncateOptionRestartIdentity != 0, m.Option&pglogrepl.TruncateOptionCascade != 0))
		}
	case *pglogrepl.InsertMessage:
		e = o.row(action.Insert, m.RelationID, 0, nil, m.Tuple)
	case *pglogrepl.UpdateMessage:
		e = o.row(action.Update, m.RelationID, m.OldTupleType, m.OldTuple, m.NewTuple)
	case *pglogrepl.DeleteMessage:
		e = o.row(action.Delete, m.RelationID, m.OldTupleType, m.OldTuple, nil)
	}
	return describe(&e, nanos)
}

func (o oracle) table(oid uint32) action.Name {
	r := o[oid]
	if r.Namespace == "" {
		return action.Name{Schema: "pg_catalog", Name: r.RelationName}
	}
	return action.Name{Schema: r.Namespace, Name: r.RelationName}
}

// row finds the row by its old key, its old row or, when there is neither, the
// key in the new one; and sets what the new one has, but for a key that is the
// same anyway, and for what a whole old row shows to be the same.
func (o oracle) row(op action.Op, oid uint32, kind uint8, before, after *pglogrepl.TupleData) Event {
	var key, set []string
	var keyValues, setValues [][]byte
	for i, c := range o[oid].Columns {
		if op != action.Insert && (c.Flags&1 != 0 || kind == 'O') {
			from := before
			if from == nil {
				from = after
			}
			key = append(key, c.Name)
			keyValues = append(keyValues, value(from.Columns[i]))
		}
		if after == nil || after.Columns[i].DataType == 'u' {
			continue
		}
		same := op == action.Update && kind == 0 && c.Flags&1 != 0
		if kind == 'O' {
			is, was := value(after.Columns[i]), value(before.Columns[i])
			same = string(is) == string(was) && (is == nil) == (was == nil)
		}
		if !same {
			set = append(set, c.Name)
			setValues = append(setValues, value(after.Columns[i]))
		}
	}
	return Event{Kind: Row, Shape: action.NewShape(op, o.table(oid), key, set), Values: append(keyValues, setValues...)}
}

func value(c *pglogrepl.TupleDataColumn) []byte {
	if c.DataType == 'n' {
		return nil
	}
	return append([]byte{}, c.Data...)
}
