-- Schema changes: event triggers write each statement that changes the schema as a mark
-- (marks.sql) into the transaction of its effect, at its place among the rows.
--
-- These marks, each a letter and a JSON payload:
--   s {"statement":...,"n":...,"tag":...,"author":{...},"settings":{...}}: a statement that
--     has run. authors.sql says what the author is.
--     With n = 0 it is exactly that text. With n > 0 the text is the whole query string as
--     the client sent it, and the mark means the n-th of its statements that count. Those
--     statements count that can be marked as written: all that fire event triggers, except
--     REINDEX, SECURITY LABEL, ALTER DEFAULT PRIVILEGES, ALTER LARGE OBJECT, and statements on
--     publications, subscriptions, user mappings and event triggers. DO, CALL and SELECT are
--     not counted: what they run has marks with n = 0. A statement that fails ends its string;
--     one that is rolled back later counts. GRANT, REVOKE and DROP OWNED may have several marks.
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
-- the data, which is roles, labels, publications, subscriptions, user mappings and event
-- triggers; and rebuilding (REINDEX, CLUSTER). A statement that changes a tablespace is
-- marked, since it may do more; capture leaves that part out. CREATE EXTENSION is marked, but
-- not what the script of the extension does. EXPLAIN ANALYZE CREATE TABLE AS fires no trigger.

-- Whether a statement of this kind is never marked.
CREATE OR REPLACE FUNCTION pgbridge.is_local(tag text) RETURNS boolean
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT tag IN ('REINDEX', 'SECURITY LABEL', 'ALTER LARGE OBJECT')
        OR tag ~ ' (PUBLICATION|SUBSCRIPTION|USER MAPPING|EVENT TRIGGER|ROLE|DATABASE|TABLESPACE)$'
$$;

-- The time of the query string that now runs, as a number of 40 bits.
CREATE OR REPLACE FUNCTION pgbridge.string_stamp() RETURNS bigint
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (extract(epoch FROM statement_timestamp()) * 1000000)::bigint & ((1::bigint << 40) - 1)
$$;

-- How many writes of pgbridge.statement_count the server has counted and not yet reported.
CREATE OR REPLACE FUNCTION pgbridge.counted_writes() RETURNS bigint
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid)
    FROM pg_class c WHERE c.relnamespace = 'pgbridge'::regnamespace AND c.relname = 'statement_count'
$$;

-- Whether a statement of this query string may have counted before. It is asked where the
-- session does not know: it has counted nothing yet, or its sequences were discarded, which
-- a function can do, and no trigger sees.
CREATE OR REPLACE FUNCTION pgbridge.may_have_counted() RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    writes bigint := pgbridge.counted_writes();
    last   pgbridge.statement_count;
BEGIN
    SELECT c.* INTO last FROM pgbridge.statement_count c JOIN pg_stat_get_activity(pg_backend_pid()) AS a
        ON a.pid = c.pid AND a.backend_start = c.backend_start;
    RETURN last.stamp IS NOT DISTINCT FROM pgbridge.string_stamp()
        OR writes > 0 AND last.writes IS DISTINCT FROM writes;
END $$;

-- The number, from 1, of the statement that now runs among those of its query string.
CREATE OR REPLACE FUNCTION pgbridge.statement_number() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known bigint;
BEGIN
    BEGIN
        known := currval('pgbridge.statement');
    EXCEPTION WHEN object_not_in_prerequisite_state THEN -- the first of this session, or discarded
        IF current_query() ~ ';.*\S'
            AND (current_query() ~* '\mdiscard\M.*\msequences\M' OR pgbridge.may_have_counted())
        THEN
            RAISE EXCEPTION USING MESSAGE = 'DISCARD SEQUENCES among other statements:'
                ' what they do to the schema could not be told apart',
                HINT = 'Send it alone.', ERRCODE = 'feature_not_supported';
        END IF;
    END;
    RETURN CASE WHEN known >> 22 = pgbridge.string_stamp() THEN (known & ((1 << 22) - 1)) + 1 ELSE 1 END;
END $$;

-- Counts the statement that has run.
CREATE OR REPLACE FUNCTION pgbridge.count_statement(number bigint, place text, stack text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    stamp  bigint := pgbridge.string_stamp();
    writes bigint := pgbridge.counted_writes() + 1;
BEGIN
    IF place = 'text' THEN
        PERFORM pgbridge.note('counted', md5(stack), number);
    ELSIF place IS NULL AND number > 0 THEN
        PERFORM setval('pgbridge.statement', stamp << 22 | number);
        INSERT INTO pgbridge.statement_count
            SELECT a.pid, a.backend_start, stamp, writes FROM pg_stat_get_activity(pg_backend_pid()) AS a
            ON CONFLICT ON CONSTRAINT statement_count_pkey DO UPDATE SET
                (backend_start, stamp, writes) = (excluded.backend_start, excluded.stamp, excluded.writes);
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
        (11, 'default_table_access_method', current_setting('default_table_access_method'), 'heap'),
        (12, 'timezone_abbreviations', current_setting('timezone_abbreviations'), 'Default')
    ) AS s(i, name, value, usual) WHERE value IS DISTINCT FROM usual
$$;

-- Writes the mark of a statement. Place is NULL, text or body. path is the search_path of
-- the role that ran the statement. made is the schema that CREATE SCHEMA has made: it may be
-- named after that role.
CREATE OR REPLACE FUNCTION pgbridge.mark_statement(statement text, place text, n bigint, tag text, path json,
    made text, author json) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    string text := extract(epoch FROM statement_timestamp());
BEGIN
    IF n > 0 AND place IS NULL THEN -- a rollback undoes the note and the mark alike
        IF pgbridge.noted('string', string) IS NOT NULL THEN
            statement := NULL;
        ELSE
            PERFORM pgbridge.note('string', string, 1);
        END IF;
    END IF;
    PERFORM pgbridge.write_mark('s', format('{"statement":%s,%s"n":%s,"tag":%s,%s"author":%s,"settings":%s}',
        coalesce(to_json(statement)::text, 'null'), '"in":' || to_json(place) || ',', n,
        to_json(tag), '"made":' || to_json(made) || ',', author, pgbridge.settings(path)));
END $$;

-- Marks a statement that pgbridge has written itself, with qualified names. The role or,
-- without one, the owner of the object runs it at a peer.
CREATE OR REPLACE FUNCTION pgbridge.mark_generated(statement text, tag text, role text, object json DEFAULT NULL)
    RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgbridge.mark_statement(statement, NULL, 0, tag, '[]', NULL,
        json_strip_nulls(json_build_object('role', role, 'object', object)));
END $$;

-- Hands to schema_changed what that function cannot see because it is SECURITY DEFINER: the
-- role that changes the schema and its search_path; and the setting of
-- standard_conforming_strings, which schema_changed pins. This function runs as that role.
-- It fires right before schema_changed and overwrites the settings, so what a user puts
-- there is never read.
CREATE OR REPLACE FUNCTION pgbridge.note_caller() RETURNS event_trigger
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM pg_catalog.set_config('pgbridge.caller_path',
            pg_catalog.array_to_json(pg_catalog.current_schemas(false))::pg_catalog.text, true),
        pg_catalog.set_config('pgbridge.caller_strings',
            pg_catalog.current_setting('standard_conforming_strings'), true),
        pg_catalog.set_config('pgbridge.caller_role', current_user, true);
END $$;

-- Runs a statement of the triggers' own, without a mark.
CREATE OR REPLACE FUNCTION pgbridge.quietly(statement text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgbridge.note('quiet', '', coalesce(pgbridge.noted('quiet', ''), 0) + 1);
    EXECUTE statement;
    PERFORM pgbridge.note('quiet', '', pgbridge.noted('quiet', '') - 1);
END $$;

-- What the script of an extension does is not marked. A script may run statements on other
-- extensions, which have scripts too.
CREATE OR REPLACE FUNCTION pgbridge.begin_extension() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgbridge.note('quiet', '', coalesce(pgbridge.noted('quiet', ''), 0) + 1)
        FROM pgbridge.database WHERE role = 'writer';
END $$;

-- Whether statements of this moment are not marked. The end of the outermost statement on
-- an extension ends that, and is itself marked.
CREATE OR REPLACE FUNCTION pgbridge.is_quiet(event text, tag text) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    depth bigint := pgbridge.noted('quiet', '');
BEGIN
    IF depth > 0 AND event = 'ddl_command_end' AND tag IN ('CREATE EXTENSION', 'ALTER EXTENSION') THEN
        depth := depth - 1;
        PERFORM pgbridge.note('quiet', '', depth);
    END IF;
    RETURN coalesce(depth > 0, false);
END $$;
