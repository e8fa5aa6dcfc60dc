package kwil

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/pgbridge/pgbridge/archive"
)

// Source is an archive that lists items by their tags and hands them out whole:
// archive.Node, archive.Gateway and archive.Folder do. What it lists is hearsay;
// an item that it hands out has been checked against its owner's signature.
type Source interface {
	List(ctx context.Context, tags []archive.Tag) iter.Seq2[archive.Listed, error]
	Item(ctx context.Context, id string, limit int) (archive.Item, error)
	Name() string
}

// History is what was written about one database. Its methods may be called
// concurrently.
type History struct {
	// Sources to read, all of them: one that fails may hide what must come
	// first. Where they disagree on the time of an item, the first one that has
	// it with a time is believed, so put the bundler's index before gateways,
	// which know the time of a block only.
	Sources []Source
	// DBID is the Original-DBID: the database of the provider that was first.
	DBID string
	// Allow are the keys whose actions count: those of the providers' admins.
	Allow []Address
	// Skip are ids of items that a person decided to leave out.
	Skip []string
}

// Action is a call of an owner-only action that an allowed key has signed.
type Action struct {
	ID     string    `json:"id"`     // its Action-Id: 21 characters
	Name   string    `json:"action"` // as the payload has it
	Params []Param   `json:"params"`
	Time   time.Time `json:"at,omitzero"` // when the archive got it; not signed
	Item   string    `json:"item"`        // id of the item
	Signer Address   `json:"signer"`
}

// maxListed bounds the items of one database, in memory.
const maxListed = 2_000_000

// Actions reads the whole list of items first, and then yields the actions by
// time, those of one time by the id of their item, and those without a time (in
// no block yet) last. The same archives give the same order, every time. All
// pages are read, and the actions of all providers. Actions ends at the first
// error: what an archive lists and none has is one (archive.ErrNotFound), since
// what follows may build on it.
//
// An action id counts once. A second item with it and the same data is a repeat
// (the writer's retry, or a copy); one with other data is refused as a Clash.
//
// report, which may be nil, is kept up to date with each action.
func (h *History) Actions(ctx context.Context, report *Report) iter.Seq2[Action, error] {
	if report == nil {
		report = new(Report)
	}
	return func(yield func(Action, error) bool) {
		*report = Report{}
		r := &reading{History: h, report: report, taken: map[string]taken{}}
		if err := r.run(ctx, yield); err != nil {
			yield(Action{}, fmt.Errorf("history of %s: %w", h.DBID, err))
		}
	}
}

// reading is one pass over the history.
type reading struct {
	*History
	report *Report
	taken  map[string]taken // by action id
	last   time.Time
}

type taken struct {
	item string
	sum  [sha256.Size]byte // of the data
}

// run ends without an error when it came to the end, or yield had enough.
func (r *reading) run(ctx context.Context, yield func(Action, error) bool) error {
	if err := CheckDBID(r.DBID); err != nil {
		return err
	}
	found, err := r.list(ctx)
	if err != nil {
		return err
	}
	for batch := range slices.Chunk(found, fetchBatch) {
		for _, f := range r.open(ctx, batch) {
			if f.err != nil {
				return f.err
			}
			if f.refused == nil && r.again(&f) {
				continue
			}
			if f.refused != nil {
				r.report.refuse(*f.refused)
				continue
			}
			r.count(&f)
			if !yield(f.action, nil) {
				return nil
			}
		}
	}
	return nil
}

// again tells whether the action was taken before, and refuses one that only
// has its id.
func (r *reading) again(f *opened) bool {
	before, ok := r.taken[f.action.ID]
	switch {
	case !ok:
		r.taken[f.action.ID] = taken{f.action.Item, f.sum}
	case before.sum == f.sum:
		r.report.Repeats++
	default:
		f.refused = f.listed.refusal(Clash, errors.New("item "+before.item+" has this action id and other data"))
		return false
	}
	return ok
}

func (r *reading) count(f *opened) {
	if r.report.Actions > 0 && f.action.Time.Equal(r.last) {
		r.report.Ties++
	}
	r.report.Actions++
	r.last = f.action.Time
}

// listed is an item that was found, and what its tags claim.
type listed struct {
	id    string
	at    time.Time
	claim claim
	err   error // what is wrong with the claim
}

func (l *listed) refusal(reason Reason, why error) *Refusal {
	return &Refusal{Item: l.id, Time: l.at, ID: l.claim.ID, Reason: reason, Detail: why.Error()}
}

// list asks all sources, refuses what need not be fetched, and sorts the rest.
func (r *reading) list(ctx context.Context) ([]listed, error) {
	byID := map[string]*listed{}
	for _, s := range r.Sources {
		for l, err := range s.List(ctx, wantedTags(r.DBID)) {
			if err != nil {
				return nil, err
			}
			merge(byID, &l, r.DBID)
			if len(byID) > maxListed {
				return nil, fmt.Errorf("more than %d items at %s", maxListed, s.Name())
			}
		}
	}
	r.report.Listed = len(byID)
	all := make([]listed, 0, len(byID))
	for _, l := range byID {
		all = append(all, *l)
	}
	slices.SortFunc(all, byTime)
	return slices.DeleteFunc(all, r.needless), nil
}

// merge adds what one source says. Of several, the claim that is good is kept
// (another index may have garbled it), and the first time.
func merge(byID map[string]*listed, from *archive.Listed, dbid string) {
	l, ok := byID[from.ID]
	if !ok {
		l = &listed{id: from.ID}
		byID[from.ID] = l
	}
	if !ok || l.err != nil {
		l.claim, l.err = readClaim(from.Tags, dbid)
	}
	if l.at.IsZero() {
		l.at = from.At
	}
}

// byTime is the order of a history.
func byTime(a, b listed) int {
	if a.at.IsZero() != b.at.IsZero() {
		if a.at.IsZero() {
			return 1
		}
		return -1
	}
	return cmp.Or(a.at.Compare(b.at), strings.Compare(a.id, b.id))
}

// needless tells of an item that its tags already rule out, or that a person
// has. It is not fetched: strangers can post more than anyone wants to read.
func (r *reading) needless(l listed) bool {
	switch reason, why := r.judge(l.claim, l.err); {
	case slices.Contains(r.Skip, l.id):
		r.report.Skipped++
	case why != nil:
		r.report.refuse(*l.refusal(reason, why))
	default:
		return false
	}
	return true
}

// judge says what is wrong with a claim.
func (r *reading) judge(c claim, err error) (Reason, error) {
	switch {
	case errors.Is(err, errSignature):
		return Signature, err
	case err != nil:
		return Tags, err
	case !slices.Contains(r.Allow, c.Signer):
		return Signature, fmt.Errorf("signed by %s, which is not allowed", c.Signer)
	}
	return "", nil
}
