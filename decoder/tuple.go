package decoder

import "fmt"

// column is one value of a tuple: null, text, or absent (TOAST that did not
// change and is not in the WAL).
type column struct {
	state byte // 'n', 't', 'u'
	text  []byte
}

// tuple reads one row into dst.
func (r *relation) tuple(m *message, dst []column) ([]column, error) {
	dst = dst[:0]
	if n := int(m.uint16()); m.err == nil && n != len(r.columns) {
		return dst, fmt.Errorf("%s: %d values for %d columns", r.name, n, len(r.columns))
	}
	for i := range r.columns {
		c := column{state: m.byte()}
		switch c.state {
		case 'n', 'u':
		case 't':
			c.text = m.take(int(m.uint32()))
		default:
			if m.err == nil {
				return dst, fmt.Errorf("%s: value of column %q has format %q, text was asked for", r.name, r.columns[i], c.state)
			}
		}
		if m.err != nil {
			return dst, m.err
		}
		dst = append(dst, c)
	}
	return dst, nil
}
