package action

import (
	"bytes"
	"strconv"
)

// Tx is one committed source transaction, or a part of a huge one: the head of
// a line of a body.
type Tx struct {
	LSN   LSN    // of the commit
	XID   uint32 // 0 for the initial copy and for the bridge's own
	At    int64  // commit time at the source, microseconds since 1970 UTC
	Clock Clock
	// Part counts the parts of a transaction that did not fit one record,
	// from 1. Only 2 and up are written.
	Part int
	// Copy marks rows that existed before the slot did. They come first, under
	// one snapshot; the first transaction without the mark says they are all there.
	Copy bool
}

// Body builds the body of an actions record, line by line. The zero value is
// ready. It allocates only to grow its buffer, and never more than its input
// asks for.
type Body struct {
	buf   []byte
	txs   int
	shape *Shape // of the run that is open
	acts  int    // actions in the open list
	call  bool   // a call is open, and the list is its effect
	rows  int    // rows in the body
	at    stamp
}

// Bytes is the body so far; valid until the next Reset. Only between End and
// Begin is it a whole body.
func (b *Body) Bytes() []byte { return b.buf }

// Len is the size of the body so far.
func (b *Body) Len() int { return len(b.buf) }

// Txs is the number of lines, an open one included.
func (b *Body) Txs() int { return b.txs }

// Rows is the number of rows and truncates so far.
func (b *Body) Rows() int { return b.rows }

// Reset empties the body and keeps its memory.
func (b *Body) Reset() { b.buf, b.txs, b.rows = b.buf[:0], 0, 0 }

// Swap empties the body, returns its bytes and goes on in buf's memory.
func (b *Body) Swap(buf []byte) []byte {
	full := b.buf
	b.buf = buf
	b.Reset()
	return full
}

// Begin opens a line.
func (b *Body) Begin(tx Tx) {
	b.txs++
	b.acts, b.shape, b.call = 0, nil, false
	p := append(b.buf, `{"lsn":"`...)
	p = tx.LSN.AppendTo(p)
	p = append(p, `","xid":`...)
	p = strconv.AppendUint(p, uint64(tx.XID), 10)
	p = append(p, `,"at":"`...)
	p = b.at.append(p, tx.At)
	p = append(p, `","hlc":"`...)
	p = tx.Clock.AppendTo(p)
	p = append(p, '"')
	if tx.Part > 1 {
		p = append(p, `,"part":`...)
		p = strconv.AppendInt(p, int64(tx.Part), 10)
	}
	if tx.Copy {
		p = append(p, `,"copy":true`...)
	}
	b.buf = append(p, `,"actions":[`...)
}

// Row appends one row to the open line: the values of s.Key, then those of
// s.Set, each the server's text in UTF-8 or nil for NULL.
func (b *Body) Row(s *Shape, values [][]byte) {
	b.rows++
	p := b.buf
	if b.shape == s || b.shape != nil && bytes.Equal(b.shape.text, s.text) {
		p = append(p, ',')
	} else {
		p = b.closeRun(p)
		p = append(p, s.text...)
		b.shape = s
	}
	b.buf = appendRow(p, values)
}

func appendRow(p []byte, values [][]byte) []byte {
	p = append(p, '[')
	for i, v := range values {
		if i > 0 {
			p = append(p, ',')
		}
		if v == nil {
			p = append(p, "null"...)
			continue
		}
		p = appendString(p, v)
	}
	return append(p, ']')
}

// Call appends a call to the open line: a value, or nil, for each of s.Params.
// The rows and truncates until EndCall, or the end of the line, are its effect.
// A call holds no other call.
func (b *Body) Call(s *Shape, values [][]byte) {
	p := append(b.closeRun(b.buf), s.text...)
	b.buf = append(appendRow(p, values), `,"effect":[`...)
	b.shape, b.acts, b.call = nil, 0, true
}

// EndCall ends the effect of the open call.
func (b *Body) EndCall() {
	if b.shape != nil {
		b.buf = append(b.buf, "]}"...)
	}
	b.buf = append(b.buf, "]}"...)
	b.shape, b.acts, b.call = nil, 1, false
}

// Truncate appends a truncate, or a clear, to the open line. Truncates that
// follow each other were one statement, or could have been.
func (b *Body) Truncate(s *Shape) {
	b.rows++
	p := b.closeRun(b.buf)
	b.buf = append(p, s.text...)
	b.shape = nil
}

// closeRun ends the open run and the action list's item before a new one.
func (b *Body) closeRun(p []byte) []byte {
	if b.shape != nil {
		p = append(p, "]}"...)
	}
	if b.acts > 0 {
		p = append(p, ',')
	}
	b.acts++
	return p
}

// End closes the line.
func (b *Body) End() { b.end("]}\n") }

// EndPart closes the line of a transaction that goes on in the next record.
func (b *Body) EndPart() { b.end("],\"more\":true}\n") }

func (b *Body) end(tail string) {
	if b.call {
		b.EndCall()
	}
	if b.shape != nil {
		b.buf = append(b.buf, "]}"...)
		b.shape = nil
	}
	b.buf = append(b.buf, tail...)
}
