package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math/bits"

	"github.com/pgbridge/pgbridge/action"
)

// Sum is the content of a table without regard to the order of its rows: how
// many, and the sum modulo 2^256 of the SHA-256 of each (TableState). The zero
// Sum is that of no rows. Sums of parts merge, so a table can be read by several.
// Not safe for concurrent use.
type Sum struct {
	rows  int64
	limbs [4]uint64 // the least significant first
}

// Add adds one row, a line of COPY's text format without its newline, and returns
// its SHA-256.
func (s *Sum) Add(line []byte) action.Digest {
	h := sha256.Sum256(line)
	var carry uint64
	for i := range s.limbs {
		s.limbs[i], carry = bits.Add64(s.limbs[i], binary.BigEndian.Uint64(h[24-8*i:]), carry)
	}
	s.rows++
	return h
}

// AddText adds every line of text, all of which end in a newline.
func (s *Sum) AddText(text []byte) error {
	for len(text) > 0 {
		line, rest, ended := bytes.Cut(text, []byte{'\n'})
		if !ended {
			return errors.New("the last row does not end in a newline")
		}
		s.Add(line)
		text = rest
	}
	return nil
}

// digestRows returns the sum of the rows in text, and the digest of their digests in
// their order: to know the text again by it costs a third of what hashing it would.
func digestRows(text []byte) (sum Sum, content action.Digest) {
	const batch = 64 // a Write for each row would be half of it
	h := sha256.New()
	digests := make([]byte, 0, batch*sha256.Size)
	for len(text) > 0 {
		line, rest, _ := bytes.Cut(text, []byte{'\n'})
		digest := sum.Add(line)
		if digests = append(digests, digest[:]...); len(digests) == cap(digests) {
			h.Write(digests)
			digests = digests[:0]
		}
		text = rest
	}
	h.Write(digests)
	return sum, action.Digest(h.Sum(nil))
}

// Merge adds the rows of t.
func (s *Sum) Merge(t *Sum) {
	var carry uint64
	for i := range s.limbs {
		s.limbs[i], carry = bits.Add64(s.limbs[i], t.limbs[i], carry)
	}
	s.rows += t.rows
}

// MergeState adds the rows of a table that is known by its state only.
func (s *Sum) MergeState(t TableState) {
	u := Sum{rows: t.Rows}
	for i := range u.limbs {
		u.limbs[i] = binary.BigEndian.Uint64(t.Sum[24-8*i:])
	}
	s.Merge(&u)
}

// Rows is how many rows were added.
func (s *Sum) Rows() int64 { return s.rows }

// Digest is the sum, big endian.
func (s *Sum) Digest() (d action.Digest) {
	for i, limb := range s.limbs {
		binary.BigEndian.PutUint64(d[24-8*i:], limb)
	}
	return d
}

// State is the sum as the content of a table.
func (s *Sum) State(table action.Name) TableState {
	return TableState{Table: table, Rows: s.rows, Sum: s.Digest()}
}
