package checkpoint

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgbridge/pgbridge/action"
)

// piece is text on its way to a chunk.
type piece struct {
	text    []byte
	rows    int64
	content action.Digest // by which the text is known again
	stored  *stored       // to fill
	back    chan<- []byte // where the memory of text goes; nil: nowhere
}

// free gives the memory of the text to the next piece, but not that of a huge row.
func (p piece) free() {
	if cap(p.text) > 2*chunkSize {
		return
	}
	select {
	case p.back <- p.text[:0]:
	default:
	}
}

// sending stores pieces with a few goroutines while others are read. What is in
// memory is bounded by how many there are: send waits for one of them.
type sending struct {
	pieces chan piece
	free   chan []byte
}

// newSending starts the goroutines in group; they end after close, or with ctx.
func newSending(ctx context.Context, group *errgroup.Group, to *store, readers int) *sending {
	workers := readers + 1
	s := &sending{pieces: make(chan piece), free: make(chan []byte, workers+readers)}
	for range workers {
		group.Go(func() error {
			for p := range s.pieces {
				var err error
				p.stored.sum, p.content = digestRows(p.text)
				if p.stored.Chunk, err = to.keep(ctx, p); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return s
}

func (s *sending) send(ctx context.Context, p piece) error {
	p.back = s.free
	select {
	case s.pieces <- p:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close says that nothing more is sent.
func (s *sending) close() { close(s.pieces) }

// spare is memory that was used before, or none.
func (s *sending) spare() []byte {
	select {
	case b := <-s.free:
		return b
	default:
		return make([]byte, 0, chunkSize)
	}
}

// pace spreads reading over time. The zero pace does not.
type pace struct {
	rate int64 // bytes per second

	mu   sync.Mutex
	free time.Time // when what was read until now may have been read
}

// wait takes note of n bytes that were read, and waits until the next may be.
func (p *pace) wait(ctx context.Context, n int64) error {
	if p.rate <= 0 {
		return nil
	}
	p.mu.Lock()
	now := time.Now()
	if p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(float64(n) / float64(p.rate) * float64(time.Second)))
	until := p.free
	p.mu.Unlock()
	return pause(ctx, time.Until(until))
}

// pause waits for d, or for the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
