package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/pgbridge/pgbridge/action"
)

// Folder keeps items as files, one each, below Dir. The names say what the
// files are, so it needs no index:
//
//	<db>/<writer>/<epoch>/<seq, thousands>/<seq>-<type>-<digest>-<item id>.item
//	other/<first two characters>/<item id>.item     what is not pgbridge's
//	tmp/                                            writes under way, never read
//
// A copy of Dir, or of one <db> in it, is a full archive. Dir itself must
// exist: one that is missing is a disk that is not mounted, not an empty
// archive. Several processes may use one Dir. All methods may be called
// concurrently.
type Folder struct {
	Dir string

	sweep  sync.Once
	mu     sync.Mutex
	synced map[string]bool   // directories whose way up to Dir is known to be durable
	places map[string]string // item id → path below Dir, of items met lately
}

// The most that a Folder remembers; beyond it, it begins anew.
const (
	maxSynced = 4 << 10
	maxPlaces = 64 << 10
)

// Name is the folder's URL.
func (f *Folder) Name() string { return "dir://" + filepath.ToSlash(f.Dir) }

// Put checks the item and keeps it: when Put returns nil, file and directories
// are synced to the disk. It wraps ErrRejected for what is no item. All other
// errors pass once the disk has room, or is there, or is writable, and say so.
func (f *Folder) Put(ctx context.Context, raw []byte) (Receipt, error) {
	item, err := ParseItem(raw)
	if err != nil {
		return Receipt{}, fmt.Errorf("put to %s: %w: %w", f.Name(), ErrRejected, err)
	}
	if err := context.Cause(ctx); err != nil {
		return Receipt{}, fmt.Errorf("put item %s to %s: %w", item.ID, f.Name(), err)
	}
	kept, err := f.Keep(&item, time.Now())
	if err != nil {
		return Receipt{}, err
	}
	f.remember(item.ID, kept.Path) // Status is asked next
	return Receipt{ID: item.ID, State: Confirmed}, nil
}

// Status is Confirmed for what is in the folder, else Unknown. An item that
// this Folder has not met lately costs a look at every file's name.
func (f *Folder) Status(ctx context.Context, id string) (State, error) {
	switch _, err := f.locate(ctx, id); {
	case errors.Is(err, ErrNotFound):
		return Unknown, nil
	case err != nil:
		return Unknown, fmt.Errorf("status of item %s in %s: %w", id, f.Name(), err)
	}
	return Confirmed, nil
}

// Find reads the names in one or two directories. All that claim to have one
// number are found: duplicates under several ids, and forks.
func (f *Folder) Find(ctx context.Context, q Query) ([]Ref, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	var found []Ref
	for _, dir := range q.shelves() {
		entries, err := f.list(dir)
		if err != nil {
			return nil, fmt.Errorf("find records %d to %d in %s: %w", q.First, q.Last, f.Name(), err)
		}
		for _, entry := range entries {
			if !q.spans(entry.Name()) {
				continue
			}
			path := filepath.Join(dir, entry.Name())
			if ref, err := parsePath(path); err == nil && q.matches(ref) && f.names(path, q.Action) {
				found = append(found, ref)
				f.remember(ref.ID, path)
			}
		}
	}
	return found, context.Cause(ctx)
}

// names tells whether the tags of the item name the action. Those of a damaged
// one may: whoever reads it finds out.
func (f *Folder) names(path, action string) bool {
	if action == "" {
		return true
	}
	l, err := f.listed(path)
	return err != nil || l.has([]Tag{{tagAction, action}})
}

// FindGenesis looks at the first directory of every writer of db: a genesis is
// record 1 of epoch 1.
func (f *Folder) FindGenesis(ctx context.Context, db action.Digest) ([]Ref, error) {
	writers, err := f.list(db.String())
	if err != nil {
		return nil, fmt.Errorf("find genesis %s in %s: %w", db, f.Name(), err)
	}
	var found []Ref
	for _, entry := range writers {
		w, err := action.ParseWriter(entry.Name())
		if err != nil {
			continue
		}
		refs, err := f.Find(ctx, Query{DB: db, Writer: w, Epoch: 1, First: 1, Last: 1, Type: TypeGenesis})
		if err != nil {
			return nil, err
		}
		found = append(found, refs...)
	}
	return found, nil
}

// Get returns the data of an item. An id that this Folder has not met lately,
// in Find say, costs a look at every file's name.
func (f *Folder) Get(ctx context.Context, id string) ([]byte, error) {
	raw, err := f.read(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("get item %s from %s: %w", id, f.Name(), err)
	}
	return raw, nil
}

func (f *Folder) read(ctx context.Context, id string) ([]byte, error) {
	path, err := f.locate(ctx, id)
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(f.Dir, path))
	if errors.Is(err, fs.ErrNotExist) {
		f.forget(id)
		return nil, fmt.Errorf("%w: its file %s is gone", ErrNotFound, path)
	}
	if err != nil {
		return nil, f.explain(err)
	}
	l, err := splitItem(raw)
	if err == nil && l.ID != id {
		err = fmt.Errorf("it holds %s", l.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("file %s is damaged: %w: remove it, and copy it from another archive", path, err)
	}
	return l.Data, nil
}

// locate returns the path below Dir of an item.
func (f *Folder) locate(ctx context.Context, id string) (string, error) {
	if !ValidID(id) {
		return "", fmt.Errorf("%w: %.50q is no item id", ErrNotFound, id)
	}
	f.mu.Lock()
	path, ok := f.places[id]
	f.mu.Unlock()
	if !ok {
		path = otherPath(id)
	}
	if _, err := os.Stat(filepath.Join(f.Dir, path)); err == nil {
		return path, nil
	}
	return f.search(ctx, id)
}

// search looks at every name, and remembers what it met for the next search.
func (f *Folder) search(ctx context.Context, id string) (string, error) {
	hit := ""
	for dir, err := range f.Shelves() {
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return "", err
		}
		files, err := f.Files(dir)
		if err != nil {
			return "", err
		}
		for _, path := range files {
			have := FileID(path)
			f.remember(have, path)
			if have == id {
				hit = path
			}
		}
	}
	if hit == "" {
		return "", ErrNotFound
	}
	f.remember(id, hit)
	return hit, nil
}

func (f *Folder) remember(id, path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.places == nil || len(f.places) >= maxPlaces {
		f.places = make(map[string]string)
	}
	f.places[strings.Clone(id)] = path
}

func (f *Folder) forget(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.places, id)
}

// Kept says what became of an item.
type Kept struct {
	// Path is below Dir.
	Path string
	// At is when the folder first kept the item, to the millisecond: the time
	// of the file.
	At time.Time
	// Before tells whether the folder had it already.
	Before bool
}

// Keep is Put of an item that was parsed before. at is the time that is noted
// with a new item.
func (f *Folder) Keep(item *Item, at time.Time) (Kept, error) {
	k := Kept{Path: Path(item), At: at.Truncate(time.Millisecond)}
	at, err := holds(filepath.Join(f.Dir, k.Path), item.Bytes)
	switch {
	case err == nil:
		k.Before, k.At = true, at.Truncate(time.Millisecond)
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errDiffers):
		err = f.write(k, item.Bytes)
	}
	if err == nil {
		err = f.sync(filepath.Dir(k.Path)) // also of what another Put has just written
	}
	if err != nil {
		return Kept{}, fmt.Errorf("put item %s to %s: %w", item.ID, f.Name(), f.explain(err))
	}
	return k, nil
}
