package archive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Listed is what an index says of an item. All of it is hearsay.
type Listed struct {
	ID   string
	Tags []Tag
	// At is when the archive says that it got the item, to the millisecond, or,
	// of a gateway, the time of the item's block. Zero if it does not say.
	At time.Time
}

// List lists every item of any program that has all of tags, page by page in
// the order of the index, until pages bring nothing new. An item may come
// twice. It ends at the first error, and an index that cannot be read to its
// end is one.
//
// A gateway can lose items of a bundle that is less than 18 blocks old where
// a page ends: its list is of what is older.
func (g *Gateway) List(ctx context.Context, tags []Tag) iter.Seq2[Listed, error] {
	return func(yield func(Listed, error) bool) {
		f := filter{limit: pageSize}
		for _, t := range tags {
			f.tags = append(f.tags, filterTag{t.Name, []string{t.Value}})
		}
		seen, stale := map[string]struct{}{}, 0
		for {
			p, err := g.list(ctx, f)
			fresh := 0
			for _, n := range p.nodes {
				if _, twice := seen[n.ID]; twice {
					continue
				}
				seen[n.ID] = struct{}{}
				fresh++
				if l := n.listed(); l.has(tags) && !yield(l, nil) {
					return
				}
			}
			if stale++; fresh > 0 {
				stale = 0
			}
			switch {
			case err != nil:
			case fresh == 0 && !p.more:
				return
			case stale == maxPages:
				err = errors.New("its index gives the same pages again")
			case p.next == "" && p.more:
				err = errors.New("its index says that there is more, and not where")
			case p.next == "":
				return
			}
			if err != nil {
				yield(Listed{}, fmt.Errorf("list items at %s: %w", g.Name(), err))
				return
			}
			f.after = p.next
		}
	}
}

// list asks for one page.
func (g *Gateway) list(ctx context.Context, f filter) (p page, err error) {
	x := g.index()
	fields := "id tags{name value} block{height timestamp}"
	if x.dialect == Bundlr {
		fields = "id tags{name value} timestamp"
	}
	err = x.http.retry(ctx, x.url, func() error {
		p, err = x.query(ctx, f, fields)
		return err
	})
	return p, err
}

func (n *node) listed() Listed {
	l := Listed{ID: n.ID, Tags: n.Tags}
	if ms := milliseconds(n.Timestamp); ms > 0 {
		l.At = time.UnixMilli(ms).UTC()
	} else if n.Block != nil && n.Block.Timestamp > 0 {
		l.At = time.Unix(n.Block.Timestamp, 0).UTC()
	}
	if l.At.Year() > 9999 {
		l.At = time.Time{} // JSON could not say it
	}
	return l
}

// milliseconds reads an index's time, which is a number in any of JSON's forms,
// or a string with one.
func milliseconds(n json.Number) int64 {
	if ms, err := n.Int64(); err == nil {
		return ms
	}
	if ms, err := n.Float64(); err == nil && ms > 0 && ms < 1e15 {
		return int64(ms)
	}
	return 0
}

// has tells whether the item has all of tags: an index may answer anything.
func (l *Listed) has(tags []Tag) bool {
	for _, t := range tags {
		if !slices.Contains(l.Tags, t) {
			return false
		}
	}
	return true
}

// List is Gateway.List in the Bundlr dialect, whose times are to the millisecond.
func (n *Node) List(ctx context.Context, tags []Tag) iter.Seq2[Listed, error] {
	g := n.gateway()
	g.Dialect = Bundlr
	return g.List(ctx, tags)
}

// maxHead is where the data of an item begins at the latest, whatever its type.
const maxHead = 2 + 2*rsaSize + 2*33 + 16 + maxTagBytes

// List reads the head of every file, and no signature. It ends at the first
// file that is damaged.
func (f *Folder) List(ctx context.Context, tags []Tag) iter.Seq2[Listed, error] {
	return func(yield func(Listed, error) bool) {
		for path, err := range f.paths() {
			var l Listed
			if err == nil {
				err = context.Cause(ctx)
			}
			if err == nil {
				l, err = f.listed(path)
			}
			if err != nil {
				yield(Listed{}, fmt.Errorf("list items in %s: %w", f.Name(), err))
				return
			}
			f.remember(l.ID, path)
			if l.has(tags) && !yield(l, nil) {
				return
			}
		}
	}
}

// paths are those of all files on all shelves.
func (f *Folder) paths() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for dir, err := range f.Shelves() {
			var files []string
			if err == nil {
				files, err = f.Files(dir)
			}
			if err != nil {
				yield("", err)
				return
			}
			for _, path := range files {
				if !yield(path, nil) {
					return
				}
			}
		}
	}
}

func (f *Folder) listed(path string) (Listed, error) {
	file, err := os.Open(filepath.Join(f.Dir, path))
	if err != nil {
		return Listed{}, f.explain(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return Listed{}, f.explain(err)
	}
	head, err := readHead(file, maxHead)
	if err != nil {
		return Listed{}, f.explain(err)
	}
	l, err := splitItem(head)
	if err == nil && l.ID != FileID(path) {
		err = fmt.Errorf("it holds %s", l.ID)
	}
	if err != nil {
		return Listed{}, fmt.Errorf("file %s is damaged: %w: remove it, and copy it from another archive", path, err)
	}
	return Listed{ID: l.ID, Tags: l.Tags, At: info.ModTime().Truncate(time.Millisecond).UTC()}, nil
}
