package checkpoint

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/postgres"
)

// copier reads the rows of a snapshot, with several sessions if it is told to. A
// table is read block by block in the order of its blocks, and cut where the rows
// say (cutter), so that where no row has changed the chunks are those of last time.
type copier struct {
	m     *Maker
	s     *snapshot
	store *store
	pace  pace
	spans []span
	parts []part

	mu   sync.Mutex // of done, and what spans know of their progress
	done Progress
}

// part is a table that has storage of its own.
type part struct {
	name    action.Name
	table   int // whose rows these are, in s.tables
	columns []string
}

// span is what one query reads: a part, or a range of its blocks.
type span struct {
	part   int
	first  int64 // block
	end    int64 // block behind the last; 0: the whole part
	size   int64 // bytes on disk
	done   int64 // bytes of size that count as read
	stored []*stored
}

// stored is what became of a piece.
type stored struct {
	Chunk
	sum Sum // of its rows
}

// spanBlocks is how many blocks of a large table one session reads at a time, when
// there are several: 128 MiB. One session reads a table whole. That is what the
// server does best: a scan of a whole table keeps to a few buffers, while a scan of
// a range of blocks takes all of shared_buffers for itself (heap_beginscan asks for
// the ring of buffers for sequential scans only), from whoever else is at work.
var spanBlocks int64 = 16384

func newCopier(m *Maker, s *snapshot, store *store) *copier {
	c := &copier{m: m, s: s, store: store, pace: pace{rate: m.Rate}}
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
			return postgres.RequireRead(ctx, tx, c.s.tables)
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
// blocks that are there. A part that can be divided is read by queries, and to plan a query
// can run code of users with the rights of this session: a table with such code is not
// divided.
func (c *copier) plan(ctx context.Context, tx pgx.Tx) error {
	const query = `SELECT pg_catalog.pg_relation_size($1::text::regclass, 'main') / current_setting('block_size')::int8, pg_catalog.pg_table_size($1::text::regclass)`
	for i, p := range c.parts {
		var blocks, size int64
		if err := tx.QueryRow(ctx, query, p.name.SQL()).Scan(&blocks, &size); err != nil {
			return fmt.Errorf("measure %s: %w", p.name, err)
		}
		spans := spansOf(i, blocks, size, c.m.jobs())
		if len(spans) > 1 {
			code, err := postgres.PlannedCode(ctx, tx, p.name)
			if err != nil {
				return err
			}
			if code {
				spans = spansOf(i, blocks, size, 1)
			}
		}
		c.spans = append(c.spans, spans...)
		c.done.Total += size
	}
	return nil
}

// spansOf divides a part among so many sessions.
func spansOf(part int, blocks, size int64, jobs int) []span {
	if jobs == 1 || blocks <= spanBlocks {
		return []span{{part: part, size: size}}
	}
	var spans []span
	for first := int64(0); first < blocks; first += spanBlocks {
		end := min(first+spanBlocks, blocks)
		spans = append(spans, span{part: part, first: first, end: end, size: size*end/blocks - size*first/blocks})
	}
	return spans
}

// read reads one span and hands its text on in pieces.
func (c *copier) read(ctx context.Context, tx pgx.Tx, s *span, to *sending) error {
	p := &c.parts[s.part]
	w := &cutter{spare: to.spare, emit: func(piece piece) error {
		piece.stored = &stored{}
		s.stored = append(s.stored, piece.stored)
		c.progress(s, int64(len(piece.text)), piece.rows)
		if err := c.pace.wait(ctx, int64(len(piece.text))); err != nil {
			return err
		}
		return to.send(ctx, piece)
	}}
	_, err := tx.Conn().PgConn().CopyTo(ctx, w, spanQuery(p, s))
	if err == nil {
		err = w.flush()
	}
	if err != nil {
		return fmt.Errorf("read rows of %s: %w", p.name, err)
	}
	c.progress(s, s.size, 0)
	return nil
}

// progress counts what came of a span. A byte of text counts as one on disk, as
// long as the span has any left.
func (c *copier) progress(s *span, bytes, rows int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(bytes, s.size-s.done)
	s.done += n
	c.done.Done += n
	c.done.Rows += rows
	c.done.Fresh = c.store.fresh()
	if c.m.Progress != nil {
		c.m.Progress(c.done)
	}
}

func spanQuery(p *part, s *span) string {
	names := make([]string, len(p.columns))
	for i, column := range p.columns {
		names[i] = action.QuoteIdent(column)
	}
	columns := strings.Join(names, ", ")
	switch {
	case s.end > 0:
		return fmt.Sprintf("COPY (SELECT %s FROM ONLY %s WHERE ctid >= '(%d,0)'::pg_catalog.tid AND ctid < '(%d,0)'::pg_catalog.tid) TO STDOUT",
			columns, p.name.SQL(), s.first, s.end)
	case columns == "":
		return "COPY " + p.name.SQL() + " TO STDOUT"
	default:
		return "COPY " + p.name.SQL() + " (" + columns + ") TO STDOUT"
	}
}

// files lists the chunks of each part, in the order of its rows.
func (c *copier) files() []File {
	files := make([]File, len(c.parts))
	for i, p := range c.parts {
		files[i] = File{Table: p.name, Columns: p.columns, Chunks: []Chunk{}}
	}
	for _, s := range c.spans {
		for _, piece := range s.stored {
			files[s.part].Chunks = append(files[s.part].Chunks, piece.Chunk)
		}
	}
	return files
}

func (c *copier) state() []TableState {
	sums, states := make([]Sum, len(c.s.tables)), make([]TableState, len(c.s.tables))
	for _, s := range c.spans {
		for _, piece := range s.stored {
			sums[c.parts[s.part].table].Merge(&piece.sum)
		}
	}
	for i, t := range c.s.tables {
		states[i] = sums[i].State(t.Name)
	}
	return states
}
