package checkpoint

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/pgbridge/pgbridge/action"
)

// copier reads the rows of a snapshot with several sessions. A table is read in
// spans of so many blocks, always the same ones, so that where no row has changed
// the text is the same as last time, and so are its chunks.
type copier struct {
	m     *Maker
	s     *snapshot
	store *store
	pace  pace
	spans []span
	parts []part
	sums  []Sum // of s.tables

	mu   sync.Mutex // of sums and done
	done Progress
}

// part is a table that has storage of its own.
type part struct {
	name    action.Name
	table   int // whose rows these are, in s.tables
	columns []string
	blocks  int64
}

// span is a range of blocks of a part. The last one of a part has no end.
type span struct {
	part   int
	first  int64
	blocks int64
	last   bool
	chunks []*Chunk // filled when they are stored
}

// spanBlocks is how many blocks make a span: 8 MiB on disk, and about as much text.
// What a checkpoint sends again for one row that changed is one span.
const spanBlocks = 1024

func newCopier(m *Maker, s *snapshot, store *store) *copier {
	c := &copier{m: m, s: s, store: store, pace: pace{rate: m.Rate}, sums: make([]Sum, len(s.tables))}
	for i, t := range s.tables {
		if !t.Partitioned {
			c.parts = append(c.parts, part{name: t.Name, table: i, columns: t.Stored()})
			continue
		}
		for _, leaf := range t.Leaves {
			if leaf.InWAL { // others are not in the chain either
				c.parts = append(c.parts, part{name: leaf.Name, table: i, columns: t.Stored()})
			}
		}
	}
	return c
}

// run reads everything with one goroutine for each of readers, and returns when
// all chunks are stored.
func (c *copier) run(ctx context.Context, readers []pgx.Tx) error {
	if err := c.plan(ctx, readers[0]); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	work := make(chan *span)
	group.Go(func() error {
		defer close(work)
		for i := range c.spans {
			select {
			case work <- &c.spans[i]:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	sending := newSending(ctx, group, c.store, len(readers))
	var reading sync.WaitGroup
	reading.Add(len(readers))
	for _, tx := range readers {
		group.Go(func() error {
			defer reading.Done()
			for s := range work {
				if err := c.read(ctx, tx, s, sending); err != nil {
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		reading.Wait()
		sending.close()
		return nil
	})
	return group.Wait()
}

// plan measures the parts, after the snapshot was taken: rows that it sees are in
// blocks that are there.
func (c *copier) plan(ctx context.Context, tx pgx.Tx) error {
	const query = `SELECT pg_catalog.pg_relation_size($1::text::regclass, 'main') / current_setting('block_size')::int8`
	for i := range c.parts {
		p := &c.parts[i]
		if err := tx.QueryRow(ctx, query, p.name.SQL()).Scan(&p.blocks); err != nil {
			return fmt.Errorf("measure %s: %w", p.name, err)
		}
		for first := int64(0); first < p.blocks; first += spanBlocks {
			c.spans = append(c.spans, span{part: i, first: first, blocks: min(spanBlocks, p.blocks-first), last: first+spanBlocks >= p.blocks})
		}
		c.done.Total += p.blocks
	}
	return nil
}

// read reads one span and hands its text on in pieces of at most chunkSize, or of one row.
func (c *copier) read(ctx context.Context, tx pgx.Tx, s *span, to *sending) error {
	p := &c.parts[s.part]
	w := newCutter(func(piece piece) error {
		piece.chunk = &Chunk{}
		s.chunks = append(s.chunks, piece.chunk)
		if err := c.pace.wait(ctx, int64(len(piece.text))); err != nil {
			return err
		}
		return to.send(ctx, piece)
	}, to.spare)
	_, err := tx.Conn().PgConn().CopyTo(ctx, w, spanQuery(p, s))
	if err == nil {
		err = w.flush()
	}
	if err != nil {
		return fmt.Errorf("read rows of %s: %w", p.name, err)
	}
	c.finished(s, w)
	return nil
}

// finished counts a span.
func (c *copier) finished(s *span, w *cutter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sums[c.parts[s.part].table].Merge(&w.sum)
	c.done.Done += s.blocks
	c.done.Rows += w.sum.Rows()
	c.done.Fresh = c.store.fresh()
	if c.m.Progress != nil {
		const blockSize = 8 << 10
		c.m.Progress(Progress{Done: c.done.Done * blockSize, Total: c.done.Total * blockSize, Rows: c.done.Rows, Fresh: c.done.Fresh})
	}
}

func spanQuery(p *part, s *span) string {
	columns := make([]string, len(p.columns))
	for i, column := range p.columns {
		columns[i] = action.QuoteIdent(column)
	}
	where := fmt.Sprintf(" WHERE ctid >= '(%d,0)'::pg_catalog.tid", s.first)
	if !s.last {
		where += fmt.Sprintf(" AND ctid < '(%d,0)'::pg_catalog.tid", s.first+spanBlocks)
	}
	return "COPY (SELECT " + strings.Join(columns, ", ") + " FROM ONLY " + p.name.SQL() + where + ") TO STDOUT"
}

// files lists the chunks of each part, in the order of its rows.
func (c *copier) files() []File {
	files := make([]File, len(c.parts))
	for i, p := range c.parts {
		files[i] = File{Table: p.name, Columns: p.columns, Chunks: []Chunk{}}
	}
	for _, s := range c.spans {
		for _, chunk := range s.chunks {
			files[s.part].Chunks = append(files[s.part].Chunks, *chunk)
		}
	}
	return files
}

func (c *copier) state() []TableState {
	states := make([]TableState, len(c.s.tables))
	for i, t := range c.s.tables {
		states[i] = c.sums[i].State(t.Name)
	}
	return states
}
