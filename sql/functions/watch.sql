-- The event triggers.

-- Marks what a statement has changed: a statement that drops is marked at sql_drop, where
-- the server says what is gone, every other one at ddl_command_end. Then updates the
-- publication, and marks rows that a peer cannot compute.
-- The SET clauses give its text one meaning and its queries fast plans, whatever the
-- session has set.
CREATE OR REPLACE FUNCTION pgbridge.schema_changed() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET standard_conforming_strings = on
SET enable_nestloop = on
SET enable_hashjoin = on
SET enable_mergejoin = on
SET enable_seqscan = on
SET enable_indexscan = on
SET enable_sort = on
SET enable_hashagg = on
SET enable_bitmapscan = on
SET enable_material = on
SET plan_cache_mode = auto
SET jit = off
AS $$
DECLARE
    stack     text;
    inside    boolean;
    statement text;
    place     text;
    number    bigint;
    concerned boolean;
    author    json;
    relations oid[];
    gone      oid[];
BEGIN
    GET DIAGNOSTICS stack = PG_CONTEXT;
    stack := coalesce(substring(stack FROM E'^[^\n]*\n(.*)$'), ''); -- without the frame of this function
    inside := stack ~ '^(SQL (statement|function) "|PL/)';
    IF NOT EXISTS (SELECT FROM pgbridge.database WHERE role = 'writer') THEN
        RETURN;
    ELSIF tg_event = 'sql_drop' AND tg_tag NOT LIKE '%PUBLICATION' THEN
        PERFORM pgbridge.forget_dropped();
    END IF;
    IF pgbridge.is_local(tg_tag) THEN
        RETURN;
    ELSIF pgbridge.is_quiet(tg_event, tg_tag) THEN
        RETURN;
    END IF;
    IF tg_tag IN ('GRANT', 'REVOKE', 'ALTER DEFAULT PRIVILEGES') THEN
        PERFORM pgbridge.refuse_service();
    END IF;
    IF tg_tag = 'ALTER DEFAULT PRIVILEGES' THEN
        IF tg_event = 'ddl_command_end' THEN -- sql_drop comes before, if it leaves none
            PERFORM pgbridge.mark_defaults(stack), pgbridge.end_rights();
        END IF;
        RETURN;
    END IF;
    IF inside THEN
        SELECT * INTO statement, place, number FROM pgbridge.inner_statement(stack, tg_tag);
    ELSE
        statement := current_query();
        number := pgbridge.statement_number();
    END IF;
    PERFORM pgbridge.refuse_two_readings(statement);
    IF tg_event = 'ddl_command_end' THEN
        PERFORM pgbridge.count_statement(number, place, stack);
        IF tg_tag ~ ' (FUNCTION|PROCEDURE|ROUTINE)$' THEN
            PERFORM pgbridge.note_bodies(inside);
        END IF;
    END IF;
    IF tg_event = 'ddl_command_end' AND tg_tag IN ('GRANT', 'REVOKE', 'DROP OWNED') THEN
        PERFORM pgbridge.mark_rights(statement, place, number, tg_tag, stack);
        IF tg_tag = 'DROP OWNED' THEN
            PERFORM pgbridge.mark_defaults(stack), pgbridge.mark_policies();
        END IF;
        PERFORM pgbridge.end_rights();
        RETURN;
    ELSIF (tg_event = 'sql_drop') <> (tg_tag LIKE 'DROP %') THEN
        RETURN;
    ELSIF tg_event = 'sql_drop' THEN
        concerned := EXISTS (SELECT FROM pgbridge.dropped_at_peers());
    ELSE
        concerned := pgbridge.concerns_peers();
    END IF;
    IF NOT concerned THEN
        RETURN;
    END IF;
    PERFORM pgbridge.refuse_in_call(stack);
    IF tg_event = 'ddl_command_end' THEN
        PERFORM pgbridge.refuse_temporary(statement, tg_tag);
    END IF;
    IF tg_event = 'sql_drop' AND (tg_tag = 'DROP OWNED'
        OR EXISTS (SELECT FROM pg_event_trigger_dropped_objects() WHERE original AND is_temporary)
        OR pgbridge.peer_caller() IS NULL AND (SELECT count(*) > 1 FROM pgbridge.dropped_at_peers()))
    THEN
        PERFORM pgbridge.mark_dropped(statement);
    ELSIF tg_tag IN ('CREATE TABLE AS', 'SELECT INTO') THEN
        PERFORM pgbridge.mark_generated(pgbridge.create_table_sql(objid), 'CREATE TABLE',
                pgbridge.relation_role(objid))
            FROM pg_event_trigger_ddl_commands() WHERE object_type = 'table';
    ELSE
        author := pgbridge.author_of(tg_event, tg_tag, statement);
        PERFORM pgbridge.mark_statement(statement, place, number, tg_tag,
            current_setting('pgbridge.caller_path')::json,
            CASE tg_tag WHEN 'CREATE SCHEMA' THEN (
                SELECT object_identity FROM pg_event_trigger_ddl_commands() WHERE object_type = 'schema' LIMIT 1) END,
            author);
        IF tg_event = 'ddl_command_end' THEN
            PERFORM pgbridge.mark_owners(tg_tag, author);
        END IF;
        IF tg_tag = 'ALTER TABLE' AND statement ~* '\mdetach\M.*\m(concurrently|finalize)\M' THEN
            PERFORM pgbridge.mark_detached();
        END IF;
    END IF;
    IF tg_event = 'sql_drop' THEN
        IF EXISTS (SELECT FROM pg_event_trigger_dropped_objects() AS o
            WHERE o.classid IN ('pg_class'::regclass, 'pg_constraint'::regclass))
        THEN
            PERFORM pgbridge.settle_identities();
        END IF;
        RETURN;
    END IF;
    relations := ARRAY(SELECT objid FROM pg_event_trigger_ddl_commands() WHERE classid = 'pg_class'::regclass);
    IF relations <> '{}' THEN
        gone := pgbridge.settle_publication();
        PERFORM pgbridge.settle_identities();
        PERFORM pgbridge.mark_rows(r) FROM pgbridge.unknown_rows(statement, tg_tag, relations, gone) AS r;
    END IF;
    DELETE FROM pgbridge.transaction_note WHERE xid = pg_current_xact_id() AND kind = 'rewritten';
END $$;

-- Makes the event triggers, of a database that is to be a writer. Returns false where the
-- role may not: only superusers make event triggers, and what the triggers do is done as
-- the owner of this schema, who must be a superuser too.
CREATE OR REPLACE FUNCTION pgbridge.watch_schema() RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE NOT rolsuper AND (rolname = current_user
            OR oid = (SELECT nspowner FROM pg_namespace WHERE nspname = 'pgbridge'))) THEN
        RETURN false;
    ELSIF EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'pgbridge_ddl') THEN
        RETURN true;
    END IF;
    INSERT INTO pgbridge.session_object
        WITH RECURSIVE object AS (
            SELECT d.classid, d.objid FROM pg_depend d
                LEFT JOIN pg_type t ON d.refclassid = 'pg_type'::regclass AND t.oid = d.refobjid
                LEFT JOIN pg_class r ON d.refclassid = 'pg_class'::regclass AND r.oid = d.refobjid
                LEFT JOIN pg_proc p ON d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid
                JOIN pg_namespace n ON n.oid IN (t.typnamespace, r.relnamespace, p.pronamespace)
            WHERE d.deptype = 'n' AND d.objsubid = 0 AND d.classid <> 'pg_class'::regclass
                AND pgbridge.is_temporary(n.nspname)
            UNION
            SELECT d.classid, d.objid FROM object o
                JOIN pg_depend d ON d.refclassid = o.classid AND d.refobjid = o.objid
            WHERE d.deptype = 'n' AND d.objsubid = 0 AND d.classid <> 'pg_class'::regclass)
        SELECT classid, objid FROM object ON CONFLICT DO NOTHING;
    CREATE EVENT TRIGGER pgbridge_extension ON ddl_command_start WHEN TAG IN ('CREATE EXTENSION', 'ALTER EXTENSION')
        EXECUTE FUNCTION pgbridge.begin_extension();
    CREATE EVENT TRIGGER pgbridge_rights ON ddl_command_start
        WHEN TAG IN ('GRANT', 'REVOKE', 'ALTER DEFAULT PRIVILEGES', 'DROP OWNED')
        EXECUTE FUNCTION pgbridge.begin_rights();
    CREATE EVENT TRIGGER pgbridge_caller ON ddl_command_end EXECUTE FUNCTION pgbridge.note_caller();
    CREATE EVENT TRIGGER pgbridge_caller_drop ON sql_drop EXECUTE FUNCTION pgbridge.note_caller();
    CREATE EVENT TRIGGER pgbridge_rewrite ON table_rewrite EXECUTE FUNCTION pgbridge.table_rewritten();
    CREATE EVENT TRIGGER pgbridge_drop ON sql_drop EXECUTE FUNCTION pgbridge.schema_changed();
    CREATE EVENT TRIGGER pgbridge_ddl ON ddl_command_end EXECUTE FUNCTION pgbridge.schema_changed();
    RETURN true;
END $$;

-- schema_changed reads the frames that the server writes for people, so their language is
-- pinned. Before 15 only a superuser may set it; without a superuser there are no event
-- triggers.
DO $$
BEGIN
    IF (SELECT r.rolsuper FROM pg_catalog.pg_roles AS r WHERE r.rolname OPERATOR(pg_catalog.=) current_user) THEN
        ALTER FUNCTION pgbridge.schema_changed() SET lc_messages = 'C';
    END IF;
END $$;
