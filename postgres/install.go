package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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

// ErrNewer says that the schema pgbridge was made by a newer pgbridge than this.
var ErrNewer = errors.New("the database was set up by a newer pgbridge: update this one")

// ErrOlder says that the schema pgbridge is older than this program, and that the
// role of the session may not upgrade it.
var ErrOlder = errors.New("schema pgbridge is older than this pgbridge")

// ErrRights says that the role of the session has no rights in schema pgbridge.
var ErrRights = errors.New("connect as the service role, or give this role its rights: pgbridge init --role, as an administrator")

// Install makes the schema pgbridge, or brings the one that is there to what this
// program knows: tables by numbered migrations, then each file of functions whose
// text has changed. It is one transaction, so a crash leaves the old version or the
// new one. To run it again, or twice at once, is safe, also while publishers and
// appliers are at work. The role needs CREATE on the database the first time, and
// must own the schema or be a member of its owner later; everything belongs to the
// owner of the schema. A newer schema is ErrNewer, and left alone.
func Install(ctx context.Context, conn *pgx.Conn) error {
	return ours.install(ctx, conn)
}

// release is what one version of the program puts into a database.
type release struct {
	revision  int
	tables    []script // applied once, in order
	functions []script // applied again when they change, in order
}

type script struct{ name, text string }

func (s script) digest() string {
	sum := sha256.Sum256([]byte(s.text))
	return hex.EncodeToString(sum[:])
}

var ours = release{sql.Revision, readTables(sql.Tables), readFunctions(sql.Functions, sql.Order)}

func readTables(files fs.FS) (all []script) {
	names, err := fs.Glob(files, "tables/*.sql")
	if err != nil {
		panic(err) // constant pattern: cannot happen
	}
	slices.Sort(names)
	for i, name := range names {
		text, err := fs.ReadFile(files, name)
		base := strings.TrimPrefix(name, "tables/")
		number, _, _ := strings.Cut(base, "_")
		version, _ := strconv.Atoi(number)
		if err != nil || version != i+1 {
			panic("migration " + name + " is not number " + strconv.Itoa(i+1)) // held by the tests
		}
		all = append(all, script{base, string(text)})
	}
	return all
}

func readFunctions(files fs.FS, order []string) (all []script) {
	for _, name := range order {
		text, err := fs.ReadFile(files, "functions/"+name+".sql")
		if err != nil {
			panic(err) // held by the tests
		}
		all = append(all, script{name + ".sql", string(text)})
	}
	return all
}

func (r *release) install(ctx context.Context, conn *pgx.Conn) error {
	err := r.installOnce(ctx, conn)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "23505" { // another session has just made the schema
		err = r.installOnce(ctx, conn)
	}
	return err
}

func (r *release) installOnce(ctx context.Context, conn *pgx.Conn) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin to install: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	have, err := loadVersion(ctx, tx)
	if err != nil {
		return err
	}
	if have.exists() {
		if have, err = r.lock(ctx, tx); err != nil {
			return err
		}
	}
	if err := r.apply(ctx, tx, have); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit the installation: %w", err)
	}
	return nil
}

// lock waits for another installation, and reads the version that it left. It works
// as the owner of the schema, to whom new objects are to belong.
func (r *release) lock(ctx context.Context, tx pgx.Tx) (version, error) {
	var owner string
	err := tx.QueryRow(ctx, "SELECT nspowner::pg_catalog.regrole::text FROM pg_catalog.pg_namespace WHERE nspname = 'pgbridge'").Scan(&owner)
	if err != nil {
		return version{}, fmt.Errorf("look for the owner of schema pgbridge: %w", err)
	}
	if _, err := tx.Exec(ctx, "SET LOCAL ROLE "+owner); err != nil {
		return version{}, fmt.Errorf("install as the owner of schema pgbridge: %w: run pgbridge init as %s or as a superuser", err, owner)
	}
	if _, err := tx.Exec(ctx, "LOCK TABLE pgbridge.installed IN EXCLUSIVE MODE"); err != nil {
		return version{}, fmt.Errorf("wait for another installation: %w", err)
	}
	return loadVersion(ctx, tx)
}

func (r *release) apply(ctx context.Context, tx pgx.Tx, have version) error {
	if have.newer(r) {
		return have.refuse(r)
	}
	if _, err := tx.Exec(ctx, "SET LOCAL check_function_bodies = off"); err != nil { // they call each other
		return fmt.Errorf("install: %w", err)
	}
	for _, s := range r.tables[have.tables:] {
		if _, err := tx.Exec(ctx, s.text); err != nil {
			return explainInstall(s, err)
		}
	}
	applied := false
	for _, s := range r.functions {
		if have.functions[s.name] == s.digest() && !(applied && s.name == rightsFile) {
			continue
		}
		if _, err := tx.Exec(ctx, s.text); err != nil {
			return explainInstall(s, err)
		}
		const query = `INSERT INTO pgbridge.function_file (name, digest) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET digest = excluded.digest`
		if _, err := tx.Exec(ctx, query, s.name, s.digest()); err != nil {
			return fmt.Errorf("note that %s is installed: %w", s.name, err)
		}
		applied = true
	}
	if !applied && have.tables == len(r.tables) && have.revision == r.revision {
		return nil
	}
	const query = "UPDATE pgbridge.installed SET (revision, tables, changed_at) = ($1, $2, clock_timestamp())"
	_, err := tx.Exec(ctx, query, r.revision, len(r.tables))
	return wrapUnlessNil("note the version of schema pgbridge", err)
}

// rightsFile is applied again whenever another file was: new functions are closed by it.
const rightsFile = "rights.sql"

func explainInstall(s script, err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		switch refused.Code {
		case "42501":
			return fmt.Errorf("install %s: %w: GRANT CREATE ON DATABASE to this role", s.name, err)
		case "42P06":
			return fmt.Errorf("install %s: %w: it was not made by pgbridge: rename or drop it", s.name, err)
		}
	}
	return fmt.Errorf("install %s: %w", s.name, err)
}

// version is what is installed in a database. The zero version: nothing.
type version struct {
	revision  int
	tables    int
	functions map[string]string // digest by file
}

func (v version) exists() bool { return v.functions != nil }

func (v version) newer(r *release) bool {
	return v.revision > r.revision || v.tables > len(r.tables)
}

func (v version) refuse(r *release) error {
	return fmt.Errorf("schema pgbridge is at version %d.%d, this program knows %d.%d: %w", v.tables, v.revision, len(r.tables), r.revision, ErrNewer)
}

// current tells whether everything of r is there.
func (v version) current(r *release) bool {
	return v.tables == len(r.tables) && v.revision == r.revision &&
		!slices.ContainsFunc(r.functions, func(s script) bool { return v.functions[s.name] != s.digest() })
}

func loadVersion(ctx context.Context, q Querier) (version, error) {
	var exists bool
	err := q.QueryRow(ctx, `SELECT EXISTS (
		SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'pgbridge' AND c.relname = 'installed' AND c.relkind = 'r')`).Scan(&exists)
	if err != nil || !exists {
		return version{}, wrapUnlessNil("look for schema pgbridge", err)
	}
	v := version{functions: map[string]string{}}
	err = q.QueryRow(ctx, "SELECT revision, tables FROM pgbridge.installed").Scan(&v.revision, &v.tables)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "42501" {
		return version{}, fmt.Errorf("read pgbridge.installed: %w: %w", err, ErrRights)
	}
	if err != nil {
		return version{}, fmt.Errorf("read pgbridge.installed: %w", err)
	}
	rows, err := q.Query(ctx, "SELECT name, digest FROM pgbridge.function_file")
	if err != nil {
		return version{}, fmt.Errorf("read pgbridge.function_file: %w", err)
	}
	var name, digest string
	_, err = pgx.ForEachRow(rows, []any{&name, &digest}, func() error {
		v.functions[name] = digest
		return nil
	})
	return v, wrapUnlessNil("read pgbridge.function_file", err)
}

// Installed tells whether the schema pgbridge is in the database, in the version
// that this program knows. A newer version is ErrNewer, an older one ErrOlder.
func Installed(ctx context.Context, q Querier) (bool, error) {
	v, err := loadVersion(ctx, q)
	switch {
	case err != nil || !v.exists():
		return false, err
	case v.newer(&ours):
		return false, v.refuse(&ours)
	case !v.current(&ours):
		return false, fmt.Errorf("%w: run pgbridge init as the owner of the schema or as a superuser: it upgrades what is there", ErrOlder)
	}
	return true, nil
}

// Upgrade is Install for a database that may be at work: it does nothing where there
// is no schema pgbridge, or the one that this program knows. It is ErrOlder where
// the role of the session is not the owner of the schema.
func Upgrade(ctx context.Context, conn *pgx.Conn) error {
	if _, err := Installed(ctx, conn); !errors.Is(err, ErrOlder) {
		return err
	}
	var may bool
	err := conn.QueryRow(ctx, "SELECT pg_catalog.pg_has_role(nspowner, 'USAGE') FROM pg_catalog.pg_namespace WHERE nspname = 'pgbridge'").Scan(&may)
	if err != nil {
		return fmt.Errorf("look for the owner of schema pgbridge: %w", err)
	}
	if !may {
		_, err := Installed(ctx, conn)
		return err
	}
	return Install(ctx, conn)
}

func wrapUnlessNil(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}
