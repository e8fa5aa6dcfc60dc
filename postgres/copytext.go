package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// COPY's text format as the server writes it: a line for each row, a tab between
// values, \N for NULL, and \b \f \n \r \t \v \\ for those bytes within a value.

// maxCopyRow bounds a row of a CopyReader: no server sends a larger one.
const maxCopyRow = 1 << 30

// CopyReader reads rows in COPY's text format, without allocating for each row.
// It takes exactly what the server writes; anything else is an error.
type CopyReader struct {
	r      io.Reader
	buf    []byte // buf[start:end] is read and not yet parsed
	start  int
	end    int
	values [][]byte
	row    int64
	err    error
}

// NewCopyReader reads rows of so many columns from r.
func NewCopyReader(r io.Reader, columns int) *CopyReader {
	return &CopyReader{r: r, buf: make([]byte, 64<<10), values: make([][]byte, columns)}
}

// Next reads the next row. It is false at the end, and after an error.
func (c *CopyReader) Next() bool {
	if c.err != nil {
		return false
	}
	line, err := c.line()
	if err != nil {
		c.err = err
		return false
	}
	c.row++
	if err := splitCopyRow(line, c.values); err != nil {
		c.err = fmt.Errorf("row %d: %w", c.row, err)
		return false
	}
	return true
}

// Values are the values of the row, good until Next; nil is NULL.
func (c *CopyReader) Values() [][]byte { return c.values }

// Err is the error that made Next false, or nil at the end.
func (c *CopyReader) Err() error {
	if errors.Is(c.err, io.EOF) {
		return nil
	}
	return c.err
}

// line returns the next line without its end, in the buffer; io.EOF at the end.
func (c *CopyReader) line() ([]byte, error) {
	for searched := 0; ; {
		if i := bytes.IndexByte(c.buf[c.start+searched:c.end], '\n'); i >= 0 {
			line := c.buf[c.start : c.start+searched+i]
			c.start += searched + i + 1
			return line, nil
		}
		searched = c.end - c.start
		n, err := c.fill()
		switch {
		case n > 0: // what came with an error is looked at first; the error comes again
		case errors.Is(err, io.EOF) && searched == 0:
			return nil, io.EOF
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("row %d: %w", c.row+1, io.ErrUnexpectedEOF)
		case err != nil:
			return nil, fmt.Errorf("row %d: %w", c.row+1, err)
		}
	}
}

// fill reads more, after making room. The buffer grows with what was read, never
// with what someone says is coming.
func (c *CopyReader) fill() (int, error) {
	if c.start > 0 {
		c.end = copy(c.buf, c.buf[c.start:c.end])
		c.start = 0
	}
	if c.end == len(c.buf) {
		if c.end > maxCopyRow {
			return 0, errors.New("the row is too long")
		}
		c.buf = append(c.buf, make([]byte, len(c.buf))...)
	}
	n, err := c.r.Read(c.buf[c.end:])
	if n == 0 && err == nil {
		err = io.ErrNoProgress
	}
	c.end += n
	return n, err
}

// splitCopyRow fills values from a line without its end. It writes over the line.
func splitCopyRow(line []byte, values [][]byte) error {
	if len(values) == 0 {
		if len(line) > 0 {
			return errors.New("a value where there are no columns")
		}
		return nil
	}
	for i := range values {
		field, rest, more := bytes.Cut(line, []byte{'\t'})
		if last := i == len(values)-1; last == more {
			return fmt.Errorf("not the %d values that are expected", len(values))
		}
		line = rest
		value, err := unescapeCopy(field)
		if err != nil {
			return fmt.Errorf("value %d: %w", i+1, err)
		}
		values[i] = value
	}
	return nil
}

// unescapeCopy returns the value of a field, nil for NULL, in place.
func unescapeCopy(field []byte) ([]byte, error) {
	at := bytes.IndexByte(field, '\\')
	if at < 0 {
		return field[:len(field):len(field)], nil
	}
	if len(field) == 2 && field[1] == 'N' {
		return nil, nil
	}
	to := at
	for at < len(field) {
		c := field[at]
		if c == '\\' {
			at++
			if at == len(field) {
				return nil, errors.New("it ends in a backslash")
			}
			if c = unescaped(field[at]); c == 0 {
				return nil, fmt.Errorf("\\%c is not of COPY's text format", field[at])
			}
		}
		field[to] = c
		to++
		at++
	}
	return field[:to:to], nil
}

func unescaped(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'v':
		return '\v'
	case '\\':
		return '\\'
	}
	return 0
}

// AppendCopyRow appends a row as the server writes it, with its end; nil is NULL.
func AppendCopyRow(b []byte, values [][]byte) []byte {
	for i, v := range values {
		if i > 0 {
			b = append(b, '\t')
		}
		b = AppendCopyValue(b, v)
	}
	return append(b, '\n')
}

// AppendCopyValue appends one value of a row; nil is NULL.
func AppendCopyValue(b, v []byte) []byte {
	if v == nil {
		return append(b, '\\', 'N')
	}
	done := 0
	for i, c := range v {
		if e := copyEscapes[c]; e != 0 {
			b = append(b, v[done:i]...)
			b = append(b, '\\', e)
			done = i + 1
		}
	}
	return append(b, v[done:]...)
}

var copyEscapes = [256]byte{'\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't', '\v': 'v', '\\': '\\'}
