package checkpoint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
)

// Archive is where checkpoints and chunks are read from: archive.Multi.
type Archive interface {
	Find(ctx context.Context, q archive.Query) ([]archive.Ref, error)
	Fetch(ctx context.Context, ref archive.Ref) (archive.Record, error)
	Name() string
}

// Finder finds the checkpoints of one database.
type Finder struct {
	Archive Archive
	DB      action.Digest
	Owner   action.Writer // whose checkpoints count
	Epoch   uint32
	// Head is the last record of the owner's chain that the archives are said to
	// hold: nothing is looked for after it.
	Head uint64
	Log  *slog.Logger // nil discards
}

// Checkpoint is a checkpoint that the owner has signed. Whether its chain says so
// too is for Confirm to tell.
type Checkpoint struct {
	Number uint64
	Epoch  uint32
	Digest action.Digest // of its record
	Head   Head          // of the owner's chain: what comes after the checkpoint follows it
	Schema action.Digest // of the chain at Head
	Manifest
}

// ErrUnconfirmed: the chain does not name the checkpoint, so nobody knows that
// its owner had all of it in the archives.
var ErrUnconfirmed = errors.New("the chain does not confirm it")

// ErrUnfit: a checkpoint is not one that is looked for.
var ErrUnfit = errors.New("it is not one that is looked for")

// Numbers lists the checkpoints that the archives are said to hold, the newest
// first. All of it is hearsay.
func (f *Finder) Numbers(ctx context.Context) ([]uint64, error) {
	known, err := f.known(ctx)
	if err != nil {
		return nil, err
	}
	numbers := make([]uint64, 0, len(known))
	for n := range known {
		numbers = append(numbers, n)
	}
	slices.SortFunc(numbers, func(a, b uint64) int { return cmp.Compare(b, a) })
	return numbers, nil
}

// known asks for window after window until one is empty.
func (f *Finder) known(ctx context.Context) (map[uint64][]archive.Ref, error) {
	known := map[uint64][]archive.Ref{}
	for first := uint64(1); ; first += archive.MaxWindow {
		refs, err := f.find(ctx, first, first+archive.MaxWindow-1)
		if err != nil {
			return nil, err
		}
		for _, r := range refs {
			known[r.Seq] = append(known[r.Seq], r)
		}
		if len(refs) == 0 {
			return known, nil
		}
	}
}

func (f *Finder) find(ctx context.Context, first, last uint64) ([]archive.Ref, error) {
	q := archive.Query{DB: f.DB, Writer: f.Owner, Epoch: f.Epoch, First: first, Last: last, Type: archive.TypeCheckpoint}
	refs, err := f.Archive.Find(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("find checkpoints from %d on: %w", first, err)
	}
	return slices.DeleteFunc(refs, func(r archive.Ref) bool {
		return r.Type != archive.TypeCheckpoint || r.Writer != f.Owner || r.Epoch != f.Epoch || r.Seq < first || r.Seq > last
	}), nil
}

// Open fetches checkpoint number n and checks its form. Where the owner has
// signed two of this number, which is a fork, neither is taken.
func (f *Finder) Open(ctx context.Context, n uint64) (Checkpoint, error) {
	refs, err := f.find(ctx, n, n)
	if err != nil {
		return Checkpoint{}, err
	}
	failed := fmt.Errorf("%w (asked: %s)", archive.ErrNotFound, f.Archive.Name())
	var found Checkpoint
	for _, ref := range refs {
		record, err := f.Archive.Fetch(ctx, ref)
		if err != nil {
			failed = err
			continue
		}
		if found.Number > 0 && found.Digest != record.Digest {
			return Checkpoint{}, fmt.Errorf("checkpoint %d: its owner signed two: %s and %s", n, found.Digest, record.Digest)
		}
		if found.Number > 0 {
			continue
		}
		if found, err = f.open(&record); err != nil {
			return Checkpoint{}, fmt.Errorf("checkpoint %d: %w", n, err)
		}
	}
	if found.Number == 0 {
		return Checkpoint{}, fmt.Errorf("checkpoint %d: %w", n, failed)
	}
	return found, nil
}

func (f *Finder) open(r *archive.Record) (Checkpoint, error) {
	h := &r.Header
	if h.Type != archive.TypeCheckpoint || h.DB != f.DB || h.Writer != f.Owner {
		return Checkpoint{}, fmt.Errorf("%w: a %s", archive.ErrForged, h.Type)
	}
	body, err := r.Body(nil)
	if err != nil {
		return Checkpoint{}, err
	}
	m, err := ParseManifest(body)
	if err != nil {
		return Checkpoint{}, err
	}
	i := slices.IndexFunc(m.Heads, func(h Head) bool { return h.Writer == f.Owner })
	if i < 0 {
		return Checkpoint{}, errors.New("it does not say where its owner's chain was")
	}
	return Checkpoint{Number: h.Seq, Epoch: h.Epoch, Digest: r.Digest, Head: m.Heads[i], Schema: h.Schema, Manifest: m}, nil
}

// Newest returns the newest checkpoint after number after that opens, that its
// chain confirms and that fits; nil if there is none. What is passed over is logged,
// with the reason; what fits says ErrUnfit of is passed over without a word.
func (f *Finder) Newest(ctx context.Context, after uint64, fits func(context.Context, *Checkpoint) error) (*Checkpoint, error) {
	numbers, err := f.Numbers(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range numbers {
		if n <= after {
			break
		}
		c, err := f.Open(ctx, n)
		if err == nil {
			err = fits(ctx, &c)
		}
		if errors.Is(err, ErrUnfit) {
			continue
		}
		if err == nil {
			err = f.Confirm(ctx, &c)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			f.log().Warn("a checkpoint is passed over", "checkpoint", n, "error", err)
			continue
		}
		return &c, nil
	}
	return nil, nil
}

func (f *Finder) log() *slog.Logger {
	if f.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return f.Log
}
