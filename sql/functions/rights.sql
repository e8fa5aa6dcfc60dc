-- Rights. Nothing in schema pgbridge is for others than its owner, whatever ALTER
-- DEFAULT PRIVILEGES says, but for what the service role needs to do its work, and
-- what the owner of an action needs to call it.

-- The role as which the service connects, or NULL.
CREATE OR REPLACE FUNCTION pgbridge.service_role() RETURNS oid
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.oid FROM pgbridge.installed AS i JOIN pg_roles AS r ON r.oid = i.service
$$;

-- Refuses changes of the schema and of rights by the service role, whose session reads what
-- strangers wrote. It owns nothing, but a GRANT that gives nothing here would be in the log,
-- and a peer's role of that name may own much.
CREATE OR REPLACE FUNCTION pgbridge.refuse_service() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles AS r WHERE r.oid = pgbridge.service_role() AND NOT r.rolsuper
            AND r.rolname = current_setting('pgbridge.caller_role')
            AND r.oid <> (SELECT n.nspowner FROM pg_namespace AS n WHERE n.nspname = 'pgbridge')) THEN
        RAISE EXCEPTION 'role % works for pgbridge: it changes no schema and no rights',
            quote_ident(current_setting('pgbridge.caller_role')) USING ERRCODE = 'insufficient_privilege';
    END IF;
END $$;

-- What the service role may do in this schema. What it needs of the cluster and of
-- the database is listed in postgres/grants.go.
CREATE OR REPLACE FUNCTION pgbridge.service_rights() RETURNS TABLE (privileges text, object text)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    VALUES ('USAGE', 'SCHEMA pgbridge'),
        -- to know what this database is
        ('SELECT', 'TABLE pgbridge.installed'),
        ('SELECT', 'TABLE pgbridge.function_file'),
        ('SELECT', 'TABLE pgbridge.database'),
        ('UPDATE (stage)', 'TABLE pgbridge.database'),
        -- to know of others at work
        ('EXECUTE', 'FUNCTION pgbridge.take_lock(text, boolean)'),
        ('EXECUTE', 'FUNCTION pgbridge.is_locked(text)'),
        -- to publish
        ('SELECT, UPDATE', 'TABLE pgbridge.chain'),
        ('SELECT, INSERT, DELETE', 'TABLE pgbridge.outbox'),
        ('SELECT, INSERT, UPDATE, DELETE', 'TABLE pgbridge.delivery'),
        ('SELECT', 'TABLE pgbridge.secret'), -- to tell true marks from forged ones
        ('SELECT', 'TABLE pgbridge.published'),
        ('SELECT, INSERT', 'TABLE pgbridge.origin'),
        ('EXECUTE', 'FUNCTION pgbridge.publication_mark()'),
        ('EXECUTE', 'FUNCTION pgbridge.publication_untouched()'),
        ('EXECUTE', 'FUNCTION pgbridge.memberships()'),
        -- to make checkpoints
        ('SELECT, INSERT, UPDATE', 'TABLE pgbridge.checkpoint'),
        ('SELECT, INSERT, UPDATE', 'TABLE pgbridge.chunk_number'),
        ('SELECT, INSERT, UPDATE', 'TABLE pgbridge.chunk'),
        ('SELECT, INSERT, UPDATE, DELETE', 'TABLE pgbridge.checkpoint_failure'),
        ('EXECUTE', 'FUNCTION pgbridge.write_mark(text, text)'),
        -- to follow, and to load
        ('SELECT, INSERT, UPDATE', 'TABLE pgbridge.progress'),
        ('SELECT, INSERT, UPDATE', 'TABLE pgbridge.quarantine'),
        ('SELECT, INSERT, UPDATE, DELETE', 'TABLE pgbridge.fingerprint'),
        ('SELECT, INSERT, UPDATE, DELETE', 'TABLE pgbridge.restore'),
        ('SELECT, INSERT, DELETE', 'TABLE pgbridge.restore_chunk'),
        ('SELECT, INSERT, DELETE', 'TABLE pgbridge.restore_step'),
        -- to run statements and code of users as whom they belong to
        ('EXECUTE', 'FUNCTION pgbridge.run_as(name, text, text[], boolean)'),
        ('EXECUTE', 'FUNCTION pgbridge.object_owner(text, text[], text[])'),
        ('EXECUTE', 'FUNCTION pgbridge.change_owner(text, text[], text[], name)'),
        ('EXECUTE', 'FUNCTION pgbridge.user_code(oid)'),
        ('EXECUTE', 'FUNCTION pgbridge.planned_code(oid)'),
        ('EXECUTE', 'FUNCTION pgbridge.deferrable_touched()'),
        ('EXECUTE', 'FUNCTION pgbridge.refuse_pending()'),
        ('EXECUTE', 'FUNCTION pgbridge.replica_role(text)'),
        ('EXECUTE', 'FUNCTION pgbridge.follow_definition(text, text, text)'),
        ('EXECUTE', 'FUNCTION pgbridge.return_rights()'),
        ('EXECUTE', 'FUNCTION pgbridge.close_actions()'),
        ('EXECUTE', 'FUNCTION pgbridge.open_origin(text)'),
        ('EXECUTE', 'FUNCTION pgbridge.lend_schemas()'),
        -- to say how it stands
        ('SELECT, INSERT', 'TABLE pgbridge.drill'),
        ('SELECT', 'TABLE pgbridge.action'),
        ('SELECT', 'TABLE pgbridge.actions'),
        ('SELECT', 'TABLE pgbridge.action_problems'),
        ('SELECT', 'TABLE pgbridge.shape'),
        ('EXECUTE', 'FUNCTION pgbridge.service_role()'),
        ('EXECUTE', 'FUNCTION pgbridge.service_rights()'),
        -- what the views call
        ('EXECUTE', 'FUNCTION pgbridge.name_of(text, text)'),
        ('EXECUTE', 'FUNCTION pgbridge.base_type(oid)'),
        ('EXECUTE', 'FUNCTION pgbridge.fits(oid, oid)'),
        ('EXECUTE', 'FUNCTION pgbridge.action_name(oid)'),
        ('EXECUTE', 'FUNCTION pgbridge.parameters(oid)'),
        ('EXECUTE', 'FUNCTION pgbridge.signature(oid)'),
        ('EXECUTE', 'FUNCTION pgbridge.find_function(text)'),
        ('EXECUTE', 'FUNCTION pgbridge.key_columns(oid)'),
        ('EXECUTE', 'FUNCTION pgbridge.identity_full(oid)'),
        ('EXECUTE', 'FUNCTION pgbridge.generated(text)'),
        ('EXECUTE', 'FUNCTION pgbridge.function_faults(oid)'),
        ('EXECUTE', 'FUNCTION pgbridge.rule_faults(oid, json)'),
        ('EXECUTE', 'FUNCTION pgbridge.action_faults(pgbridge.action)')
$$;

-- Refuses a write to a table of this schema by a role whose only right to it is
-- pg_write_all_data, which a peer's service role has: the write is for the owner of the table
-- (so for SECURITY DEFINER functions of this schema), for superusers, and for roles that have a
-- grant on the table for this kind of write.
CREATE OR REPLACE FUNCTION pgbridge.refuse_write() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    held pg_class;
BEGIN
    SELECT * INTO held FROM pg_class WHERE oid = TG_RELID;
    IF pg_has_role(current_user, held.relowner, 'USAGE') OR EXISTS (
        SELECT FROM aclexplode(held.relacl) AS a WHERE a.privilege_type = TG_OP
            AND (a.grantee = 0 OR pg_has_role(current_user, a.grantee, 'USAGE')))
    THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'role % may not % pgbridge.%: only the owner of schema pgbridge writes it',
        quote_ident(current_user), TG_OP, TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;

-- Each table of this schema with the trigger that guards it: against the kinds of writes that
-- service_rights does not list. NULL: all are listed. So the service pays for no guard. A
-- column that is listed is none of those guarded. The server itself asks for a grant for
-- TRUNCATE. The text is as pg_get_triggerdef writes it.
CREATE OR REPLACE FUNCTION pgbridge.guards() RETURNS TABLE (relation oid, definition text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH listed (relation, kind, columns) AS (
        SELECT to_regclass(split_part(s.object, ' ', 2)), m[1], string_to_array(m[2], ', ')
        FROM pgbridge.service_rights() AS s
            CROSS JOIN LATERAL regexp_matches(s.privileges, '(\w+)(?: \(([^)]*)\))?', 'g') AS m
        WHERE s.object LIKE 'TABLE %'),
    guarded (relation, events) AS (
        SELECT c.oid, (
            SELECT string_agg(k.kind || coalesce((
                SELECT ' OF ' || string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
                FROM pg_attribute AS a JOIN listed AS l ON l.relation = a.attrelid AND l.kind = k.kind
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                    AND a.attname <> ALL (l.columns)), ''),
                ' OR ' ORDER BY k.place)
            FROM unnest(ARRAY['INSERT', 'DELETE', 'UPDATE']) WITH ORDINALITY AS k (kind, place)
            WHERE NOT EXISTS (
                SELECT FROM listed AS l WHERE l.relation = c.oid AND l.kind = k.kind AND l.columns IS NULL))
        FROM pg_class AS c WHERE c.relnamespace = 'pgbridge'::regnamespace AND c.relkind IN ('r', 'p'))
    SELECT g.relation, 'CREATE TRIGGER guard BEFORE ' || g.events || ' ON ' || g.relation::regclass
        || ' FOR EACH STATEMENT EXECUTE FUNCTION pgbridge.refuse_write()'
    FROM guarded AS g
$$;

-- Makes the guards of the tables. One that is there as it should be is left alone: to make it
-- waits for all who write to the table.
CREATE OR REPLACE FUNCTION pgbridge.guard_tables() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    g record;
BEGIN
    FOR g IN
        SELECT w.relation::regclass AS relation, w.definition, t.oid AS old
        FROM pgbridge.guards() AS w LEFT JOIN pg_trigger AS t ON t.tgrelid = w.relation AND t.tgname = 'guard'
        WHERE w.definition IS DISTINCT FROM pg_get_triggerdef(t.oid) OR t.tgenabled <> 'A'
    LOOP
        IF g.old IS NOT NULL THEN
            EXECUTE format('DROP TRIGGER guard ON %s', g.relation);
        END IF;
        IF g.definition IS NOT NULL THEN
            EXECUTE g.definition;
            EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER guard', g.relation); -- also for a replica
        END IF;
    END LOOP;
END $$;

-- Takes all rights away from all but the owner of this schema, then gives those that
-- the service role and the owners of actions need. In one transaction: those who are
-- at work do not notice.
CREATE OR REPLACE FUNCTION pgbridge.settle_rights() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    statement text;
BEGIN
    PERFORM pgbridge.close_function(p.oid::regprocedure) FROM pg_proc AS p
        WHERE p.pronamespace = 'pgbridge'::regnamespace AND p.proname NOT LIKE 'run as %' AND NOT EXISTS (
            SELECT FROM pgbridge.action AS a WHERE p.proname = ANY (pgbridge.generated(a.name)));
    FOR statement IN
        WITH held (object, owner, acl) AS (
            SELECT 'SCHEMA pgbridge', n.nspowner, n.nspacl FROM pg_namespace AS n WHERE n.nspname = 'pgbridge'
            UNION ALL SELECT format('TABLE pgbridge.%I', c.relname), c.relowner, c.relacl FROM pg_class AS c
                WHERE c.relnamespace = 'pgbridge'::regnamespace AND c.relkind IN ('r', 'v', 'S')
            UNION ALL SELECT format('TABLE pgbridge.%I', c.relname), c.relowner, a.attacl
                FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
                WHERE c.relnamespace = 'pgbridge'::regnamespace AND c.relkind IN ('r', 'v'))
        SELECT DISTINCT format('REVOKE ALL ON %s FROM %s', h.object, coalesce(g.oid::regrole::text, 'PUBLIC'))
        FROM held AS h CROSS JOIN LATERAL aclexplode(h.acl) AS a LEFT JOIN pg_roles AS g ON g.oid = a.grantee
        WHERE a.grantee <> h.owner
    LOOP
        EXECUTE statement;
    END LOOP;
    FOR statement IN
        SELECT format('GRANT %s ON %s TO %s', s.privileges, s.object, r.role::regrole)
        FROM pgbridge.service_rights() AS s, pgbridge.service_role() AS r(role)
        WHERE r.role <> (SELECT n.nspowner FROM pg_namespace AS n WHERE n.nspname = 'pgbridge')
    LOOP
        EXECUTE statement;
    END LOOP;
    PERFORM pgbridge.admit(p.proowner) FROM pgbridge.action AS a
        JOIN pg_proc AS p ON p.oid = pgbridge.find_function(a.function)
        WHERE a.statement IS NOT NULL;
    PERFORM pgbridge.guard_tables();
END $$;

SELECT pgbridge.settle_rights();
