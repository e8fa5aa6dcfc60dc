package checkpoint

import "hash/crc32"

// cutter collects rows into pieces. Where a piece ends depends on the rows in it and
// on nothing before them, so that after a place that changed the pieces are soon
// the same again. It takes a row with each Write: the protocol has one in each
// message.
type cutter struct {
	emit  func(piece) error // takes the text over
	spare func() []byte     // memory for the next piece

	text []byte
	rows int64
}

const (
	// chunkSize is the most text in a piece of more than one row, and chunkMin the
	// least in any but the last of a span. In between a piece ends after a row that
	// says so, as one in cutEvery bytes does: most have 7 to 15 MiB, and few of them
	// end where they must.
	chunkSize = 16 << 20
	chunkMin  = 6 << 20
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
	w.text = append(w.text, row...)
	w.rows++
	if len(w.text) >= chunkMin && cuts(row) {
		if err := w.flush(); err != nil {
			return 0, err
		}
	}
	return len(row), nil
}

// castagnoli is the polynomial that processors know.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// cuts tells whether a piece may end after a row.
func cuts(row []byte) bool {
	return uint64(crc32.Checksum(row, castagnoli))*cutEvery < uint64(len(row))<<32
}

// flush hands over what there is.
func (w *cutter) flush() error {
	if w.rows == 0 {
		return nil
	}
	p := piece{text: w.text, rows: w.rows}
	w.text, w.rows = nil, 0
	return w.emit(p)
}
