package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"

	"github.com/pgbridge/pgbridge/applier"
	"github.com/pgbridge/pgbridge/archive"
)

// tagged yields the records of the chain that genesis begins which the index
// lists under one of the names of actions, in order. Each is signed by the
// chain's writer; that they are all, nobody has signed. An error is the last
// thing it yields.
func tagged(ctx context.Context, from *archive.Multi, genesis *archive.Record, actions []string, log *slog.Logger) iter.Seq2[applier.Entry, error] {
	return func(yield func(applier.Entry, error) bool) {
		h := &genesis.Header
		head, err := applier.Head(ctx, from, genesis.DB(), h.Writer, h.Epoch, h.Seq)
		if err != nil {
			yield(applier.Entry{}, fmt.Errorf("find the last record: %w", err))
			return
		}
		for first := h.Seq + 1; first <= head; first += archive.MaxWindow {
			q := archive.Query{DB: genesis.DB(), Writer: h.Writer, Epoch: h.Epoch, First: first, Last: first + archive.MaxWindow - 1, Type: archive.TypeActions}
			refs, err := findTagged(ctx, from, q, actions)
			if err != nil {
				yield(applier.Entry{}, err)
				return
			}
			for _, seq := range slices.Sorted(maps.Keys(refs)) {
				entry, err := fetchEntry(ctx, from, refs[seq])
				if errors.Is(err, archive.ErrForged) {
					log.Warn("an item is passed over", "error", err)
					continue
				}
				if !yield(entry, err) || err != nil {
					return
				}
			}
		}
	}
}

// findTagged asks for the records of q, by number, that name one of the actions.
func findTagged(ctx context.Context, from *archive.Multi, q archive.Query, actions []string) (map[uint64]archive.Ref, error) {
	all := map[uint64]archive.Ref{}
	for _, q.Action = range actions {
		refs, err := from.Find(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("find records of %s: %w", q.Action, err)
		}
		for _, r := range refs {
			all[r.Seq] = r
		}
	}
	return all, nil
}

func fetchEntry(ctx context.Context, from *archive.Multi, ref archive.Ref) (applier.Entry, error) {
	record, err := from.Fetch(ctx, ref)
	if err != nil {
		return applier.Entry{}, err
	}
	if t := record.Header.Type; t != archive.TypeActions {
		return applier.Entry{}, fmt.Errorf("%w: record %d is of type %s", applier.ErrUnknown, record.Header.Seq, t)
	}
	text, err := record.Body(nil)
	if err != nil {
		return applier.Entry{}, fmt.Errorf("%w: %w", applier.ErrUnknown, err)
	}
	return applier.Entry{Record: record, Text: text}, nil
}
