package checkpoint

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/pgbridge/pgbridge/action"
)

// cutter collects rows into pieces. Where a piece ends depends on the rows in it and
// on nothing before them, so that after a place that changed the pieces are soon
// the same again. It takes a row with each Write: the protocol has one in each
// message.
type cutter struct {
	sum   Sum
	emit  func(piece) error // takes the text over
	spare func() []byte     // memory for the next piece

	text    []byte
	rows    int64
	content hash.Hash // of the rows' digests: a third of the work that the text would be
}

func newCutter(emit func(piece) error, spare func() []byte) *cutter {
	return &cutter{emit: emit, spare: spare, content: sha256.New()}
}

const (
	// chunkSize is the most text in a piece of more than one row, and chunkMin the
	// least in any but the last of a span. In between a piece ends after a row that
	// says so, as one in cutEvery bytes does: most have 5 to 12 MiB, and few of them
	// end where they must.
	chunkSize = 12 << 20
	chunkMin  = 4 << 20
	cutEvery  = 6 << 20
)

func (w *cutter) Write(row []byte) (int, error) {
	if len(row) == 0 || row[len(row)-1] != '\n' {
		return 0, errNoRow
	}
	if w.rows > 0 && len(w.text)+len(row) > chunkSize {
		if err := w.flush(); err != nil {
			return 0, err
		}
	}
	if w.text == nil {
		w.text = w.spare()
	}
	digest := w.sum.Add(row[:len(row)-1])
	w.content.Write(digest[:])
	w.text = append(w.text, row...)
	w.rows++
	if len(w.text) >= chunkMin && cuts(digest, len(row)) {
		if err := w.flush(); err != nil {
			return 0, err
		}
	}
	return len(row), nil
}

// cuts tells whether a piece may end after a row of so many bytes.
func cuts(row action.Digest, size int) bool {
	return uint64(binary.BigEndian.Uint32(row[:]))*cutEvery < uint64(size)<<32
}

// flush hands over what there is.
func (w *cutter) flush() error {
	if w.rows == 0 {
		return nil
	}
	p := piece{text: w.text, rows: w.rows, content: action.Digest(w.content.Sum(nil))}
	w.text, w.rows = nil, 0
	w.content.Reset()
	return w.emit(p)
}
