package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
	"github.com/pgbridge/pgbridge/checkpoint"
)

// checkpoints looks at the checkpoints beside the chain, once that was read:
// those that the chain names, and every chunk that one of these needs.
func (v *verifying) checkpoints(ctx context.Context) error {
	c := &copies{verifying: v, used: map[action.Digest]*piece{}}
	if err := c.readManifests(ctx); err != nil {
		return err
	}
	if err := c.readChunks(ctx); err != nil {
		return err
	}
	for _, m := range c.confirmed {
		if err := c.prove(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// copies is what is known of the checkpoints of the owner.
type copies struct {
	*verifying
	confirmed []mark // checkpoints that are there, readable, and named by the chain

	mu   sync.Mutex
	used map[action.Digest]*piece // chunks of confirmed checkpoints
}

// piece is a chunk that a confirmed checkpoint needs.
type piece struct {
	checkpoint.Chunk
	got   bool
	sum   checkpoint.Sum
	lines bool // its text ends in a newline, so that it can be rows
	size  int64
	bytes int64
}

// confirms tells whether the chain names a checkpoint.
func (v *verifying) confirms(number uint64, digest action.Digest) bool {
	return slices.Contains(v.named, mark{number, digest})
}

// readManifests reads the series of checkpoints.
func (c *copies) readManifests(ctx context.Context) error {
	s := c.owner
	s.kind = archive.TypeCheckpoint
	var most uint64 // that the chain names
	for _, m := range c.named {
		most = max(most, m.number)
	}
	before, at := []action.Digest{c.DB}, uint64(0)
	for first := uint64(1); ; first += archive.MaxWindow {
		found, err := look(ctx, c.desk, s.window(first), c.readManifest)
		if err != nil {
			return err
		}
		if found.last == 0 && first > most {
			return nil
		}
		var lacks []lack
		for number := first; number < first+archive.MaxWindow; number++ {
			seen := found.at[number]
			lacks = append(lacks, c.judge(number, archive.TypeCheckpoint, seen)...)
			digests := opened(seen)
			if len(digests) == 0 {
				c.absent(number, seen)
				continue
			}
			if at+1 != number {
				before = nil
			}
			for _, d := range digests {
				c.manifest(number, d, seen, found.contents[d].err, before)
			}
			before, at = digests, number
		}
		if err := c.settle(ctx, lacks); err != nil {
			return err
		}
	}
}

// readManifest notes the chunks that a confirmed checkpoint needs. It is called
// by several workers.
func (c *copies) readManifest(record *archive.Record, body []byte) (none struct{}, err error) {
	m, err := checkpoint.ParseManifest(body)
	if err != nil || !c.confirms(record.Header.Seq, record.Digest) {
		return none, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, chunk := range m.Chunks() {
		if c.used[chunk.Digest] == nil {
			c.used[chunk.Digest] = &piece{Chunk: chunk}
		}
	}
	return none, nil
}

// absent reports a checkpoint that the chain names and no archive has.
func (c *copies) absent(number uint64, seen []sighting) {
	for _, m := range c.named {
		if m.number != number {
			continue
		}
		f := Fault{Kind: Missing, Type: archive.TypeCheckpoint, Epoch: c.owner.epoch, First: number, Last: number, Detail: "the chain names it"}
		for _, s := range seen {
			if s.ref.Digest == m.digest && !errors.Is(s.err, archive.ErrNotFound) {
				f.Kind, f.Archive, f.Detail = Damaged, c.archives[s.archive].Name(), s.err.Error()
				c.report.add(f)
			}
		}
		if f.Kind == Missing {
			c.report.add(f)
		}
		return
	}
}

// manifest judges one checkpoint record by itself.
func (c *copies) manifest(number uint64, digest action.Digest, seen []sighting, unreadable error, before []action.Digest) {
	good := of(seen, digest)
	f := Fault{Type: archive.TypeCheckpoint, Epoch: c.owner.epoch, First: number, Last: number, Has: c.names(good)}
	prev := good[0].header.Prev
	switch {
	case !c.confirms(number, digest):
		f.Kind, f.Detail = Unconfirmed, "the chain does not name "+digest.String()+": it cannot be trusted, or its record of the chain is not in the archive yet"
	case unreadable != nil:
		f.Kind, f.Detail = Unreadable, unreadable.Error()
	case before != nil && !slices.Contains(before, prev):
		f.Kind, f.Detail = Unlinked, fmt.Sprintf("it follows %s, which is not the checkpoint before it", prev)
		c.confirmed = append(c.confirmed, mark{number, digest})
	default:
		c.confirmed = append(c.confirmed, mark{number, digest})
		return
	}
	c.report.add(f)
}

// rows is what a chunk holds.
type rows struct {
	sum   checkpoint.Sum
	lines bool
}

func readChunk(_ *archive.Record, body []byte) (r rows, _ error) {
	r.lines = r.sum.AddText(body) == nil
	return r, nil
}

// readChunks reads the chunks that are used.
func (c *copies) readChunks(ctx context.Context) error {
	windows := map[archive.Query]bool{}
	s := c.owner
	s.kind = archive.TypeChunk
	for _, p := range c.used {
		s.epoch = p.Epoch
		windows[s.window(p.Seq-(p.Seq-1)%archive.MaxWindow)] = true
	}
	for _, q := range slices.SortedFunc(maps.Keys(windows), func(a, b archive.Query) int {
		return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.First, b.First))
	}) {
		found, err := look(ctx, c.desk, q, readChunk)
		if err != nil {
			return err
		}
		var lacks []lack
		for seq := q.First; seq <= q.Last; seq++ {
			seen := slices.DeleteFunc(found.at[seq], func(s sighting) bool { return c.used[s.ref.Digest] == nil })
			lacks = append(lacks, c.judge(seq, archive.TypeChunk, seen)...)
			for _, s := range seen {
				c.chunk(s, found.contents)
			}
		}
		if err := c.settle(ctx, lacks); err != nil {
			return err
		}
	}
	for _, p := range c.used {
		if p.got {
			c.report.Chunks++
		}
	}
	return nil
}

// chunk notes what a chunk holds, or how it is damaged.
func (c *copies) chunk(s sighting, contents map[action.Digest]content[rows]) {
	p := c.used[s.ref.Digest]
	body, good := contents[s.ref.Digest]
	f := Fault{Type: archive.TypeChunk, Epoch: p.Epoch, First: s.ref.Seq, Last: s.ref.Seq, Archive: c.archives[s.archive].Name()}
	switch {
	case good && body.err == nil && s.err == nil:
		p.got, p.sum, p.lines = true, body.value.sum, body.value.lines
		p.size, p.bytes = int64(s.header.Size), int64(s.bytes)
		p.Epoch, p.Seq = s.header.Epoch, s.header.Seq // not what a manifest says
	case good && body.err != nil && s.err == nil:
		f.Kind, f.Detail = Unreadable, body.err.Error()
		c.report.add(f)
	case !good && !errors.Is(s.err, archive.ErrNotFound): // nobody has it: else the archive's lack says it
		f.Kind, f.Detail = Damaged, s.err.Error()
		c.report.add(f)
	}
}
