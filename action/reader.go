package action

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Reader reads a body: transactions, their actions, their rows. It takes
// exactly what Body writes and refuses everything else, so that a body has one
// form. It copies nothing: values point into the body. The zero value of the
// caches is kept between bodies by Reset.
//
//	for r.Tx() {
//		for r.Action() {
//			for r.Row() {
//
// and then Err. Rows and actions that the caller does not ask for are skipped.
type Reader struct {
	buf    []byte
	pos    int
	err    error
	tx     Tx
	more   bool
	shape  *Shape // of the action, the predecessor of the next one
	values []Value
	state  readerState
	count  int    // actions or rows so far, for the comma
	call   bool   // in the effect of a call
	run    *Shape // the run before, if nothing stands between
	shapes map[string]*Shape
	at     stamp
}

type readerState byte

const (
	betweenLines readerState = iota
	inActions
	inRows
)

// NewReader returns a reader of body.
func NewReader(body []byte) *Reader {
	r := &Reader{}
	r.Reset(body)
	return r
}

// Reset starts again with another body and keeps the shapes it has learned, so
// equal shapes of two bodies are one pointer.
func (r *Reader) Reset(body []byte) {
	if r.shapes == nil {
		r.shapes = map[string]*Shape{}
	}
	*r = Reader{buf: body, values: r.values[:0], shapes: r.shapes, at: r.at}
	if !utf8.Valid(body) {
		r.fail(errors.New("not UTF-8"))
	}
}

// Err is the reason why reading ended before the end of the body.
func (r *Reader) Err() error { return r.err }

// Head is the transaction that Tx moved to.
func (r *Reader) Head() Tx { return r.tx }

// Shape is what Action moved to. It is shared and must not be changed.
func (r *Reader) Shape() *Shape { return r.shape }

// Values is the row that Row moved to, or the values of the call that Action
// moved to; valid until the next call.
func (r *Reader) Values() []Value { return r.values }

// InCall tells whether the action that Action moved to, a row action then, is
// part of the effect of the call before it.
func (r *Reader) InCall() bool { return r.call && r.shape.Op != Call }

// More tells, once Action has returned false, whether the transaction goes on
// in the next record.
func (r *Reader) More() bool { return r.more }

// EndsInPart tells whether the last line of a body goes on in the next record.
func EndsInPart(body []byte) bool { return bytes.HasSuffix(body, []byte("],\"more\":true}\n")) }

// Tx moves to the next transaction.
func (r *Reader) Tx() bool {
	for r.state != betweenLines && r.Action() {
	}
	if r.err != nil || r.pos == len(r.buf) {
		return false
	}
	if r.more {
		return r.fail(errors.New("a line follows the part that goes on in the next record"))
	}
	r.tx = Tx{Part: 1}
	if err := r.head(); err != nil {
		return r.fail(err)
	}
	r.state, r.count, r.call, r.run = inActions, 0, false, nil
	return true
}

func (r *Reader) head() (err error) {
	lsn, err := r.quoted(`{"lsn":"`, 20)
	if err != nil {
		return err
	}
	var ok bool
	if r.tx.LSN, ok = parseLSNExact(lsn); !ok {
		return fmt.Errorf("lsn %q", lsn)
	}
	xid, err := r.number(`,"xid":`, 32)
	if err != nil {
		return err
	}
	r.tx.XID = uint32(xid)
	at, err := r.quoted(`,"at":"`, len(timeLayout))
	if err != nil {
		return err
	}
	if r.tx.At, ok = r.at.parse(at); !ok {
		return fmt.Errorf("at %q", at)
	}
	hlc, err := r.quoted(`,"hlc":"`, 40)
	if err != nil {
		return err
	}
	if r.tx.Clock, ok = parseClockExact(hlc); !ok {
		return fmt.Errorf("hlc %q", hlc)
	}
	if r.has(`,"part":`) {
		part, err := r.number(`,"part":`, 31)
		if err != nil || part < 2 {
			return errors.New("part counts from 2")
		}
		r.tx.Part = int(part)
	}
	r.tx.Copy = r.take(`,"copy":true`)
	if !r.take(`,"actions":[`) {
		return errors.New(`want "actions"`)
	}
	return nil
}

// Action moves to the next action of the transaction: a run of rows, a truncate,
// or a call, whose effect comes as the actions after it.
func (r *Reader) Action() bool {
	for r.state == inRows && r.Row() {
	}
	if r.state != inActions || r.err != nil {
		return false
	}
	if r.call && r.take("]}") {
		r.call, r.count, r.run = false, 1, nil
	}
	if !r.call && r.take("]") {
		return r.endLine()
	}
	if r.count > 0 && !r.take(",") {
		return r.fail(errors.New("want a comma between actions"))
	}
	s, err := r.nextShape()
	if err != nil {
		return r.fail(err)
	}
	switch {
	case s == r.run:
		return r.fail(errors.New("two runs that are one"))
	case r.call && (!s.Op.Rows() || s.Function != Name{}):
		return r.fail(errors.New("more than row actions in the effect of a call"))
	}
	r.shape, r.run = s, nil
	r.count++
	switch s.Op {
	case Call:
		return r.effect()
	case Truncate, Clear:
	default:
		r.state, r.count, r.run = inRows, 0, s
	}
	return true
}

// effect reads the values of a call up to its effect.
func (r *Reader) effect() bool {
	if err := r.row(); err != nil {
		return r.fail(fmt.Errorf("values of %s: %w", r.shape.Action(), err))
	}
	if !r.take(`,"effect":[`) {
		return r.fail(errors.New(`want "effect"`))
	}
	r.call, r.count = true, 0
	return true
}

func (r *Reader) endLine() bool {
	r.more = r.take(`,"more":true`)
	if !r.take("}\n") {
		return r.fail(errors.New("want the end of the line"))
	}
	r.state = betweenLines
	return false
}

// nextShape reads the text of an action up to its rows. Streams repeat
// themselves, so the shape that followed last time is tried first.
func (r *Reader) nextShape() (*Shape, error) {
	rest := r.buf[r.pos:]
	last := r.shape
	if last != nil && last.next != nil && bytes.HasPrefix(rest, last.next.text) {
		r.pos += len(last.next.text)
		return last.next, nil
	}
	s, n, err := parseShape(rest)
	if err != nil {
		return nil, err
	}
	if known := r.shapes[string(rest[:n])]; known != nil {
		s = known
	} else {
		if !bytes.Equal(s.text, rest[:n]) {
			return nil, errors.New("action is not in canonical form")
		}
		r.shapes[string(rest[:n])] = s
	}
	if last != nil {
		last.next = s
	}
	r.pos += n
	return s, nil
}

// Row moves to the next row of the action.
func (r *Reader) Row() bool {
	if r.state != inRows || r.err != nil {
		return false
	}
	if r.take("]}") {
		if r.count == 0 {
			return r.fail(errors.New("a run without rows"))
		}
		r.state, r.count = inActions, 1
		return false
	}
	if r.count > 0 && !r.take(",") {
		return r.fail(errors.New("want a comma between rows"))
	}
	r.count++
	if err := r.row(); err != nil {
		return r.fail(fmt.Errorf("row of %s: %w", r.shape.Action(), err))
	}
	return true
}

func (r *Reader) fail(err error) bool {
	if r.err == nil {
		r.err = fmt.Errorf("body at byte %d: %w", r.pos, err)
	}
	return false
}
