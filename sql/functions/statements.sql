-- Schema changes: event triggers write each statement that changes the schema as a mark
-- (marks.sql) into the transaction of its effect, at its place among the rows.
--
-- These marks, each a letter and a JSON payload:
--   s {"statement":...,"n":...,"tag":...,"settings":{...}}: a statement that has run.
--     With n = 0 it is exactly that text. With n > 0 the text is the whole query string as
--     the client sent it, and the mark means the n-th of its statements that count. Those
--     statements count that can be marked: all that fire event triggers, except GRANT,
--     REVOKE, REINDEX, SECURITY LABEL, ALTER DEFAULT PRIVILEGES, ALTER LARGE OBJECT, and
--     statements on publications, subscriptions, user mappings and event triggers. DO, CALL
--     and SELECT are not counted: what they run has marks with n = 0. A statement that
--     fails ends its string; one that is rolled back later counts.
--     Only the first mark of a string in a transaction has its text, which may be a long
--     script; the others have null.
--     With "in":"text" the string is what a function executed (EXECUTE). The function may
--     have executed it several times, and the count goes on: of k statements the mark means
--     number (n-1) mod k + 1. With "in":"body" the string is the body of a function in SQL,
--     and all its statements count.
--   w ["app.t",["column",...]]: the rows of this table (of a partitioned table, its root)
--     were made anew, with values that a peer cannot compute. All of them follow.
--   v [["1",null],...]: rows of the table of the last w. Their text is that of the stream.
--
-- Never marked are: temporary objects; schema pgbridge; what belongs to a place and not to
-- the data, which is roles, rights (GRANT, ALTER DEFAULT PRIVILEGES), labels, publications,
-- subscriptions, user mappings and event triggers; and rebuilding (REINDEX, CLUSTER). A
-- statement that changes an owner or a tablespace is marked, since it may do more; peers
-- leave that part out. CREATE EXTENSION is marked, but not what the script of the extension
-- does. EXPLAIN ANALYZE CREATE TABLE AS fires no trigger.

-- Whether a statement of this kind is never marked.
CREATE OR REPLACE FUNCTION pgbridge.is_local(tag text) RETURNS boolean
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT tag IN ('GRANT', 'REVOKE', 'REINDEX', 'SECURITY LABEL', 'ALTER DEFAULT PRIVILEGES', 'ALTER LARGE OBJECT')
        OR tag ~ ' (PUBLICATION|SUBSCRIPTION|USER MAPPING|EVENT TRIGGER|ROLE|DATABASE|TABLESPACE)$'
$$;

-- The number, from 1, of the statement that now runs among those of its query string.
CREATE OR REPLACE FUNCTION pgbridge.statement_number() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stamp bigint := (extract(epoch FROM statement_timestamp()) * 1000000)::bigint & ((1::bigint << 40) - 1);
    known bigint;
BEGIN
    BEGIN
        known := currval('pgbridge.statement');
    EXCEPTION WHEN object_not_in_prerequisite_state THEN -- the first of this session, or discarded
        IF current_query() ~* '\mdiscard\M.*\msequences\M' AND current_query() ~ ';.*\S' THEN
            RAISE EXCEPTION USING MESSAGE = 'DISCARD SEQUENCES among other statements:'
                ' what they do to the schema could not be told apart',
                HINT = 'Send it alone.', ERRCODE = 'feature_not_supported';
        END IF;
    END;
    RETURN CASE WHEN known >> 22 = stamp THEN (known & ((1 << 22) - 1)) + 1 ELSE 1 END;
END $$;

-- Counts the statement that has run.
CREATE OR REPLACE FUNCTION pgbridge.count_statement(number bigint, place text, stack text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF place = 'text' THEN
        PERFORM set_config('pgbridge.inner_counts',
            (pgbridge.inner_counts() || jsonb_build_object(md5(stack), number))::text, true);
    ELSIF place IS NULL AND number > 0 THEN
        PERFORM setval('pgbridge.statement',
            ((extract(epoch FROM statement_timestamp()) * 1000000)::bigint & ((1::bigint << 40) - 1)) << 22 | number);
    END IF;
END $$;

-- The settings that decide the meaning of a statement's text. Settings that have the value
-- of pgbridge's own sessions are left out, except the first four.
CREATE OR REPLACE FUNCTION pgbridge.settings(path json) RETURNS json
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT json_object_agg(name, value ORDER BY i) FROM (VALUES
        (1, 'search_path', (SELECT coalesce(string_agg(quote_ident(s), ', ' ORDER BY n), '')
            FROM json_array_elements_text(path) WITH ORDINALITY AS u(s, n) WHERE s NOT LIKE 'pg\_temp%'), NULL),
        (2, 'TimeZone', current_setting('TimeZone'), NULL),
        (3, 'DateStyle', current_setting('DateStyle'), NULL),
        (4, 'IntervalStyle', current_setting('IntervalStyle'), NULL),
        (5, 'standard_conforming_strings',
            coalesce(nullif(current_setting('pgbridge.caller_strings', true), ''), 'on'), 'on'),
        (6, 'array_nulls', current_setting('array_nulls'), 'on'),
        (7, 'transform_null_equals', current_setting('transform_null_equals'), 'off'),
        (8, 'xmloption', current_setting('xmloption'), 'content'),
        (9, 'bytea_output', current_setting('bytea_output'), 'hex'),
        (10, 'extra_float_digits', CASE WHEN current_setting('extra_float_digits')::int > 0 THEN '3'
            ELSE current_setting('extra_float_digits') END, '3'),
        (11, 'default_table_access_method', current_setting('default_table_access_method'), 'heap')
    ) AS s(i, name, value, usual) WHERE value IS DISTINCT FROM usual
$$;

-- Writes the mark of a statement. Place is NULL, text or body. path is the search_path of
-- the role that ran the statement. made is the schema that CREATE SCHEMA has made: it may be
-- named after that role.
CREATE OR REPLACE FUNCTION pgbridge.mark_statement(statement text, place text, n bigint, tag text, path json,
    made text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    once text;
BEGIN
    IF n > 0 AND place IS NULL THEN -- a rollback of this transaction, or of a part, undoes this and the mark alike
        SELECT md5(concat('once', s.secret, pg_current_xact_id(), statement_timestamp())) INTO once
            FROM pgbridge.secret AS s;
        IF current_setting('pgbridge.once', true) = once THEN
            statement := NULL;
        END IF;
        PERFORM set_config('pgbridge.once', once, true);
    END IF;
    PERFORM pgbridge.write_mark('s', format('{"statement":%s,%s"n":%s,"tag":%s,%s"settings":%s}',
        coalesce(to_json(statement)::text, 'null'), '"in":' || to_json(place) || ',', n,
        to_json(tag), '"made":' || to_json(made) || ',', pgbridge.settings(path)));
END $$;

-- Marks a statement that pgbridge has written itself, with qualified names.
CREATE OR REPLACE FUNCTION pgbridge.mark_generated(statement text, tag text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgbridge.mark_statement(statement, NULL, 0, tag, '[]');
END $$;

-- The statement that a function runs, given the frames around it (PG_CONTEXT): the text,
-- where the text is from, and the number of the statement in it (0 if it is the only one).
CREATE OR REPLACE FUNCTION pgbridge.inner_statement(stack text, tag text,
    OUT statement text, OUT place text, OUT number bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    frame text[] := regexp_match(stack, '^SQL function "([^\n]+)" statement (\d+)(?:\n|$)');
BEGIN
    IF frame IS NOT NULL THEN
        place := 'body';
        number := frame[2];
        BEGIN
            SELECT p.prosrc INTO STRICT statement FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
                WHERE l.lanname = 'sql' AND p.proname = frame[1] AND p.prosqlbody IS NULL
                    AND p.prosrc ~* split_part(tag, ' ', 1);
        EXCEPTION WHEN no_data_found OR too_many_rows THEN
            RAISE EXCEPTION USING MESSAGE = format('cannot tell which function named %s changed the schema', frame[1]),
                HINT = 'Give the function another name, or write it in PL/pgSQL.',
                ERRCODE = 'feature_not_supported';
        END;
        RETURN;
    END IF;
    statement := coalesce(
        (regexp_match(stack, '^SQL statement "(.*?)"\n(?:PL/\w+ (?:function|anonymous)|SQL (?:function|statement) "'
            '|COPY |extension script|unnamed portal|portal )'))[1],
        (regexp_match(stack, '^SQL statement "(.*)"$'))[1]);
    IF statement IS NULL THEN
        RAISE EXCEPTION 'cannot tell which statement changed the schema'
            USING DETAIL = stack, ERRCODE = 'feature_not_supported';
    END IF;
    number := 0;
    IF statement ~ ';.*\S' THEN -- there may be several
        place := 'text';
        number := pgbridge.inner_counts() -> md5(stack);
        number := coalesce(number, 0) + 1;
    END IF;
END $$;

-- How many statements have counted of each text that functions executed in this
-- transaction, by the frames. A rollback undoes the count and ends the text alike.
CREATE OR REPLACE FUNCTION pgbridge.inner_counts() RETURNS jsonb
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(nullif(current_setting('pgbridge.inner_counts', true), ''), '{}')::jsonb
$$;

-- Notes the search_path of the role that changes the schema, which no SECURITY DEFINER
-- function can see, and its setting of standard_conforming_strings, which schema_changed
-- pins. This function runs as that role and fires before schema_changed.
CREATE OR REPLACE FUNCTION pgbridge.note_caller() RETURNS event_trigger
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM pg_catalog.set_config('pgbridge.caller_path',
            pg_catalog.array_to_json(pg_catalog.current_schemas(false))::pg_catalog.text, true),
        pg_catalog.set_config('pgbridge.caller_strings',
            pg_catalog.current_setting('standard_conforming_strings'), true);
END $$;

-- The token in setting pgbridge.quiet while the script of an extension, or a trigger of
-- pgbridge itself, changes the schema: these changes are not marked. Only the owner of this
-- schema can make the token.
CREATE OR REPLACE FUNCTION pgbridge.quiet_token() RETURNS text
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT md5(concat('quiet', s.secret, pg_current_xact_id())) FROM pgbridge.secret AS s
$$;

CREATE OR REPLACE FUNCTION pgbridge.is_quiet() RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN coalesce(current_setting('pgbridge.quiet', true), '') <> ''
        AND current_setting('pgbridge.quiet') = pgbridge.quiet_token();
END $$;

-- Runs a statement of the triggers' own, without a mark.
CREATE OR REPLACE FUNCTION pgbridge.quietly(statement text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('pgbridge.quiet', pgbridge.quiet_token(), true);
    EXECUTE statement;
    PERFORM set_config('pgbridge.quiet', '', true);
END $$;

CREATE OR REPLACE FUNCTION pgbridge.begin_extension() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('pgbridge.quiet', pgbridge.quiet_token(), true);
END $$;

-- The objects of this session that depend on its temporary objects, such as a function
-- that returns a row of a temporary table. They are dropped when the session ends, and
-- peers do not have them.
CREATE OR REPLACE FUNCTION pgbridge.session_objects() RETURNS text[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_to_array(nullif(current_setting('pgbridge.session_objects', true), ''), ' ')
$$;

CREATE OR REPLACE FUNCTION pgbridge.keep_session_objects() RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT set_config('pgbridge.session_objects', concat_ws(' ',
        nullif(current_setting('pgbridge.session_objects', true), ''), concat(c.classid, ':', c.objid)), false)
    FROM pg_event_trigger_ddl_commands() c
        JOIN pg_depend d ON d.classid = c.classid AND d.objid = c.objid AND d.objsubid = 0 AND d.deptype = 'n'
        LEFT JOIN pg_type t ON d.refclassid = 'pg_type'::regclass AND t.oid = d.refobjid
    WHERE c.classid <> 'pg_class'::regclass AND (t.typnamespace = pg_my_temp_schema()
        OR concat(d.refclassid, ':', d.refobjid) = ANY (pgbridge.session_objects()))
$$;

-- Whether the statement that ends changed anything that peers have.
CREATE OR REPLACE FUNCTION pgbridge.concerns_peers() RETURNS boolean
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgbridge.keep_session_objects();
    SELECT coalesce(bool_or(schema_name IS DISTINCT FROM 'pg_temp' AND schema_name IS DISTINCT FROM 'pgbridge'
        AND object_type <> 'large object' AND object_identity !~ '( on |^)(pg_temp|pgbridge)(\.|$)'
        AND concat(classid, ':', objid) = ANY (pgbridge.session_objects()) IS NOT TRUE), false)
    FROM pg_event_trigger_ddl_commands()
$$;

CREATE OR REPLACE FUNCTION pgbridge.drop_concerns_peers() RETURNS boolean
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(bool_or(NOT is_temporary AND schema_name IS DISTINCT FROM 'pgbridge'
        AND object_identity !~ '( on |^)(pg_temp|pgbridge)(\.|$)'
        AND concat(classid, ':', objid) = ANY (pgbridge.session_objects()) IS NOT TRUE), false)
    FROM pg_event_trigger_dropped_objects() WHERE original
$$;

-- Refuses a schema change inside an action: the effect of an action is rows, and the
-- change could not be replayed.
CREATE OR REPLACE FUNCTION pgbridge.refuse_in_call(stack text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    action text;
BEGIN
    SELECT a.name INTO action FROM pgbridge.action a
        WHERE strpos(E'\n' || stack, format(E'\nPL/pgSQL function pgbridge.%I(', a.name)) > 0
            OR strpos(E'\n' || stack, format(E'\nPL/pgSQL function %I(', a.name)) > 0;
    IF FOUND THEN
        RAISE EXCEPTION 'action % changes the schema', action
            USING HINT = 'Change the schema outside of actions. Temporary objects are allowed.',
                ERRCODE = 'feature_not_supported';
    END IF;
END $$;

-- Marks what was dropped, object by object. The text of the statement would not do: it
-- names what peers do not have (temporary tables), or means something else there (DROP
-- OWNED).
CREATE OR REPLACE FUNCTION pgbridge.mark_dropped() RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgbridge.mark_generated(format('DROP %s IF EXISTS %s CASCADE',
            CASE object_type WHEN 'statistics object' THEN 'STATISTICS' ELSE upper(object_type) END, object_identity),
        'DROP ' || CASE object_type WHEN 'statistics object' THEN 'STATISTICS' ELSE upper(object_type) END)
    FROM pg_event_trigger_dropped_objects() WITH ORDINALITY AS o
    WHERE original AND NOT is_temporary AND schema_name IS DISTINCT FROM 'pgbridge'
        AND object_identity !~ '( on |^)(pg_temp|pgbridge)(\.|$)'
        AND object_type NOT IN
            ('default acl', 'user mapping', 'publication', 'subscription', 'event trigger', 'large object')
    ORDER BY ordinality
$$;
