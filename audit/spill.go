package audit

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
)

// entry is one thing that happened to a row, or that was seen, on its way through
// files. Key and cells are as cells writes them.
type entry struct {
	op    entryOp
	table int
	key   []byte // finds the row; of a table without a key the whole row
	cells []byte
}

type entryOp byte

const (
	putRow     entryOp = iota + 1 // the row is there, and these are its columns
	setRow                        // some columns have new values
	moveRow                       // as setRow, and the row has another key, which is before the cells
	dropRow                       // it is gone
	emptyRows                     // all rows of the table are gone
	forgetRows                    // of all rows of the table nothing is known but the keys
	liveRow                       // the database has it
)

// pile is a file of entries that is written, and then read.
type pile struct {
	file *os.File
	w    *bufio.Writer
	head []byte
	size int64
}

func newPile(dir, name string) (*pile, error) {
	file, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	return &pile{file: file, w: bufio.NewWriterSize(file, 32<<10)}, nil
}

// add writes an entry.
func (p *pile) add(e *entry) error {
	b := append(p.head[:0], byte(e.op))
	b = binary.AppendUvarint(b, uint64(e.table))
	b = binary.AppendUvarint(b, uint64(len(e.key)))
	b = binary.AppendUvarint(b, uint64(len(e.cells)))
	p.head = b
	p.size += int64(len(b) + len(e.key) + len(e.cells))
	for _, part := range [...][]byte{b, e.key, e.cells} {
		if _, err := p.w.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// each reads all entries from the first on. What it hands out is good until the
// next.
func (p *pile) each(do func(*entry) error) error {
	if err := p.w.Flush(); err != nil {
		return err
	}
	if _, err := p.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r := bufio.NewReaderSize(p.file, 64<<10)
	var e entry
	var buf []byte
	for {
		op, err := r.ReadByte()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		table, err1 := binary.ReadUvarint(r)
		key, err2 := binary.ReadUvarint(r)
		cells, err3 := binary.ReadUvarint(r)
		if err := errors.Join(err1, err2, err3); err != nil {
			return err
		}
		if need := int(key + cells); cap(buf) < need {
			buf = make([]byte, need)
		}
		buf = buf[:key+cells]
		if _, err := io.ReadFull(r, buf); err != nil {
			return err
		}
		e = entry{entryOp(op), int(table), buf[:key:key], buf[key:]}
		if err := do(&e); err != nil {
			return err
		}
	}
}

// remove closes the file and gives its room back.
func (p *pile) remove() {
	p.file.Close()
	os.Remove(p.file.Name())
}

const (
	// fanout is into how many piles one is sorted.
	fanout = 64
	// inMemory is the largest pile that is folded in memory.
	inMemory = 16 << 20
	// deepest is how often a pile is sorted again.
	deepest = 4
)

// sorter sorts entries into piles by their keys: all of one row are in one, in
// their order.
type sorter struct {
	piles []*pile
	seed  maphash.Seed
	// moved are the keys of rows that got another key while some of their columns
	// stayed unknown: they are where they were. Shared by all sorters.
	moved map[string]string
}

func newSorter(dir, name string, moved map[string]string) (*sorter, error) {
	s := &sorter{seed: maphash.MakeSeed(), moved: moved}
	for i := range fanout {
		p, err := newPile(dir, fmt.Sprintf("%s-%d", name, i))
		if err != nil {
			s.remove()
			return nil, err
		}
		s.piles = append(s.piles, p)
	}
	return s, nil
}

func (s *sorter) remove() {
	for _, p := range s.piles {
		p.remove()
	}
}

// add puts an entry where its row is.
func (s *sorter) add(e *entry) error {
	if e.op == emptyRows || e.op == forgetRows {
		for _, p := range s.piles {
			if err := p.add(e); err != nil {
				return err
			}
		}
		return nil
	}
	place := placeOf(e.table, e.key)
	if from, ok := s.moved[place]; ok {
		place = from
	}
	return s.piles[maphash.String(s.seed, place)%fanout].add(e)
}

// placeOf names a row.
func placeOf(table int, key []byte) string {
	return string(append(binary.AppendUvarint(nil, uint64(table)), key...))
}

// cell is a value of a column, by the number of the column in its table.
type cell struct {
	column int
	value  []byte // nil: NULL
}

// appendCell writes a cell.
func appendCell(b []byte, c cell) []byte {
	b = binary.AppendUvarint(b, uint64(c.column))
	if c.value == nil {
		return binary.AppendUvarint(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(c.value))+1)
	return append(b, c.value...)
}

// cells reads what appendCell wrote. Values point into b.
func cells(b []byte) (all []cell) {
	for len(b) > 0 {
		column, n := binary.Uvarint(b)
		length, m := binary.Uvarint(b[n:])
		b = b[n+m:]
		c := cell{column: int(column)}
		if length > 0 {
			c.value = b[: length-1 : length-1]
			b = b[length-1:]
		}
		all = append(all, c)
	}
	return all
}

// merge is row with what set says, in the order of columns.
func merge(row, set []byte) []byte {
	old, now := cells(row), cells(set)
	var b []byte
	for len(old) > 0 || len(now) > 0 {
		switch {
		case len(now) == 0 || len(old) > 0 && old[0].column < now[0].column:
			b = appendCell(b, old[0])
			old = old[1:]
			continue
		case len(old) > 0 && old[0].column == now[0].column:
			old = old[1:]
		}
		b = appendCell(b, now[0])
		now = now[1:]
	}
	return b
}
