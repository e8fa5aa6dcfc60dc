package action

import "bytes"

// The parsers of what stands in every line: no allocation, one way to write
// each value.

// parseDigits reads a decimal number without leading zeros that fits 63 bits.
func parseDigits(b []byte) (n uint64, length int, ok bool) {
	for length < len(b) && b[length] >= '0' && b[length] <= '9' {
		if length == 18 {
			return 0, 0, false
		}
		n = n*10 + uint64(b[length]-'0')
		length++
	}
	return n, length, length > 0 && (length == 1 || b[0] != '0')
}

// parseLSNExact reads what LSN.AppendTo wrote.
func parseLSNExact(b []byte) (LSN, bool) {
	hi, lo, ok := bytes.Cut(b, []byte("/"))
	if !ok {
		return 0, false
	}
	h, ok1 := parseUpperHex(hi)
	l, ok2 := parseUpperHex(lo)
	return LSN(h)<<32 | LSN(l), ok1 && ok2
}

func parseUpperHex(b []byte) (v uint32, ok bool) {
	if len(b) == 0 || len(b) > 8 || len(b) > 1 && b[0] == '0' {
		return 0, false
	}
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | uint32(c-'0')
		case c >= 'A' && c <= 'F':
			v = v<<4 | uint32(c-'A'+10)
		default:
			return 0, false
		}
	}
	return v, true
}

// parseClockExact reads what Clock.AppendTo wrote.
func parseClockExact(b []byte) (Clock, bool) {
	micros, counter, ok := bytes.Cut(b, []byte("."))
	if !ok {
		return Clock{}, false
	}
	negative := len(micros) > 0 && micros[0] == '-'
	if negative {
		micros = micros[1:]
	}
	m, n1, ok1 := parseDigits(micros)
	c, n2, ok2 := parseDigits(counter)
	if !ok1 || !ok2 || n1 != len(micros) || n2 != len(counter) || c>>32 != 0 || negative && m == 0 {
		return Clock{}, false
	}
	if negative {
		return Clock{Micros: -int64(m), Counter: uint32(c)}, true
	}
	return Clock{Micros: int64(m), Counter: uint32(c)}, true
}
