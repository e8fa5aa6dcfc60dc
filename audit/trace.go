package audit

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
)

// trace is what the body of an actions record says that matters to the records
// around it.
type trace struct {
	first, last action.Tx // heads of the first and of the last line
	more        bool      // the last line goes on in the next record
	statements  [][2]string
	marks       []mark
}

// mark is the chain's word that a checkpoint was made.
type mark struct {
	number uint64
	digest action.Digest
}

// readTrace reads a body to its end, strictly.
func readTrace(record *archive.Record, body []byte) (trace, error) {
	var t trace
	if kind := record.Header.Type; kind != archive.TypeActions {
		return t, fmt.Errorf("type %s is not known to this pgbridge: update it", kind)
	}
	lines := 0
	r := action.NewReader(body)
	for r.Tx() {
		if lines++; lines == 1 {
			t.first = r.Head()
		}
		t.last = r.Head()
		if lines > 1 && t.last.Part > 1 {
			return t, errors.New("a part that is not the first line")
		}
		if err := t.line(r); err != nil {
			return t, err
		}
	}
	if err := r.Err(); err != nil {
		return t, err
	}
	t.more = r.More()
	if lines != record.Header.Txs {
		return t, fmt.Errorf("%d lines, the header says %d", lines, record.Header.Txs)
	}
	return t, nil
}

func (t *trace) line(r *action.Reader) error {
	for r.Action() {
		op := r.Shape().Op
		if op != action.Schema && op != action.Mark {
			continue
		}
		for r.Row() {
			a, _ := r.Values()[0].Text()
			b, _ := r.Values()[1].Text()
			if op == action.Schema {
				t.statements = append(t.statements, [2]string{a, b})
				continue
			}
			number, err1 := strconv.ParseUint(a, 10, 64)
			digest, err2 := action.ParseDigest(b)
			if err := errors.Join(err1, err2); err != nil {
				return fmt.Errorf("a checkpoint's number and digest: %w", err)
			}
			t.marks = append(t.marks, mark{number, digest})
		}
	}
	return nil
}

// head is a record that the next one may follow, and what that one must go on
// with.
type head struct {
	digest action.Digest
	schema action.Digest // after the record
	open   *action.Tx    // a transaction that is not at its end
	live   bool          // the initial rows are complete
	// unknown: the record could not be read, so nothing but its digest is known.
	unknown bool
}

// begin is what must have been before a record, where that is not known.
func begin(header *archive.Header, t *trace) *head {
	h := &head{schema: header.Schema, live: !t.first.Copy}
	if t.first.Part > 1 {
		tx := t.first
		tx.Part--
		h.open = &tx
	}
	return h
}

// follow moves past a record, and says in what it does not go on as it must.
func (h head) follow(header *archive.Header, digest action.Digest, t *trace) (next head, err error) {
	next = head{digest: digest, schema: h.schema, live: h.live || !t.last.Copy}
	if header.Schema != h.schema {
		err = fmt.Errorf("it is written against schema %.16s…, the statements before it lead to %.16s…", header.Schema, h.schema)
		next.schema = header.Schema
	}
	for _, s := range t.statements {
		next.schema = action.NextSchema(next.schema, s[0], s[1])
	}
	if t.more {
		last := t.last
		next.open = &last
	}
	switch {
	case header.Txs == 0:
	case h.open == nil && t.first.Part > 1:
		err = fmt.Errorf("it begins with part %d of a transaction, no part is before it", t.first.Part)
	case h.open != nil && (t.first.Part != h.open.Part+1 || t.first.XID != h.open.XID || t.first.LSN != h.open.LSN):
		err = fmt.Errorf("part %d of transaction %d must follow, part %d of %d does", h.open.Part+1, h.open.XID, t.first.Part, t.first.XID)
	case h.live && t.first.Copy:
		err = errors.New("initial rows after the first transaction")
	}
	return next, err
}
