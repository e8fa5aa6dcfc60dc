package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
)

// Library brings the chunks of one writer. Its methods may be called
// concurrently.
type Library struct {
	Archive Archive
	DB      action.Digest
	Writer  action.Writer

	mu      sync.Mutex
	shelves map[shelf]*window
}

// shelf is a window of numbers.
type shelf struct {
	epoch uint32
	first uint64
}

type window struct {
	mu   sync.Mutex
	refs map[uint64][]archive.Ref // nil: not asked yet
}

// ErrChunk: a chunk that a manifest names is not to be had.
var ErrChunk = errors.New("a chunk is missing or is not what the manifest names")

// Chunk returns the text of a chunk, appended to dst: of the digest and the size
// that the manifest says. It wraps ErrChunk where no archive has it.
func (l *Library) Chunk(ctx context.Context, c Chunk, dst []byte) ([]byte, error) {
	refs, err := l.find(ctx, c)
	if err != nil {
		return nil, err
	}
	failed := archive.ErrNotFound
	for _, ref := range refs {
		if ref.Digest != c.Digest {
			continue
		}
		record, err := l.Archive.Fetch(ctx, ref)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err == nil && record.Digest != c.Digest {
			err = archive.ErrForged
		}
		if err != nil {
			failed = err
			continue
		}
		return unpack(&record, c, dst)
	}
	if !errors.Is(failed, archive.ErrNotFound) && !errors.Is(failed, archive.ErrForged) {
		return nil, fmt.Errorf("chunk %d of epoch %d: %w", c.Seq, c.Epoch, failed)
	}
	return nil, fmt.Errorf("chunk %d of epoch %d: %w (asked: %s): %w", c.Seq, c.Epoch, ErrChunk, l.Archive.Name(), failed)
}

// Missing returns the chunks of all that no archive lists. That the others can be
// read is not known before they are.
func (l *Library) Missing(ctx context.Context, all []Chunk) (missing []Chunk, err error) {
	for _, c := range all {
		refs, err := l.find(ctx, c)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(refs, func(r archive.Ref) bool { return r.Digest == c.Digest }) {
			missing = append(missing, c)
		}
	}
	return missing, nil
}

func unpack(r *archive.Record, c Chunk, dst []byte) ([]byte, error) {
	before := len(dst)
	if int64(r.Header.Size) != c.Size {
		return nil, fmt.Errorf("chunk %d of epoch %d: %w: %d bytes, not %d", c.Seq, c.Epoch, ErrChunk, r.Header.Size, c.Size)
	}
	text, err := r.Body(dst)
	if err != nil {
		return nil, fmt.Errorf("chunk %d of epoch %d: %w: %w", c.Seq, c.Epoch, ErrChunk, err)
	}
	if got := int64(len(text) - before); got != c.Size {
		return nil, fmt.Errorf("chunk %d of epoch %d: %w: %d bytes, not %d", c.Seq, c.Epoch, ErrChunk, got, c.Size)
	}
	return text, nil
}

// find returns where the chunk is said to be. A window is asked for once.
func (l *Library) find(ctx context.Context, c Chunk) ([]archive.Ref, error) {
	at := shelf{c.Epoch, c.Seq - (c.Seq-1)%archive.MaxWindow}
	l.mu.Lock()
	if l.shelves == nil {
		l.shelves = map[shelf]*window{}
	}
	s := l.shelves[at]
	if s == nil {
		s = &window{}
		l.shelves[at] = s
	}
	l.mu.Unlock()

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refs == nil {
		q := archive.Query{DB: l.DB, Writer: l.Writer, Epoch: at.epoch, First: at.first, Last: at.first + archive.MaxWindow - 1, Type: archive.TypeChunk}
		refs, err := l.Archive.Find(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("find chunks from %d on: %w", at.first, err)
		}
		s.refs = map[uint64][]archive.Ref{}
		for _, r := range refs {
			s.refs[r.Seq] = append(s.refs[r.Seq], r)
		}
	}
	return s.refs[c.Seq], nil
}

// Text returns what chunks hold, one after the other.
func (l *Library) Text(ctx context.Context, chunks []Chunk) (string, error) {
	var text []byte
	for _, c := range chunks {
		var err error
		if text, err = l.Chunk(ctx, c, text); err != nil {
			return "", err
		}
	}
	return string(text), nil
}
