package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgbridge/pgbridge/sql"
)

type migration struct {
	version int
	name    string
	text    string
}

// migrations are all known ones, in order: version 1, 2, 3 and so on. Released
// ones are for ever: a change of the schema is a new file.
var migrations = readMigrations(sql.Migrations)

func readMigrations(files fs.FS) []migration {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		panic(err) // constant pattern: cannot happen
	}
	slices.Sort(names)
	var all []migration
	for i, name := range names {
		text, err := fs.ReadFile(files, name)
		base := strings.TrimPrefix(name, "migrations/")
		number, _, _ := strings.Cut(base, "_")
		version, _ := strconv.Atoi(number)
		if err != nil || version != i+1 {
			panic("migration " + name + " is not number " + strconv.Itoa(i+1)) // held by the tests
		}
		all = append(all, migration{version, base, string(text)})
	}
	return all
}

// ErrNewer says that the schema pgbridge was made by a newer pgbridge than this.
var ErrNewer = errors.New("the database was set up by a newer pgbridge: update this one")

// migrationLock is held while migrations are applied ("pgbr" in ASCII).
const migrationLock = 0x70676272

// Migrate brings the schema pgbridge to the version this program knows, in one
// transaction, so a crash leaves the version that was there or the new one;
// running it again, or twice at once, is safe. The role needs CREATE on the
// database. A newer schema is ErrNewer, and left alone.
func Migrate(ctx context.Context, conn *pgx.Conn) error {
	return migrate(ctx, conn, migrations)
}

func migrate(ctx context.Context, conn *pgx.Conn, known []migration) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin migration: %w", err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err := tx.Exec(ctx, "SELECT pg_catalog.pg_advisory_xact_lock($1)", migrationLock); err != nil {
		return fmt.Errorf("wait for another migration: %w", err)
	}
	version, err := schemaVersion(ctx, tx)
	if err != nil {
		return err
	}
	if version > len(known) {
		return newer(version, len(known))
	}
	for _, next := range known[version:] {
		if _, err := tx.Exec(ctx, next.text); err != nil {
			return explainMigration(next, err)
		}
		if _, err := tx.Exec(ctx, "INSERT INTO pgbridge.migration (version) VALUES ($1)", next.version); err != nil {
			return fmt.Errorf("record migration %s: %w", next.name, err)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit migration: %w", err)
	}
	return nil
}

func newer(version, known int) error {
	return fmt.Errorf("schema pgbridge is at version %d, this program knows %d: %w", version, known, ErrNewer)
}

func explainMigration(m migration, err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		switch refused.Code {
		case "42501":
			return fmt.Errorf("migration %s: %w: GRANT CREATE ON DATABASE to this role", m.name, err)
		case "42P06":
			return fmt.Errorf("migration %s: %w: it was not made by pgbridge: rename or drop it", m.name, err)
		}
	}
	return fmt.Errorf("migration %s: %w", m.name, err)
}

// Installed tells whether the schema pgbridge is in the database, in the version
// this program knows. A newer version is ErrNewer; an older one is an error that
// says to run init, since nothing but init changes a schema.
func Installed(ctx context.Context, q Querier) (bool, error) {
	version, err := schemaVersion(ctx, q)
	switch {
	case err != nil:
		return false, err
	case version > len(migrations):
		return false, newer(version, len(migrations))
	case version > 0 && version < len(migrations):
		return false, fmt.Errorf("schema pgbridge is at version %d, this program needs %d: run pgbridge init", version, len(migrations))
	}
	return version > 0, nil
}

// schemaVersion is 0 where there is no schema pgbridge.
func schemaVersion(ctx context.Context, q Querier) (int, error) {
	var exists bool
	err := q.QueryRow(ctx, `SELECT EXISTS (
		SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'pgbridge' AND c.relname = 'migration' AND c.relkind = 'r')`).Scan(&exists)
	if err != nil || !exists {
		return 0, wrapUnlessNil("look for schema pgbridge", err)
	}
	var version, count int
	err = q.QueryRow(ctx, "SELECT coalesce(max(version), 0), count(*) FROM pgbridge.migration").Scan(&version, &count)
	if err != nil {
		return 0, fmt.Errorf("read pgbridge.migration: %w", err)
	}
	if version != count {
		return 0, fmt.Errorf("pgbridge.migration has %d rows up to version %d: it was changed by hand, restore it", count, version)
	}
	return version, nil
}

func wrapUnlessNil(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
