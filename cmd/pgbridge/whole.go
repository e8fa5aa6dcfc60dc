package main

import (
	"bytes"
	"context"
	"errors"
	"iter"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/applier"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/audit"
	"github.com/pgbridge/pgbridge/checkpoint"
)

// whole yields the records after the genesis without a transaction that the chain
// ends inside of: what of it is there was never done.
func (t *told) whole(ctx context.Context) iter.Seq2[audit.Entry, error] {
	return func(yield func(audit.Entry, error) bool) {
		torn, err := t.torn(ctx)
		if err != nil {
			yield(audit.Entry{}, err)
			return
		}
		for entry, err := range t.chain(ctx) {
			if err == nil && torn > 0 && entry.Header.Seq >= torn {
				entry.Body = withoutLastLine(entry.Body)
				yield(entry, nil)
				return
			}
			if !yield(entry, err) {
				return
			}
		}
	}
}

// torn is the record in which the transaction begins that the chain ends inside of;
// 0: it ends with a whole one. What is listed for a number and is no record of the
// chain is passed over: anyone can post it.
func (t *told) torn(ctx context.Context) (uint64, error) {
	h := &t.record.Header
	seq, err := applier.Head(ctx, t.archive, t.record.DB(), h.Writer, h.Epoch, h.Seq)
	for ; err == nil && seq > h.Seq; seq-- {
		record, err := t.recordAt(ctx, checkpoint.Head{Writer: h.Writer, Epoch: h.Epoch, Seq: seq})
		if errors.Is(err, archive.ErrForged) || errors.Is(err, archive.ErrNotFound) {
			continue
		}
		if err != nil {
			return 0, err
		}
		body, err := record.Body(nil)
		if err != nil {
			return 0, err
		}
		if !action.EndsInPart(body) {
			return 0, nil
		}
		if r := action.NewReader(body); record.Header.Txs > 1 || r.Tx() && r.Head().Part == 1 {
			return seq, nil
		}
	}
	return 0, err
}

// withoutLastLine is a body without its last line.
func withoutLastLine(body []byte) []byte {
	return body[:bytes.LastIndexByte(bytes.TrimSuffix(body, []byte("\n")), '\n')+1]
}
