package node

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

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

// layoutVersion is the version of the tables. A file with another is built anew.
const layoutVersion = 1

// word holds, for each thing that an item can be found by, a hash of it: of a
// tag, an address, the number of a record.
const tables = `
CREATE TABLE item (
	n         INTEGER PRIMARY KEY, -- order of arrival
	id        TEXT NOT NULL UNIQUE, -- base64url
	at        INTEGER NOT NULL,    -- milliseconds since 1970 UTC
	sig_type  INTEGER NOT NULL,
	signature BLOB NOT NULL,
	owner     BLOB NOT NULL,
	target    BLOB,
	anchor    BLOB,
	tags      TEXT NOT NULL,       -- JSON, null if there are none
	size      INTEGER NOT NULL,    -- of the file
	data_at   INTEGER NOT NULL     -- where the data begins
);
CREATE TABLE word (h INTEGER NOT NULL, n INTEGER NOT NULL, PRIMARY KEY (h, n)) WITHOUT ROWID;
CREATE TABLE shelf (path TEXT PRIMARY KEY, modified INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE state (clean INTEGER NOT NULL);
INSERT INTO state VALUES (1);
PRAGMA user_version = 1;
`

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

var errDamaged = errors.New("the index is damaged")

// openIndex opens the index file. It wraps errDamaged when there is one that
// cannot be used.
func openIndex(ctx context.Context, path string) (*index, error) {
	_, statErr := os.Stat(path)
	x := &index{write: connect(path, "&_txlock=immediate"), read: connect(path, "&_pragma=query_only(1)"), few: usual, added: func(entry) {}}
	x.write.SetMaxOpenConns(1)
	x.read.SetMaxOpenConns(4)
	err := x.prepare(ctx, errors.Is(statErr, os.ErrNotExist))
	if err != nil {
		x.write.Close() // the first error is the one to tell
		x.read.Close()
		return nil, fmt.Errorf("open index %s: %w", path, err)
	}
	return x, nil
}

func connect(path, more string) *sql.DB {
	dsn := (&url.URL{Scheme: "file", Path: path}).String() +
		"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=cache_size(-16000)" + more
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		panic(err) // the driver is linked in: cannot happen
	}
	return db
}

func (x *index) prepare(ctx context.Context, fresh bool) error {
	if fresh {
		if _, err := x.write.ExecContext(ctx, tables); err != nil {
			return err
		}
	}
	version, clean := 0, false
	err := x.write.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
	if err == nil && version != layoutVersion {
		return fmt.Errorf("%w: version %d of its tables is not %d", errDamaged, version, layoutVersion)
	}
	if err == nil {
		err = x.write.QueryRowContext(ctx, "SELECT clean FROM state").Scan(&clean)
	}
	if err == nil && !clean {
		err = x.check(ctx)
	}
	if err == nil {
		_, err = x.write.ExecContext(ctx, "UPDATE state SET clean = 0")
	}
	if sqliteCode(err) == sqlite3.SQLITE_ERROR { // no such table
		err = fmt.Errorf("%w: %w", errDamaged, err)
	}
	return x.fault(err)
}

// check reads all of the file. It is for after a crash.
func (x *index) check(ctx context.Context) error {
	var result string
	if err := x.write.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&result); err != nil {
		return err
	}
	if result != "ok" {
		return fmt.Errorf("%w: %s", errDamaged, result)
	}
	return nil
}

// fault marks, and remembers, the errors that only a new index heals.
func (x *index) fault(err error) error {
	if code := sqliteCode(err); code == sqlite3.SQLITE_CORRUPT || code == sqlite3.SQLITE_NOTADB {
		x.damaged.Store(true)
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return err
}

func sqliteCode(err error) int {
	if e := (*sqlite.Error)(nil); errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// close notes that there was no crash and no damage.
func (x *index) close() error {
	var err error
	if !x.damaged.Load() {
		_, err = x.write.Exec("UPDATE state SET clean = 1")
	}
	return errors.Join(err, x.read.Close(), x.write.Close())
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
