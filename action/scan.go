package action

import (
	"bytes"
	"errors"
	"fmt"
)

func (r *Reader) row() error {
	b, pos := r.buf, r.pos
	r.values = r.values[:0]
	open := byte('[')
	for range r.shape.Width() {
		if pos >= len(b) || b[pos] != open {
			return fmt.Errorf("want %d values", r.shape.Width())
		}
		pos++
		open = ','
		if bytes.HasPrefix(b[pos:], []byte("null")) {
			r.values = append(r.values, nil)
			pos += 4
			continue
		}
		inside, n, err := scanString(b[pos:])
		if err != nil {
			return err
		}
		r.values = append(r.values, inside)
		pos += n
	}
	if open == '[' { // no columns at all
		if pos >= len(b) || b[pos] != '[' {
			return errors.New("want an empty row")
		}
		pos++
	}
	if pos >= len(b) || b[pos] != ']' {
		return fmt.Errorf("want %d values", r.shape.Width())
	}
	r.pos = pos + 1
	return nil
}

func (r *Reader) has(s string) bool {
	return len(r.buf)-r.pos >= len(s) && string(r.buf[r.pos:r.pos+len(s)]) == s
}

func (r *Reader) take(s string) bool {
	if !r.has(s) {
		return false
	}
	r.pos += len(s)
	return true
}

// quoted reads prefix, then up to limit bytes and the quote that ends them.
func (r *Reader) quoted(prefix string, limit int) ([]byte, error) {
	if !r.take(prefix) {
		return nil, fmt.Errorf("want %s", prefix)
	}
	end := bytes.IndexByte(r.buf[r.pos:min(len(r.buf), r.pos+limit+1)], '"')
	if end < 0 {
		return nil, fmt.Errorf("no end after %s", prefix)
	}
	text := r.buf[r.pos : r.pos+end]
	r.pos += end + 1
	return text, nil
}

func (r *Reader) number(prefix string, bits int) (uint64, error) {
	if !r.take(prefix) {
		return 0, fmt.Errorf("want %s", prefix)
	}
	n, digits, ok := parseDigits(r.buf[r.pos:])
	if !ok || n>>bits != 0 {
		return 0, fmt.Errorf("no number after %s", prefix)
	}
	r.pos += digits
	return n, nil
}
