package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/pgbridge/pgbridge/action"
)

// publicationOptions are those of every publication that pgbridge makes: all
// four operations, and partitioned tables under the name of their root.
const publicationOptions = " WITH (publish = 'insert, update, delete, truncate', publish_via_partition_root = true)"

// CreatePublication makes a publication of exactly these tables. The role must
// own them and have CREATE on the database; it need not be a superuser. Inherited
// tables are not added by themselves: they are in the list, or not published.
func CreatePublication(ctx context.Context, q Querier, name string, tables []action.Name) error {
	_, err := q.Exec(ctx, "CREATE PUBLICATION "+action.QuoteIdent(name)+forTables(" FOR TABLE ", tables)+publicationOptions)
	return wrapUnlessNil("create publication "+name, err)
}

// DropPublication drops a publication, or does nothing if there is none.
func DropPublication(ctx context.Context, q Querier, name string) error {
	_, err := q.Exec(ctx, "DROP PUBLICATION IF EXISTS "+action.QuoteIdent(name))
	return wrapUnlessNil("drop publication "+name, err)
}

func forTables(clause string, tables []action.Name) string {
	if len(tables) == 0 {
		return ""
	}
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = "ONLY " + t.SQL()
	}
	return clause + strings.Join(names, ", ")
}

// Publication is what the server would send.
type Publication struct {
	Name   string
	Tables []action.Name // named one by one, in order
	// Faults are the ways in which it is not as CreatePublication makes it, other
	// than the list of tables: it leaves out operations, rows or columns, names
	// partitions, or takes whole schemas.
	Faults []string
}

// ErrNoPublication says that there is no publication of that name.
var ErrNoPublication = errors.New("there is no such publication")

// LoadPublication reads a publication, or returns ErrNoPublication.
func LoadPublication(ctx context.Context, q Querier, name string) (Publication, error) {
	p := Publication{Name: name}
	if err := loadPublicationOptions(ctx, q, &p); err != nil {
		return Publication{}, fmt.Errorf("read publication %s: %w", name, err)
	}
	// Filters, column lists and schemas came with 15, so an older catalogue has
	// no such columns: to_jsonb makes them absent instead of an error.
	const query = `SELECT n.nspname::text, c.relname::text,
			to_jsonb(r) ->> 'prqual' IS NOT NULL, to_jsonb(r) ->> 'prattrs' IS NOT NULL
		FROM pg_catalog.pg_publication p JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid
			JOIN pg_catalog.pg_class c ON c.oid = r.prrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE p.pubname = $1
		ORDER BY n.nspname::text COLLATE "C", c.relname::text COLLATE "C"`
	rows, err := q.Query(ctx, query, name)
	if err != nil {
		return Publication{}, fmt.Errorf("read publication %s: %w", name, err)
	}
	var (
		table             action.Name
		filtered, columns bool
	)
	_, err = pgx.ForEachRow(rows, []any{&table.Schema, &table.Name, &filtered, &columns}, func() error {
		p.Tables = append(p.Tables, table)
		if filtered {
			p.Faults = append(p.Faults, "it leaves out rows of "+table.String()+" (WHERE)")
		}
		if columns {
			p.Faults = append(p.Faults, "it leaves out columns of "+table.String())
		}
		return nil
	})
	return p, wrapUnlessNil("read publication "+name, err)
}

func loadPublicationOptions(ctx context.Context, q Querier, p *Publication) error {
	const query = `SELECT puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot,
			coalesce(to_jsonb(p) ->> 'pubgencols', 'n') NOT IN ('n', 'false'),
			to_regclass('pg_catalog.pg_publication_namespace') IS NOT NULL
		FROM pg_catalog.pg_publication p WHERE pubname = $1`
	var all, insert, update, del, truncate, viaRoot, generated, schemas bool
	err := q.QueryRow(ctx, query, p.Name).Scan(&all, &insert, &update, &del, &truncate, &viaRoot, &generated, &schemas)
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrNoPublication
	}
	if err != nil {
		return err
	}
	if schemas { // a server that can: does it?
		err := q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_catalog.pg_publication_namespace s
			JOIN pg_catalog.pg_publication p ON p.oid = s.pnpubid WHERE p.pubname = $1)`, p.Name).Scan(&schemas)
		if err != nil {
			return err
		}
	}
	for _, c := range []struct {
		fault bool
		text  string
	}{
		{all, "it is FOR ALL TABLES"},
		{schemas, "it takes whole schemas"},
		{!insert || !update || !del || !truncate, "it leaves out operations"},
		{!viaRoot, "publish_via_partition_root is off"},
		{generated, "it publishes generated columns"},
	} {
		if c.fault {
			p.Faults = append(p.Faults, c.text)
		}
	}
	return nil
}

// MarkPublication remembers the publication as it is now. The schema and the row
// of pgbridge.database must be there.
func MarkPublication(ctx context.Context, q Querier) error {
	_, err := q.Exec(ctx, "SELECT pgbridge.mark_publication()")
	return wrapUnlessNil("mark the publication", err)
}

// PublicationMarked says whether nobody changed the publication since
// MarkPublication, not even for a moment, but the triggers that put new tables
// into it and take partitions out of it.
func PublicationMarked(ctx context.Context, q Querier) (bool, error) {
	var marked bool
	err := q.QueryRow(ctx, "SELECT coalesce(pgbridge.publication_untouched(), false)").Scan(&marked)
	return marked, wrapUnlessNil("compare the publication", err)
}

// without returns the names of a that are not in b.
func without(a, b []action.Name) (rest []action.Name) {
	in := make(map[action.Name]bool, len(b))
	for _, n := range b {
		in[n] = true
	}
	for _, n := range a {
		if !in[n] {
			rest = append(rest, n)
		}
	}
	return rest
}
