package kwil

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/pgbridge/pgbridge/archive"
)

// How many items are fetched ahead, and at a time.
const (
	fetchBatch = 64
	fetchWidth = 8
)

// opened is an item that was fetched: an action, or refused, or an error.
type opened struct {
	listed  *listed
	action  Action
	sum     [sha256.Size]byte
	refused *Refusal
	err     error
}

// open fetches a batch and returns it in its order.
func (r *reading) open(ctx context.Context, batch []listed) []opened {
	all := make([]opened, len(batch))
	var group errgroup.Group
	group.SetLimit(fetchWidth)
	for i := range batch {
		group.Go(func() error {
			all[i] = r.openOne(ctx, &batch[i])
			return nil // errors keep their place in the order
		})
	}
	_ = group.Wait() // there is none
	return all
}

// openOne fetches an item and believes nothing of it but what its owner signed.
func (r *reading) openOne(ctx context.Context, l *listed) opened {
	o := opened{listed: l}
	item, err := r.fetch(ctx, l.id)
	if errors.Is(err, archive.ErrForged) {
		o.refused = l.refusal(Item, err)
		return o
	}
	if err != nil {
		o.err = err
		return o
	}
	claim, err := readClaim(item.Tags, r.DBID)
	if reason, why := r.judge(claim, err); why != nil {
		o.refused = l.refusal(reason, why)
		return o
	}
	l.claim = claim
	// What the key of the claim has signed is the id only. The data is its
	// word if it has signed the item too.
	if owner := item.NativeAddress(); owner != claim.Signer.String() {
		o.refused = l.refusal(Owner, fmt.Errorf("the item is signed by %s, its action id by %s", owner, claim.Signer))
		return o
	}
	name, params, err := ParsePayload(item.Data)
	if err != nil {
		o.refused = l.refusal(Payload, err)
		return o
	}
	o.sum = sha256.Sum256(item.Data)
	o.action = Action{ID: claim.ID, Name: name, Params: params, Time: l.at, Item: item.ID, Signer: claim.Signer}
	return o
}

// fetch asks one source after the other. If none has the item, the answer is
// final only when all gave one: an error that may pass is returned as such.
func (r *reading) fetch(ctx context.Context, id string) (archive.Item, error) {
	missing := fmt.Errorf("item %s is listed, but %w", id, archive.ErrNotFound)
	var forged, failed error
	for _, s := range r.Sources {
		item, err := s.Item(ctx, id, MaxPayload)
		switch {
		case err == nil:
			return item, nil
		case errors.Is(err, archive.ErrForged):
			forged = err
		case !errors.Is(err, archive.ErrNotFound):
			failed = err
		}
	}
	switch {
	case failed != nil:
		return archive.Item{}, failed
	case forged != nil:
		return archive.Item{}, forged
	}
	return archive.Item{}, missing
}
