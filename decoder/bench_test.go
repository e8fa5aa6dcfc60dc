package decoder

import (
	"testing"

	"github.com/jackc/pglogrepl"
)

// rows are the messages that a busy stream is made of.
var rows = []struct {
	name    string
	message []byte
}{
	{"insert", insert(1, newRow("123456", "a row of some length", "42.50"))},
	{"update", update(1, newRow("123456", "a row of some length", absent))},
	{"update of the key", update(1, oldKey("123456", nil, nil), newRow("123457", "a row of some length", "42.50"))},
	{"update by the whole row", update(3, oldRow("123456", "a row of some length"), newRow("123456", "another"))},
	{"delete", remove(1, oldKey("123456", nil, nil))},
	{"begin", begin(0x16B3748, 0, 771)},
	{"commit", commit(0x16B3748, 0x16B3778, 0)},
}

func TestDecodeAllocatesNothing(t *testing.T) {
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			d := described(t)
			allocs := testing.AllocsPerRun(100, func() {
				if _, err := d.Decode(row.message); err != nil {
					t.Fatal(err)
				}
			})
			if allocs != 0 {
				t.Errorf("%v allocations per message, want 0", allocs)
			}
		})
	}
}

// Nor do rows that change in turns: of two tables, in two ways.
func TestDecodeInTurnsAllocatesNothing(t *testing.T) {
	d := described(t)
	var turns [][]byte
	for _, row := range rows {
		turns = append(turns, row.message)
	}
	turns = append(turns, update(1, newRow("1", absent, "n")), truncate(0, 1, 3))
	allocs := testing.AllocsPerRun(100, func() {
		for _, m := range turns {
			if _, err := d.Decode(m); err != nil {
				t.Fatal(err)
			}
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations per round, want 0", allocs)
	}
}

func described(t testing.TB) *Decoder {
	t.Helper()
	d := new(Decoder)
	for _, r := range [][]byte{posts, tags, logs, loose, empty} {
		if _, err := d.Decode(r); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func BenchmarkDecode(b *testing.B) {
	for _, row := range rows {
		b.Run(row.name, func(b *testing.B) {
			d := described(b)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Decode(row.message); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPglogrepl is what BenchmarkDecode is to be compared with.
func BenchmarkPglogrepl(b *testing.B) {
	for _, row := range rows {
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := pglogrepl.Parse(row.message); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
