package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/pgbridge/pgbridge/action"
	"github.com/pgbridge/pgbridge/archive"
)

// sighting is one item that an archive lists, and what came of looking at it.
type sighting struct {
	archive int // its place among the archives
	ref     archive.Ref
	header  archive.Header
	bytes   int   // of the record
	err     error // it is not what the list says, or cannot be had
}

// opened are the digests of the records that opened, in order.
func opened(seen []sighting) (digests []action.Digest) {
	for _, s := range seen {
		if s.err == nil && !slices.Contains(digests, s.ref.Digest) {
			digests = append(digests, s.ref.Digest)
		}
	}
	slices.SortFunc(digests, func(a, b action.Digest) int { return slices.Compare(a[:], b[:]) })
	return digests
}

// of are the sightings of the record with the digest.
func of(seen []sighting, digest action.Digest) []sighting {
	return slices.DeleteFunc(slices.Clone(seen), func(s sighting) bool { return s.err != nil || s.ref.Digest != digest })
}

// window is what the archives hold of a few numbers of a series.
type window[T any] struct {
	mu       sync.Mutex // of what follows
	at       map[uint64][]sighting
	contents map[action.Digest]content[T]
	last     uint64 // the highest number that something opened for
}

// content is what the body of a record holds.
type content[T any] struct {
	value T
	err   error // it is signed and cannot be read
}

// desk is where records are fetched and read by a few workers: memory is bounded
// by their number and the size of a record.
type desk struct {
	archives []Archive
	workers  int
	buffers  chan []byte // for bodies, one for each worker

	mu     sync.Mutex
	failed []error // by archive: it cannot be read, and is asked no more
}

func newDesk(archives []Archive, workers int) *desk {
	d := &desk{archives: archives, workers: workers, buffers: make(chan []byte, workers), failed: make([]error, len(archives))}
	for range workers {
		d.buffers <- nil
	}
	return d
}

// errNoArchive: none is left to ask.
var errNoArchive = errors.New("no archive can be read")

// look asks every archive for q, fetches all that is listed, and reads the body
// of each record once. Only a cancelled ctx, or no archive left, is an error.
func look[T any](ctx context.Context, d *desk, q archive.Query, read func(*archive.Record, []byte) (T, error)) (*window[T], error) {
	refs, err := d.find(ctx, q)
	if err != nil {
		return nil, err
	}
	w := &window[T]{at: map[uint64][]sighting{}, contents: map[action.Digest]content[T]{}}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(d.workers)
	for i, listed := range refs {
		for _, ref := range listed {
			group.Go(func() error { return w.fetch(ctx, d, i, ref, read) })
		}
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for seq, seen := range w.at {
		w.at[seq] = slices.DeleteFunc(seen, func(s sighting) bool { return s.err != nil && d.failed[s.archive] != nil })
	}
	return w, d.ready()
}

// fetch looks at what archive i lists as ref, unless that archive has failed.
func (w *window[T]) fetch(ctx context.Context, d *desk, i int, ref archive.Ref, read func(*archive.Record, []byte) (T, error)) error {
	if d.gaveUp(i) {
		return nil
	}
	record, err := d.archives[i].get(ctx, ref)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if d.unreadable(i, err) {
		d.giveUp(i, err)
	}
	if !w.note(sighting{archive: i, ref: ref, header: record.Header, bytes: len(record.Bytes), err: err}) {
		return nil
	}
	c := unpack(d, &record, read)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.contents[ref.Digest] = c
	return nil
}

// note takes in a sighting. It tells whether it is the first of a record, whose
// body is then the caller's to read.
func (w *window[T]) note(s sighting) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at[s.ref.Seq] = append(w.at[s.ref.Seq], s)
	if _, known := w.contents[s.ref.Digest]; s.err != nil || known {
		return false
	}
	w.contents[s.ref.Digest] = content[T]{}
	w.last = max(w.last, s.ref.Seq)
	return true
}

// unreadable tells whether an error means that the archive cannot be read. A file
// of a folder that cannot be read is damaged; the others may be well.
func (d *desk) unreadable(i int, err error) bool {
	_, folder := d.archives[i].Finder.(*archive.Folder)
	return err != nil && !folder && !errors.Is(err, archive.ErrNotFound) && !errors.Is(err, archive.ErrForged)
}

// giveUp remembers that an archive cannot be read.
func (d *desk) giveUp(i int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed[i] = err
}

// gaveUp tells whether an archive was given up.
func (d *desk) gaveUp(i int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failed[i] != nil
}

// unpack reads the body of a record in a buffer that is used again.
func unpack[T any](d *desk, record *archive.Record, read func(*archive.Record, []byte) (T, error)) (c content[T]) {
	buf := <-d.buffers
	body, err := record.Body(buf[:0])
	if err != nil {
		d.buffers <- buf
		return content[T]{err: err}
	}
	c.value, c.err = read(record, body)
	if cap(body) > maxKept {
		body = nil
	}
	d.buffers <- body
	return c
}

// maxKept is the largest buffer that is used again.
const maxKept = 32 << 20

// find asks all archives at once. One that fails is asked no more.
func (d *desk) find(ctx context.Context, q archive.Query) ([][]archive.Ref, error) {
	refs := make([][]archive.Ref, len(d.archives))
	var asking sync.WaitGroup
	for i := range d.archives {
		if d.failed[i] != nil {
			continue
		}
		asking.Go(func() {
			listed, err := d.archives[i].Finder.Find(ctx, q)
			refs[i], d.failed[i] = distinct(listed), err
		})
	}
	asking.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return refs, d.ready()
}

// ready is an error if no archive is left.
func (d *desk) ready() error {
	for _, err := range d.failed {
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("%w: %w", errNoArchive, errors.Join(d.failed...))
}

// distinct drops what an index repeats.
func distinct(refs []archive.Ref) []archive.Ref {
	seen := map[archive.Ref]bool{}
	var once []archive.Ref
	for _, r := range refs {
		if !seen[r] {
			seen[r] = true
			once = append(once, r)
		}
	}
	return once
}
