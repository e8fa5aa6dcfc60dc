package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
)

// Repair says how records are copied between archives. Items are copied byte for
// byte. Where an archive gives nothing but the record, an item is made anew.
type Repair struct {
	// Wallet signs what is made anew. Nil: it is not made.
	Wallet archive.Wallet
}

// repair copies what is lacking and marks it healed. What could not be copied
// has the reason in its fault. Only a cancelled ctx is an error.
func (v *verifying) repair(ctx context.Context, lacks []lack) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(v.desk.workers)
	for i := range lacks {
		l := &lacks[i]
		group.Go(func() error {
			err := v.heal(ctx, l)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			if l.healed = err == nil; err != nil {
				l.fault.Detail = fmt.Sprintf("not repaired: %v", err)
			}
			return nil
		})
	}
	err := group.Wait()
	for i := range lacks {
		if lacks[i].healed {
			v.report.Repaired++
		}
	}
	return err
}

// heal copies one record. What is damaged is moved out of the way first: a crash
// in between leaves a record missing, which the next repair finds.
func (v *verifying) heal(ctx context.Context, l *lack) error {
	to := &v.archives[l.archive]
	if to.Putter == nil {
		return errors.New("it is neither a folder nor a pgbridge node, and is not written to")
	}
	item, err := v.source(ctx, l)
	if err != nil {
		return err
	}
	if folder, ok := to.Finder.(*archive.Folder); ok && l.damaged != "" {
		aside, err := folder.SetAside(ctx, l.damaged)
		if err != nil {
			return err
		}
		v.log().Warn("a damaged file was moved aside", "archive", to.Name(), "file", aside)
	}
	if _, err := to.Putter.Put(ctx, item.Bytes); err != nil {
		return err
	}
	v.log().Info("repaired", "archive", to.Name(), "type", string(l.fault.Type), "seq", l.fault.First, "item", item.ID)
	return nil
}

// source is the item from the first archive that gives it, or one that is made
// anew.
func (v *verifying) source(ctx context.Context, l *lack) (archive.Item, error) {
	var failed []error
	for _, s := range l.from {
		from, ok := v.archives[s.archive].Finder.(whole)
		if !ok {
			continue
		}
		item, err := from.Item(ctx, s.ref.ID, archive.MaxRecord)
		if err == nil {
			_, err = openItem(&item, s.ref)
		}
		if err == nil {
			return item, nil
		}
		if !errors.Is(err, archive.ErrNotFound) {
			failed = append(failed, err)
		}
	}
	if v.Repair.Wallet == nil && len(failed) == 0 {
		return archive.Item{}, errNoItem
	}
	if v.Repair.Wallet == nil {
		return archive.Item{}, failed[0]
	}
	for _, s := range l.from {
		record, err := v.archives[s.archive].get(ctx, s.ref)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		names, err := actionNames(&record)
		if err != nil {
			return archive.Item{}, err
		}
		return archive.Wrap(v.Repair.Wallet, &record, names)
	}
	return archive.Item{}, failed[0]
}

var errNoItem = errors.New("what has it gives the record, and not the item around it: give --key or --wallet to sign a new one")

// actionNames are the names of the actions in a record, as its tags list them.
func actionNames(record *archive.Record) (names []string, err error) {
	if record.Header.Type != archive.TypeActions {
		return nil, nil
	}
	body, err := record.Body(nil)
	if err != nil {
		return nil, err
	}
	r := action.NewReader(body)
	for r.Tx() {
		for r.Action() {
			if name := r.Shape().Action(); !slices.Contains(names, name) && len(names) < 200 {
				names = append(names, name)
			}
		}
	}
	return names, r.Err()
}
