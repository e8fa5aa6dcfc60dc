package node

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgbridge/pgbridge/archive"
)

// index finds items. Everything in it can be read from the files again: it is
// written after them, and thrown away when it is damaged. Its methods may be
// called concurrently.
type index struct {
	write   *sql.DB // one connection
	read    *sql.DB
	mu      sync.Mutex // one writer at a time, in the order of its commits
	few     few
	damaged atomic.Bool
	// added is told of new items of pgbridge, in the order of their numbers,
	// once they can be found. It must not block.
	added func(entry)
}

// entry is an item as the index has it.
type entry struct {
	n                                int64
	id                               string
	at                               time.Time
	sigType                          uint16
	signature, owner, target, anchor []byte
	tags                             []archive.Tag
	size, dataAt                     int64
}

// entryOf is what the index keeps of an item. It shares the item's bytes.
func entryOf(item *archive.Item, at time.Time) entry {
	return entry{
		id: item.ID, at: at, sigType: item.SigType, tags: item.Tags,
		signature: item.Bytes[2 : 2+signatureSize(item.SigType)], owner: item.Owner, target: item.Target, anchor: item.Anchor,
		size: int64(len(item.Bytes)), dataAt: int64(len(item.Bytes) - len(item.Data)),
	}
}

// signatureSize is the length of the signatures that archive.ParseItem lets pass.
func signatureSize(sigType uint16) int {
	switch sigType {
	case archive.SigArweave:
		return 512
	case archive.SigEthereum:
		return 65
	}
	return 64
}

// path is the item's file, below the folder.
func (e *entry) path() string { return archive.Path(&archive.Item{ID: e.id, Tags: e.tags}) }

func (e *entry) dataSize() int64 { return e.size - e.dataAt }

func (e *entry) contentType() string {
	for _, tag := range e.tags {
		if tag.Name == "Content-Type" {
			return tag.Value
		}
	}
	return "application/octet-stream"
}

// add makes items findable, in one transaction, those that are not there yet.
// When it returns they are found; they are durable soon after, and until then
// the files are.
func (x *index) add(ctx context.Context, entries ...entry) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	tx, err := x.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("write index: %w", x.fault(err))
	}
	defer tx.Rollback() // does nothing after the commit
	var fresh []entry
	for _, e := range entries {
		isNew, err := insert(ctx, tx, &e)
		if err != nil {
			return fmt.Errorf("write index: item %s: %w", e.id, x.fault(err))
		}
		if isNew {
			fresh = append(fresh, e)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("write index: %w", x.fault(err))
	}
	for _, e := range fresh {
		x.added(e)
	}
	return nil
}

const (
	insertItem = `INSERT INTO item (id, at, sig_type, signature, owner, target, anchor, tags, size, data_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`
	insertWords = `INSERT OR IGNORE INTO word (h, n) SELECT value, ? FROM json_each(?)`
)

func insert(ctx context.Context, tx *sql.Tx, e *entry) (isNew bool, err error) {
	tags, err := json.Marshal(e.tags)
	if err != nil {
		return false, err
	}
	done, err := tx.ExecContext(ctx, insertItem, e.id, e.at.UnixMilli(), e.sigType, e.signature, e.owner, e.target, e.anchor,
		string(tags), e.size, e.dataAt)
	if err != nil {
		return false, err
	}
	if count, err := done.RowsAffected(); err != nil || count == 0 {
		return false, err
	}
	if e.n, err = done.LastInsertId(); err != nil {
		return false, err
	}
	words, err := json.Marshal(e.words())
	if err != nil {
		return false, err
	}
	_, err = tx.ExecContext(ctx, insertWords, e.n, string(words))
	return err == nil, err
}

const selectItem = `SELECT n, id, at, sig_type, signature, owner, target, anchor, tags, size, data_at FROM item `

func scan(rows *sql.Rows) (e entry, err error) {
	var tags []byte
	var at int64
	err = rows.Scan(&e.n, &e.id, &at, &e.sigType, &e.signature, &e.owner, &e.target, &e.anchor, &tags, &e.size, &e.dataAt)
	if err != nil {
		return entry{}, err
	}
	e.at = time.UnixMilli(at).UTC()
	return e, json.Unmarshal(tags, &e.tags)
}

// lookup finds one item by its id. It wraps archive.ErrNotFound.
func (x *index) lookup(ctx context.Context, id string) (entry, error) {
	if !archive.ValidID(id) {
		return entry{}, fmt.Errorf("%w: %.50q is no item id", archive.ErrNotFound, id)
	}
	found, err := x.list(ctx, selectItem+"WHERE id = ?", id)
	if err != nil {
		return entry{}, err
	}
	if len(found) == 0 {
		return entry{}, fmt.Errorf("item %s: %w", id, archive.ErrNotFound)
	}
	return found[0], nil
}

func (x *index) list(ctx context.Context, query string, args ...any) ([]entry, error) {
	rows, err := x.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("read index: %w", x.fault(err))
	}
	defer rows.Close()
	var found []entry
	for rows.Next() {
		e, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("read index: %w", err)
		}
		found = append(found, e)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read index: %w", x.fault(err))
	}
	return found, nil
}

// height is the number of the latest item.
func (x *index) height(ctx context.Context) (n int64, err error) {
	err = x.read.QueryRowContext(ctx, "SELECT coalesce(max(n), 0) FROM item").Scan(&n)
	return n, x.fault(err)
}
