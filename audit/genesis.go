package audit

import (
	"context"
	"errors"
	"fmt"

	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/postgres"
)

// readGenesis looks for the genesis in every archive. It returns the head that the
// chain begins with.
func (v *verifying) readGenesis(ctx context.Context) (head, error) {
	found, seen, err := v.fetchGenesis(ctx)
	if err != nil {
		return head{}, err
	}
	if found.Bytes == nil {
		v.report.add(Fault{Kind: Missing, Type: archive.TypeGenesis, Epoch: 1, First: 1, Last: 1, Detail: "nothing can be proven without it: check the db-id and --archive"})
		return head{}, errNoGenesis
	}
	genesis, err := openGenesis(&found)
	if err != nil {
		return head{}, fmt.Errorf("read genesis: %w", err)
	}
	h := &found.Header
	v.report.Name, v.owner = genesis.Name, series{db: v.DB, writer: h.Writer, epoch: h.Epoch}
	lacks := v.judge(h.Seq, archive.TypeGenesis, seen)
	if err := v.settle(ctx, lacks); err != nil {
		return head{}, err
	}
	for i := range v.archives {
		v.hold(i, h.Seq, seen, lacks)
	}
	v.report.Complete = &Place{Epoch: h.Epoch, Seq: h.Seq, Digest: found.Digest, LSN: h.To}
	v.report.Head = h.Seq
	return head{digest: found.Digest, schema: genesis.SchemaDigest()}, nil
}

// fetchGenesis looks at all that is listed as the genesis.
func (v *verifying) fetchGenesis(ctx context.Context) (found archive.Record, seen []sighting, err error) {
	for i := range v.archives {
		refs, err := v.archives[i].Finder.FindGenesis(ctx, v.DB)
		if ctx.Err() != nil {
			return found, nil, context.Cause(ctx)
		}
		v.failed[i] = err
		for _, ref := range distinct(refs) {
			record, err := v.archives[i].get(ctx, ref)
			if err == nil && record.Digest != v.DB {
				err = fmt.Errorf("%w: its digest is not the db-id", archive.ErrForged)
			}
			if v.unreadable(i, err) {
				v.failed[i] = err
				continue
			}
			if err == nil {
				found = record
			}
			seen = append(seen, sighting{archive: i, ref: ref, header: record.Header, bytes: len(record.Bytes), err: err})
		}
	}
	return found, seen, v.ready()
}

// errNoGenesis: there is nothing to verify.
var errNoGenesis = errors.New("no archive has the genesis")

func openGenesis(r *archive.Record) (postgres.Genesis, error) {
	body, err := r.Body(nil)
	if err != nil {
		return postgres.Genesis{}, err
	}
	genesis, err := postgres.ParseGenesis(body)
	if err == nil && genesis.Owner != r.Header.Writer {
		err = errors.New("signed by another key than its owner's")
	}
	return genesis, err
}
