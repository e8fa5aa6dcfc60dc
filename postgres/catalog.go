package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/pgbridge/pgbridge/action"
)

// ReplicaIdentity is what the WAL holds of a row that is updated or deleted.
type ReplicaIdentity string

// The replica identities of a table (pg_class.relreplident).
const (
	IdentityDefault ReplicaIdentity = "default" // the primary key, if there is one
	IdentityFull    ReplicaIdentity = "full"    // the whole row
	IdentityIndex   ReplicaIdentity = "index"   // the columns of one unique index
	IdentityNothing ReplicaIdentity = "nothing"
)

// Column is a column of a table, in its order.
type Column struct {
	Name      string
	Type      string // as format_type writes it under an empty search_path
	NotNull   bool
	Generated bool   // GENERATED ALWAYS AS (…): never in the stream, never copied
	Identity  string // "always", "by default" or ""
}

// Leaf is a partition that holds rows.
type Leaf struct {
	Name     action.Name
	Identity ReplicaIdentity
	Key      []string // as Table.Key
	InWAL    bool     // false for unlogged and foreign partitions
}

// Table is a table whose rows can be published: ordinary, or the root of a
// partitioned one.
type Table struct {
	OID         uint32
	Name        action.Name
	Partitioned bool
	Columns     []Column
	PrimaryKey  []string // columns in the order of the index; nil if there is none
	Identity    ReplicaIdentity
	// Key are the columns that the identity finds a row by: those of a usable
	// index under IdentityDefault and IdentityIndex, in its order. Nil otherwise,
	// and nil where that index is missing, invalid or deferrable: then the server
	// refuses UPDATE and DELETE once the table is published.
	Key    []string
	Leaves []Leaf // of a partitioned table, by name
}

// Identifiable tells whether every UPDATE and DELETE of rows of t can be
// published.
func (t Table) Identifiable() bool {
	if t.Partitioned { // the server looks at the partition that holds the row
		for _, l := range t.Leaves {
			if !identifiable(l.Identity, l.Key) {
				return false
			}
		}
	}
	return identifiable(t.Identity, t.Key)
}

func identifiable(identity ReplicaIdentity, key []string) bool {
	return identity == IdentityFull || identity != IdentityNothing && len(key) > 0
}

// Stored are the names of the columns that are in the stream: all but the
// generated ones.
func (t Table) Stored() []string {
	names := make([]string, 0, len(t.Columns))
	for _, c := range t.Columns {
		if !c.Generated {
			names = append(names, c.Name)
		}
	}
	return names
}

const (
	// userSchema holds for the namespaces n that are the user's.
	userSchema = ` left(n.nspname, 3) <> 'pg_' AND n.nspname NOT IN ('information_schema', 'pgbridge') `

	// notOfExtension holds for the relations c that no extension made.
	notOfExtension = ` NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
		WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') `

	// identityOf is the written form of c.relreplident.
	identityOf = ` CASE c.relreplident WHEN 'd' THEN 'default' WHEN 'f' THEN 'full' WHEN 'i' THEN 'index' ELSE 'nothing' END `

	// identityKey are the key columns of the replica identity of c, as the server
	// finds them (RelationGetIndexList): nothing of an invalid or deferrable index.
	identityKey = ` ARRAY(SELECT a.attname::text FROM pg_catalog.pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, n), pg_catalog.pg_attribute a
		WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
			AND (c.relreplident = 'd' AND i.indisprimary OR c.relreplident = 'i' AND i.indisreplident)
			AND k.n <= i.indnkeyatts AND a.attrelid = c.oid AND a.attnum = k.attnum
		ORDER BY k.n) `

	primaryKey = ` ARRAY(SELECT a.attname::text FROM pg_catalog.pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, n), pg_catalog.pg_attribute a
		WHERE i.indrelid = c.oid AND i.indisprimary AND k.n <= i.indnkeyatts AND a.attrelid = c.oid AND a.attnum = k.attnum
		ORDER BY k.n) `
)

// Tables lists what can be published, by name: ordinary tables and the roots of
// partitioned ones. Not in the list: partitions, unlogged, temporary and foreign
// tables, members of extensions, and the schemas of the system and of pgbridge.
func Tables(ctx context.Context, q Querier) ([]Table, error) {
	const query = `SELECT c.oid, n.nspname::text, c.relname::text, c.relkind = 'p', ` + primaryKey + `, ` + identityOf + `, ` + identityKey + `
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p' AND ` + userSchema + ` AND ` + notOfExtension + `
		ORDER BY n.nspname::text COLLATE "C", c.relname::text COLLATE "C"`
	rows, err := q.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	tables, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t Table, err error) {
		err = row.Scan(&t.OID, &t.Name.Schema, &t.Name.Name, &t.Partitioned, &t.PrimaryKey, &t.Identity, &t.Key)
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	byOID := make(map[uint32]*Table, len(tables))
	oids := make([]uint32, len(tables))
	for i := range tables {
		oids[i] = tables[i].OID
		byOID[oids[i]] = &tables[i]
	}
	if err := loadColumns(ctx, q, oids, byOID); err != nil {
		return nil, fmt.Errorf("list columns: %w", err)
	}
	if err := loadLeaves(ctx, q, oids, byOID); err != nil {
		return nil, fmt.Errorf("list partitions: %w", err)
	}
	return tables, nil
}

func loadColumns(ctx context.Context, q Querier, oids []uint32, byOID map[uint32]*Table) error {
	const query = `SELECT a.attrelid, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated <> '',
			CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' ELSE '' END
		FROM pg_catalog.pg_attribute a WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped
		ORDER BY a.attrelid, a.attnum`
	rows, err := q.Query(ctx, query, oids)
	if err != nil {
		return err
	}
	var (
		oid uint32
		c   Column
	)
	_, err = pgx.ForEachRow(rows, []any{&oid, &c.Name, &c.Type, &c.NotNull, &c.Generated, &c.Identity}, func() error {
		byOID[oid].Columns = append(byOID[oid].Columns, c)
		return nil
	})
	return err
}

func loadLeaves(ctx context.Context, q Querier, oids []uint32, byOID map[uint32]*Table) error {
	const query = `SELECT r.oid, n.nspname::text, c.relname::text, ` + identityOf + `, ` + identityKey + `, c.relkind = 'r' AND c.relpersistence = 'p'
		FROM unnest($1::oid[]) r (oid) CROSS JOIN pg_catalog.pg_partition_tree(r.oid::regclass) p
			JOIN pg_catalog.pg_class c ON c.oid = p.relid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE p.isleaf AND c.relkind <> 'p'
		ORDER BY r.oid, n.nspname::text COLLATE "C", c.relname::text COLLATE "C"`
	var roots []uint32
	for _, oid := range oids {
		if byOID[oid].Partitioned {
			roots = append(roots, oid)
		}
	}
	rows, err := q.Query(ctx, query, roots)
	if err != nil {
		return err
	}
	_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (struct{}, error) {
		var (
			oid uint32
			l   Leaf
		)
		if err := row.Scan(&oid, &l.Name.Schema, &l.Name.Name, &l.Identity, &l.Key, &l.InWAL); err != nil {
			return struct{}{}, err
		}
		byOID[oid].Leaves = append(byOID[oid].Leaves, l)
		return struct{}{}, nil
	})
	return err
}
