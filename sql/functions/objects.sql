-- Which objects peers have: all but temporary ones, those that depend on these, and those
-- of schema pgbridge. Objects are told by the oid of their schema, or by the fields of their
-- address, never by the text of their identity, in which any name can stand.

-- Whether a schema holds temporary objects. Only the server makes schemas of these names.
CREATE OR REPLACE FUNCTION pgbridge.is_temporary(schema text) RETURNS boolean
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT $1 = 'pg_temp' OR starts_with($1, 'pg_temp_') OR starts_with($1, 'pg_toast_temp_')
$$;

-- Whether an object is outside of pg_temp and depends on a temporary object, so that it is
-- dropped when the session ends.
CREATE OR REPLACE FUNCTION pgbridge.depends_on_temporary(class oid, object oid) RETURNS boolean
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT class <> 'pg_class'::regclass AND EXISTS (
        SELECT FROM pg_depend d
        WHERE d.classid = class AND d.objid = object AND d.objsubid = 0 AND d.deptype = 'n'
            AND (pgbridge.is_temporary((pg_identify_object(d.refclassid, d.refobjid, 0)).schema)
                OR EXISTS (
                    SELECT FROM pgbridge.session_object s
                    WHERE s.classid = d.refclassid AND s.objid = d.refobjid)))
$$;

-- Remembers which of the objects that a statement has made or changed depend on temporary
-- ones. When such an object is dropped, the catalogue no longer says so.
CREATE OR REPLACE FUNCTION pgbridge.keep_session_objects() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM pgbridge.session_object) THEN
        DELETE FROM pgbridge.session_object s USING pg_event_trigger_ddl_commands() c
            WHERE s.classid = c.classid AND s.objid = c.objid
                AND NOT pgbridge.depends_on_temporary(c.classid, c.objid);
    END IF;
    INSERT INTO pgbridge.session_object
        SELECT DISTINCT c.classid, c.objid FROM pg_event_trigger_ddl_commands() c
        WHERE pgbridge.depends_on_temporary(c.classid, c.objid)
        ON CONFLICT DO NOTHING;
    IF FOUND AND current_setting('transaction_isolation') = 'read committed' THEN -- else others' deletes conflict
        DELETE FROM pgbridge.session_object WHERE ctid = ANY (ARRAY(
            SELECT s.ctid FROM pgbridge.session_object s
            WHERE (pg_identify_object(s.classid, s.objid, 0)).type IS NULL LIMIT 100 FOR UPDATE SKIP LOCKED));
    END IF;
END $$;

-- Whether an object is a part of a table (a trigger, rule or policy) that peers do not have.
CREATE OR REPLACE FUNCTION pgbridge.is_part_of_private(class oid, object oid) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT class <> 'pg_class'::regclass AND EXISTS (
        SELECT FROM pg_depend d JOIN pg_class r ON r.oid = d.refobjid
            JOIN pg_namespace n ON n.oid = r.relnamespace
        WHERE d.classid = class AND d.objid = object AND d.deptype IN ('a', 'i')
            AND d.refclassid = 'pg_class'::regclass
            AND (n.nspname = 'pgbridge' OR pgbridge.is_temporary(n.nspname)))
$$;

-- Whether the statement that ends changed anything that peers have.
CREATE OR REPLACE FUNCTION pgbridge.concerns_peers() RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgbridge.keep_session_objects();
    RETURN EXISTS (
        SELECT FROM pg_event_trigger_ddl_commands() c
        WHERE c.object_type <> 'large object'
            AND NOT coalesce(c.schema_name = 'pgbridge' OR pgbridge.is_temporary(c.schema_name), false)
            AND NOT (c.classid = 'pg_namespace'::regclass AND c.objid = 'pgbridge'::regnamespace)
            AND NOT pgbridge.is_part_of_private(c.classid, c.objid)
            AND NOT EXISTS (
                SELECT FROM pgbridge.session_object s WHERE s.classid = c.classid AND s.objid = c.objid));
END $$;

-- The objects named by the statement, or by DROP OWNED, that are dropped and that peers have,
-- with their addresses as pg_get_object_address takes them.
CREATE OR REPLACE FUNCTION pgbridge.dropped_at_peers()
RETURNS TABLE (object_type text, object_identity text, address json, i bigint)
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT o.object_type, o.object_identity, json_build_array(o.object_type, o.address_names, o.address_args),
        o.ordinality
    FROM pg_event_trigger_dropped_objects() WITH ORDINALITY AS o
    -- A column that was found first takes the mark `original` of its table, which follows.
    WHERE o.original AND o.objsubid = 0 AND NOT o.is_temporary
        AND NOT coalesce(o.schema_name = 'pgbridge' OR pgbridge.is_temporary(o.schema_name), false)
        -- The address of these begins with a schema.
        AND NOT coalesce(o.object_type IN ('schema', 'trigger', 'rule', 'policy')
            AND (o.address_names[1] = 'pgbridge' OR pgbridge.is_temporary(o.address_names[1])), false)
        AND NOT EXISTS (
            SELECT FROM pgbridge.session_object s WHERE s.classid = o.classid AND s.objid = o.objid)
        AND o.object_type NOT IN
            ('default acl', 'user mapping', 'publication', 'subscription', 'event trigger', 'large object')
$$;

-- Marks what was dropped, object by object. The text of the statement would not do: it
-- names what peers do not have (temporary tables), means something else there (DROP OWNED),
-- or names objects that may have several owners, each of whom drops his own at a peer. Tables
-- may have foreign keys to each other, and go with CASCADE.
CREATE OR REPLACE FUNCTION pgbridge.mark_dropped(statement text) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgbridge.mark_generated(concat('DROP ', k.kind, ' IF EXISTS ', o.object_identity,
            CASE WHEN o.several OR k.kind IN ('TABLE', 'FOREIGN TABLE') OR statement ~* '\mcascade\M'
                THEN ' CASCADE' END),
        'DROP ' || k.kind, pgbridge.peer_caller(), CASE WHEN pgbridge.peer_caller() IS NULL THEN o.address END)
    -- Of several objects one may depend on another.
    FROM (SELECT d.*, count(*) OVER () > 1 AS several FROM pgbridge.dropped_at_peers() AS d) AS o
        CROSS JOIN pgbridge.object_kind(o.object_type) AS k(kind)
    ORDER BY o.i
$$;

-- Refuses a table, view or domain outside of pg_temp that depends on a temporary object, or
-- that a statement has made like a temporary table: no peer could make it. Parts of tables
-- and functions that depend on one are left out instead (keep_session_objects).
CREATE OR REPLACE FUNCTION pgbridge.refuse_temporary(statement text, tag text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    lack record;
    word text := '(?:[[:alpha:]_][\w$]*|"(?:[^"]|"")+")';
BEGIN
    SELECT c.object_identity AS made, pg_describe_object(d.refclassid, d.refobjid, d.refobjsubid) AS needs
        INTO lack
        FROM pg_event_trigger_ddl_commands() c CROSS JOIN LATERAL (
            SELECT 'pg_class'::regclass::oid, c.objid WHERE c.classid = 'pg_class'::regclass
            UNION ALL SELECT 'pg_attrdef'::regclass, a.oid FROM pg_attrdef a
                WHERE c.classid = 'pg_class'::regclass AND a.adrelid = c.objid
            UNION ALL SELECT 'pg_rewrite'::regclass, r.oid FROM pg_rewrite r
                WHERE c.classid = 'pg_class'::regclass AND r.ev_class = c.objid AND r.rulename = '_RETURN'
            UNION ALL SELECT 'pg_constraint'::regclass, o.oid FROM pg_constraint o
                WHERE c.classid = 'pg_class'::regclass AND o.conrelid = c.objid
            UNION ALL SELECT 'pg_constraint'::regclass, o.oid FROM pg_constraint o
                WHERE c.classid = 'pg_type'::regclass AND o.contypid = c.objid
        ) AS part(class, object) JOIN pg_depend d ON d.classid = part.class AND d.objid = part.object
        WHERE d.deptype = 'n' AND NOT coalesce(pgbridge.is_temporary(c.schema_name), false)
            AND NOT EXISTS (SELECT FROM pgbridge.session_object s WHERE s.classid = c.classid AND s.objid = c.objid)
            AND (pgbridge.is_temporary((pg_identify_object(d.refclassid, d.refobjid, 0)).schema) OR EXISTS (
                SELECT FROM pgbridge.session_object s WHERE s.classid = d.refclassid AND s.objid = d.refobjid))
        LIMIT 1;
    IF NOT FOUND AND tag = 'CREATE TABLE' AND pg_my_temp_schema() <> 0 AND statement ~* '\mlike\M' THEN
        SELECT 'the table' AS made, format('temporary table %s', r.relname) AS needs INTO lack
            FROM regexp_matches(regexp_replace(statement, '/\*[^*]*\*+([^/*][^*]*\*+)*/|--[^\n\r]*', ' ', 'g'),
                    concat('\mlike\s+(', word, '(?:\s*\.\s*', word, ')?)'), 'gi') AS m
                CROSS JOIN LATERAL parse_ident(m[1], false) AS n
                JOIN pg_class r ON r.relnamespace = pg_my_temp_schema() AND r.relname = n[cardinality(n)]
            WHERE cardinality(n) = 1 OR pgbridge.is_temporary(n[1])
            LIMIT 1;
    END IF;
    IF FOUND THEN
        RAISE EXCEPTION '% needs %, which other databases do not have', lack.made, lack.needs
            USING HINT = 'Make what it needs outside of pg_temp.', ERRCODE = 'feature_not_supported';
    END IF;
END $$;
