package audit

import (
	"encoding/binary"
	"slices"
)

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

// encode writes cells in the order of their numbers.
func encode(all []cell) []byte {
	slices.SortFunc(all, func(a, b cell) int { return a.column - b.column })
	var b []byte
	for _, c := range all {
		b = appendCell(b, c)
	}
	return b
}
