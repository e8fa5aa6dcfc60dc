package node

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

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
