package action

import "errors"

// How each byte is written inside a JSON string: 0 as itself, 'u' as \u00xx,
// else a backslash and this letter. There is one way to write any string.
var escapes = func() (t [256]byte) {
	for c := range 0x20 {
		t[c] = 'u'
	}
	t['\b'], t['\f'], t['\n'], t['\r'], t['\t'] = 'b', 'f', 'n', 'r', 't'
	t['"'], t['\\'] = '"', '\\'
	return t
}()

// appendString appends s, which must be UTF-8, as a JSON string.
func appendString(b, s []byte) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		e := escapes[s[i]]
		if e == 0 {
			continue
		}
		b = append(b, s[from:i]...)
		b = appendEscape(b, e, s[i])
		from = i + 1
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}

func appendEscape(b []byte, escape, c byte) []byte {
	if escape != 'u' {
		return append(b, '\\', escape)
	}
	const digits = "0123456789abcdef"
	return append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
}

var errString = errors.New("not a string in canonical form")

// scanString returns the escaped inside of the string that begins b, and its
// length with both quotes. It takes only what appendString writes.
func scanString(b []byte) (inside []byte, n int, err error) {
	if len(b) == 0 || b[0] != '"' {
		return nil, 0, errString
	}
	for i := 1; i < len(b); i++ {
		switch e := escapes[b[i]]; {
		case e == 0:
		case b[i] == '"':
			return b[1:i:i], i + 1, nil
		case b[i] == '\\':
			n := escapeLen(b[i:])
			if n == 0 {
				return nil, 0, errString
			}
			i += n - 1
		default:
			return nil, 0, errString
		}
	}
	return nil, 0, errString
}

// escapeLen is the length of the canonical escape that begins b, or 0.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case 'b', 'f', 'n', 'r', 't', '"', '\\':
		return 2
	case 'u':
		if len(b) < 6 || b[2] != '0' || b[3] != '0' {
			return 0
		}
		c, ok := unhex(b[4], b[5])
		if !ok || escapes[c] != 'u' {
			return 0
		}
		return 6
	}
	return 0
}

func unhex(hi, lo byte) (byte, bool) {
	h, ok1 := unhexDigit(hi)
	l, ok2 := unhexDigit(lo)
	return h<<4 | l, ok1 && ok2
}

func unhexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// Value is a value of a row as a body holds it: the inside of a JSON string,
// still escaped, or nil for NULL. It points into the body.
type Value []byte

// AppendText appends the value's text, as the server wrote it. NULL has none.
func (v Value) AppendText(dst []byte) []byte {
	from := 0
	for i := 0; i < len(v); i++ {
		if v[i] != '\\' {
			continue
		}
		dst = append(dst, v[from:i]...)
		c, n := unescape(v[i:])
		dst = append(dst, c)
		i += n - 1
		from = i + 1
	}
	return append(dst, v[from:]...)
}

// Text is the value's text; ok is false for NULL.
func (v Value) Text() (text string, ok bool) {
	if v == nil {
		return "", false
	}
	return string(v.AppendText(nil)), true
}

// AppendCopy appends the value as COPY's text format writes it. Apart from the
// quote and rare control characters, JSON's escapes are COPY's escapes.
func (v Value) AppendCopy(dst []byte) []byte {
	if v == nil {
		return append(dst, '\\', 'N')
	}
	from := 0
	for i := 0; i < len(v); i++ {
		if v[i] != '\\' {
			continue
		}
		switch v[i+1] {
		case '"':
			dst = append(dst, v[from:i]...)
			from = i + 1
			i++
		case 'u':
			dst = append(dst, v[from:i]...)
			c, n := unescape(v[i:])
			dst = append(dst, c)
			i += n - 1
			from = i + 1
		default:
			i++
		}
	}
	return append(dst, v[from:]...)
}

// unescape reads the escape that begins b, which scanString has accepted.
func unescape(b []byte) (c byte, n int) {
	switch b[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		c, _ := unhex(b[4], b[5])
		return c, 6
	}
	return b[1], 2
}
