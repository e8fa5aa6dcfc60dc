package checkpoint

// cutter collects rows into pieces. It takes a row with each Write: the protocol
// has one in each message.
type cutter struct {
	sum   Sum
	emit  func(text []byte, rows int64) error // takes text over
	spare func() []byte                       // memory for the next piece

	text []byte
	rows int64
}

// chunkSize is the most text in a piece of more than one row.
const chunkSize = 8 << 20

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
	w.sum.Add(row[:len(row)-1])
	w.text = append(w.text, row...)
	w.rows++
	return len(row), nil
}

// flush hands over what there is.
func (w *cutter) flush() error {
	if w.rows == 0 {
		return nil
	}
	text, rows := w.text, w.rows
	w.text, w.rows = nil, 0
	return w.emit(text, rows)
}
