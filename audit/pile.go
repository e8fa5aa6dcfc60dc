package audit

import (
	"bufio"
	"encoding/binary"
	"errors"
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
