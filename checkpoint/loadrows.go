package checkpoint

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/postgres"
)

// work is a chunk on its way into its table.
type work struct {
	at   place
	text []byte
	chunkLoaded
}

// loadRows loads the chunks that are not loaded yet. Some are fetched while others
// are copied; there are only so many buffers, which bounds the memory.
func (l *Loader) loadRows(ctx context.Context) error {
	pending, report, err := l.pending(ctx)
	if err != nil || len(pending) == 0 {
		return err
	}
	ahead := min(l.jobs(), 2)
	buffers := make(chan []byte, l.jobs()+ahead)
	for range cap(buffers) {
		buffers <- nil
	}
	next, ready := make(chan place), make(chan work)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(next)
		for _, at := range pending {
			select {
			case next <- at:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	var fetching sync.WaitGroup
	for range l.jobs() {
		fetching.Add(1)
		group.Go(func() error {
			defer fetching.Done()
			return l.fetchAll(ctx, next, buffers, ready)
		})
		group.Go(func() error { return l.copyAll(ctx, ready, buffers, report) })
	}
	group.Go(func() error {
		fetching.Wait()
		close(ready)
		return nil
	})
	return group.Wait()
}

// pending lists the chunks to load, and returns what to call after each.
func (l *Loader) pending(ctx context.Context) (chunks []place, done func(work), err error) {
	roots, err := l.roots(ctx)
	if err != nil {
		return nil, nil, err
	}
	var at LoadReport
	for f, file := range l.Checkpoint.Files {
		if !l.wants(roots[f]) {
			continue
		}
		for c, chunk := range file.Chunks {
			at.Total += chunk.Size
			p := place{f, c}
			if was, ok := l.loaded[p]; ok {
				at.Done, at.Rows = at.Done+chunk.Size, at.Rows+was.rows
				continue
			}
			chunks = append(chunks, p)
		}
	}
	var mu sync.Mutex
	return chunks, func(w work) {
		mu.Lock()
		defer mu.Unlock()
		l.loaded[w.at] = w.chunkLoaded
		at.Done, at.Rows = at.Done+int64(len(w.text)), at.Rows+w.rows
		if l.Report != nil {
			l.Report(at)
		}
	}, nil
}

func (l *Loader) chunk(at place) Chunk { return l.Checkpoint.Files[at.file].Chunks[at.chunk] }

func (l *Loader) fetchAll(ctx context.Context, next <-chan place, buffers <-chan []byte, ready chan<- work) error {
	for at := range next {
		var buffer []byte
		select {
		case buffer = <-buffers:
		case <-ctx.Done():
			return ctx.Err()
		}
		w, err := l.fetch(ctx, at, buffer)
		if err != nil {
			return fmt.Errorf("rows of %s: %w", l.Checkpoint.Files[at.file].Table, err)
		}
		select {
		case ready <- w:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (l *Loader) fetch(ctx context.Context, at place, buffer []byte) (work, error) {
	c := l.chunk(at)
	text, err := l.Library.Chunk(ctx, c, buffer[:0])
	if err != nil {
		return work{}, err
	}
	var sum Sum
	if err := sum.AddText(text); err != nil {
		return work{}, fmt.Errorf("chunk %d of epoch %d: %w: %w", c.Seq, c.Epoch, ErrChunk, err)
	}
	if sum.Rows() != c.Rows {
		return work{}, fmt.Errorf("chunk %d of epoch %d: %w: it has %d rows, not %d", c.Seq, c.Epoch, ErrChunk, sum.Rows(), c.Rows)
	}
	return work{at, text, chunkLoaded{sum.Rows(), sum.Digest()}}, nil
}

// copyAll copies chunks until there are no more, on a connection of its own.
func (l *Loader) copyAll(ctx context.Context, ready <-chan work, buffers chan<- []byte, done func(work)) error {
	conn, err := l.worker(ctx, l.connectRows())
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	exec := l.Executor(conn)
	for {
		var w work
		var ok bool
		select {
		case w, ok = <-ready:
		case <-ctx.Done():
			return ctx.Err()
		}
		if !ok {
			return nil
		}
		err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return l.copyChunk(ctx, tx, exec, w) })
		if err != nil {
			return fmt.Errorf("load rows of %s: %w", l.Checkpoint.Files[w.at.file].Table, err)
		}
		done(w)
		buffers <- w.text // has room: it came from there
	}
}

// copyChunk loads a chunk and says so: both, or neither.
func (l *Loader) copyChunk(ctx context.Context, tx pgx.Tx, exec Executor, w work) error {
	file := &l.Checkpoint.Files[w.at.file]
	n, err := exec.Insert(ctx, file.Table, file.Columns, w.text)
	if err != nil {
		return err
	}
	if n != w.rows {
		return fmt.Errorf("%d rows were loaded, not %d", n, w.rows)
	}
	_, err = tx.Exec(ctx, "INSERT INTO pgbridge.restore_chunk (file, chunk, row_count, sum) VALUES ($1, $2, $3, $4)",
		w.at.file, w.at.chunk, w.rows, w.sum.String())
	return err
}

// roots are, for each file, the table whose rows it has: partitions are files of
// their own.
func (l *Loader) roots(ctx context.Context) ([]action.Name, error) {
	conn, err := l.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	files := l.Checkpoint.Files
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = f.Table.SQL()
	}
	found, err := postgres.Relations(ctx, conn, names)
	if err != nil {
		return nil, err
	}
	roots := make([]action.Name, len(files))
	for i, name := range names {
		r, ok := found[name]
		if !ok {
			return nil, fmt.Errorf("the checkpoint has rows of %s, which its schema does not have", files[i].Table)
		}
		roots[i] = r.Root
	}
	return roots, nil
}

// checkRows compares what was loaded with the state that the manifest claims. A
// *StateError names what differs.
func (l *Loader) checkRows(ctx context.Context, conn *pgx.Conn) error {
	roots, err := l.roots(ctx)
	if err != nil {
		return err
	}
	sums := map[action.Name]*Sum{}
	var want []TableState
	for _, s := range l.Checkpoint.State {
		if l.wants(s.Table) {
			want = append(want, s)
			sums[s.Table] = &Sum{}
		}
	}
	for at, c := range l.loaded {
		root := roots[at.file]
		if sums[root] == nil {
			sums[root] = &Sum{}
		}
		c.addTo(sums[root])
	}
	var got []TableState
	for name, s := range sums {
		got = append(got, s.State(name))
	}
	if differ := Differences(want, got); len(differ) > 0 {
		return &StateError{l.Checkpoint.Number, differ}
	}
	return nil
}

func (l *Loader) connectRows() func(context.Context) (*pgx.Conn, error) {
	if l.ConnectRows != nil {
		return l.ConnectRows
	}
	return l.Connect
}
