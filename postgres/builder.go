package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgbridge/pgbridge/ddl"
)

// builder is a role without rights that makes the objects of a pre-data where a superuser
// loads it. To define an object can run code of a user: the server evaluates constants of a
// composite type, calls in partition keys, and whatever else it folds, as the role that
// executes the statement. The objects belong to the builder until all are made, and get
// their owners then. Its role is there for a transaction only, and nobody else sees it.
//
// The builder executes by a runner (pgbridge.run_as), so that code which it runs cannot
// become the superuser. While an object is made an event trigger refuses every other change
// of the schema (sql/functions/building.sql), and rows that were written meanwhile go: so such
// code changes nothing, though the builder owns what others have defined.
type builder struct {
	role  string
	clean []string // takes away what its code may have left in the session
	table string   // the statement that sets the access method of tables
}

// loadAsBuilder executes a pre-data. Schema pgbridge must be there.
func loadAsBuilder(ctx context.Context, tx pgx.Tx, all []Statement) error {
	var makes, after []Statement
	for _, s := range all {
		if s.Role() != "" || ddl.IsOwner(s.Text) || ddl.IsRight(s.Text) || strings.HasPrefix(s.Text, "COMMENT ON ") {
			after = append(after, s)
		} else {
			makes = append(makes, s)
		}
	}
	var id uint32
	if err := tx.QueryRow(ctx, "SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()").Scan(&id); err != nil {
		return fmt.Errorf("load schema: %w", err)
	}
	b := builder{role: "pgbridge_builder_" + strconv.FormatUint(uint64(id), 10)}
	b.clean = append(strings.Split(Repin(tx.Conn().PgConn()), "; "),
		"SET LOCAL check_function_bodies = off", "CLOSE ALL", "UNLISTEN *", "DISCARD TEMP")
	if _, err := tx.Exec(ctx, fmt.Sprintf(beginBuilder, b.role)); err != nil {
		return fmt.Errorf("make role %s, which makes the objects: %w", b.role, err)
	}
	script := &batch{}
	script.add("SET LOCAL check_function_bodies = off", -1)
	for i, s := range makes {
		b.add(script, s.Text, i)
	}
	script.add("RESET default_table_access_method", -1)
	if err := script.run(ctx, tx, makes); err != nil {
		return err
	}
	// A statement that was prepared may have the name of one of this session's own.
	if err := tx.Conn().DeallocateAll(ctx); err != nil {
		return fmt.Errorf("forget statements: %w", err)
	}
	if _, err := tx.Exec(ctx, fmt.Sprintf(endBuilder, b.role)); err != nil {
		return fmt.Errorf("drop role %s, which made the objects: %w", b.role, err)
	}
	return execute(ctx, tx, after)
}

// add adds statement i, and what has to follow it.
func (b *builder) add(to *batch, text string, i int) {
	if !ddl.RunsNothing(text) {
		to.add("SELECT pgbridge.run_as("+quoteLiteral(b.role)+", "+quoteLiteral(text)+", '{}', false)", i)
		for _, line := range b.clean {
			to.add(line, i)
		}
		to.add("SELECT pgbridge.end_definition()", i)
		if b.table != "" {
			to.add(b.table, i)
		}
		return
	}
	to.add(text, i)
	if strings.HasPrefix(text, accessMethod) {
		b.table = text
		return
	}
	to.add(fmt.Sprintf(handOver, quoteLiteral(b.role)), i)
}

func quoteLiteral(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return " E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}

const beginBuilder = `DO $do$
	BEGIN
		CREATE ROLE %[1]s NOLOGIN NOINHERIT;
		EXECUTE pg_catalog.format('GRANT CREATE, TEMPORARY ON DATABASE %%I TO %[1]s', pg_catalog.current_database());
		IF pg_catalog.to_regnamespace('public') IS NOT NULL THEN
			GRANT USAGE, CREATE ON SCHEMA public TO %[1]s;
		END IF;
		GRANT USAGE ON SCHEMA pgbridge TO %[1]s;
		GRANT EXECUTE ON FUNCTION pgbridge.begin_definition() TO %[1]s;
		CREATE EVENT TRIGGER pgbridge_builder ON ddl_command_start EXECUTE FUNCTION pgbridge.definition_begins();
		ALTER EVENT TRIGGER pgbridge_builder ENABLE ALWAYS;
	END $do$`

// handOver gives the builder what it needs of what the superuser has just made. Functions,
// which may be SECURITY DEFINER, do not stay a superuser's while code of users runs.
const handOver = `DO $do$
	DECLARE
		builder pg_catalog.name := %[1]s;
		made pg_catalog.text;
	BEGIN
		FOR made IN
			SELECT pg_catalog.format('ALTER ROUTINE %%s OWNER TO %%I', p.oid::pg_catalog.regprocedure, builder)
			FROM pg_catalog.pg_proc p
			WHERE p.xmin::pg_catalog.text = (pg_catalog.pg_current_xact_id()::pg_catalog.xid)::pg_catalog.text
				AND p.proowner = (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = current_user)
				AND p.pronamespace <> 'pgbridge'::pg_catalog.regnamespace AND NOT EXISTS (
					SELECT FROM pg_catalog.pg_depend d
					WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype IN ('e', 'i'))
			UNION ALL SELECT pg_catalog.format('GRANT USAGE ON FOREIGN SERVER %%I TO %%I', s.srvname, builder) FROM pg_catalog.pg_foreign_server s
			UNION ALL SELECT pg_catalog.format('GRANT USAGE, CREATE ON SCHEMA %%I TO %%I', n.nspname, builder) FROM pg_catalog.pg_namespace n
			WHERE pg_catalog.left(n.nspname, 3) <> 'pg_' AND n.nspname NOT IN ('information_schema', 'pgbridge')
				AND NOT pg_catalog.has_schema_privilege(builder, n.oid, 'CREATE')
		LOOP
			EXECUTE made;
		END LOOP;
	END $do$`

const endBuilder = `DO $do$
	DECLARE
		written pg_catalog.text;
	BEGIN
		DROP EVENT TRIGGER pgbridge_builder;
		FOR written IN
			SELECT pg_catalog.format('TRUNCATE ONLY %%I.%%I', n.nspname, c.relname)
			FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
			WHERE c.relkind = 'r' AND pg_catalog.pg_relation_size(c.oid) > 0
				AND c.relowner = (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = '%[1]s')
		LOOP
			EXECUTE written;
		END LOOP;
		EXECUTE (SELECT coalesce(pg_catalog.string_agg(pg_catalog.format('DROP FUNCTION %%s', p.oid::pg_catalog.regprocedure), '; '), 'SELECT')
			FROM pg_catalog.pg_proc p WHERE p.pronamespace = 'pgbridge'::pg_catalog.regnamespace
				AND p.proowner = (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = '%[1]s'));
		REASSIGN OWNED BY %[1]s TO CURRENT_USER;
		DROP OWNED BY %[1]s;
		DROP ROLE %[1]s;
	END $do$`
