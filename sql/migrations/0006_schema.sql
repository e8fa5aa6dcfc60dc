-- Schema changes: event triggers write each statement that changes the schema as
-- a mark (0002) into the transaction of its effect, at its place among the rows.
--
-- Marks, each a letter and a JSON payload:
--   s {"statement":…,"n":…,"tag":…,"settings":{…}}: a statement that has run. With n = 0 it is exactly that
--     text. With n > 0 the text is the whole query string as the client sent it, and meant is the n-th of
--     its statements that counts. Those count that can be marked: what fires event triggers, but not GRANT,
--     REVOKE, REINDEX, SECURITY LABEL, ALTER DEFAULT PRIVILEGES, ALTER LARGE OBJECT, and nothing on
--     publications, subscriptions, user mappings and event triggers. DO, CALL and SELECT count not: what they
--     run comes with n = 0. A statement that failed ends its string; one that was rolled back later counts.
--   w ["app.t",["column",…]]: the rows of this table (root, if partitioned) were made anew, with values that
--     a peer cannot compute. All of them follow.
--   v [["1",null],…]: rows of the table of the last w, the text as in the stream.
--
-- What is never marked: temporary objects, schema pgbridge, and what belongs to a
-- place and not to the data: roles, rights (GRANT, ALTER DEFAULT PRIVILEGES), labels, publications,
-- subscriptions, user mappings, event triggers, rebuilding (REINDEX, CLUSTER). A statement that changes an
-- owner or a tablespace is marked, since it may do more: who applies it leaves that out. What a script
-- of an extension does is not marked, CREATE EXTENSION is. EXPLAIN ANALYZE CREATE TABLE AS fires no trigger.

-- Which tables are published: all, also those made later, or those listed at init.
ALTER TABLE pgbridge.database ADD COLUMN scope text NOT NULL DEFAULT 'listed' CHECK (scope IN ('all', 'listed'));

-- Memory of a session that no rollback touches: currval is its own, whatever
-- others do with the sequence. It holds the time at which the query string came,
-- and how many of its statements have counted.
CREATE SEQUENCE pgbridge.statement;

-- Whether a statement of this kind is never marked.
CREATE FUNCTION pgbridge.is_local(tag text) RETURNS boolean LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS $$
    SELECT tag IN ('GRANT', 'REVOKE', 'REINDEX', 'SECURITY LABEL', 'ALTER DEFAULT PRIVILEGES', 'ALTER LARGE OBJECT')
        OR tag ~ ' (PUBLICATION|SUBSCRIPTION|USER MAPPING|EVENT TRIGGER|ROLE|DATABASE|TABLESPACE)$'
$$;

-- The number, from 1, of the statement that now runs among those of its query string.
CREATE FUNCTION pgbridge.statement_number() RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    stamp bigint := (extract(epoch FROM statement_timestamp()) * 1000000)::bigint & ((1::bigint << 40) - 1);
    known bigint;
BEGIN
    BEGIN
        known := currval('pgbridge.statement');
    EXCEPTION WHEN object_not_in_prerequisite_state THEN -- the first of this session
        RETURN 1;
    END;
    RETURN CASE WHEN known >> 22 = stamp THEN (known & ((1 << 22) - 1)) + 1 ELSE 1 END;
END $$;

CREATE FUNCTION pgbridge.count_statement(number bigint) RETURNS void LANGUAGE sql SET search_path = pg_catalog AS $$
    SELECT setval('pgbridge.statement', ((extract(epoch FROM statement_timestamp()) * 1000000)::bigint & ((1::bigint << 40) - 1)) << 22 | number)
$$;

-- The settings that decide what the text of a statement means. Those that are as
-- in pgbridge's own sessions are left out, but for the four usual ones.
CREATE FUNCTION pgbridge.settings() RETURNS json LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT json_object_agg(name, value ORDER BY i) FROM (VALUES
        (1, 'search_path', (SELECT coalesce(string_agg(quote_ident(s), ', ' ORDER BY n), '')
            FROM json_array_elements_text(current_setting('pgbridge.caller_path')::json) WITH ORDINALITY AS u(s, n) WHERE s NOT LIKE 'pg\_temp%'), NULL),
        (2, 'TimeZone', current_setting('TimeZone'), NULL),
        (3, 'DateStyle', current_setting('DateStyle'), NULL),
        (4, 'IntervalStyle', current_setting('IntervalStyle'), NULL),
        (5, 'standard_conforming_strings', current_setting('standard_conforming_strings'), 'on'),
        (6, 'array_nulls', current_setting('array_nulls'), 'on'),
        (7, 'transform_null_equals', current_setting('transform_null_equals'), 'off'),
        (8, 'xmloption', current_setting('xmloption'), 'content'),
        (9, 'bytea_output', current_setting('bytea_output'), 'hex'),
        (10, 'extra_float_digits', CASE WHEN current_setting('extra_float_digits')::int > 0 THEN '3' ELSE current_setting('extra_float_digits') END, '3'),
        (11, 'default_table_access_method', current_setting('default_table_access_method'), 'heap')
    ) AS s(i, name, value, usual) WHERE value IS DISTINCT FROM usual
$$;

CREATE FUNCTION pgbridge.mark_statement(statement text, n bigint, tag text, settings json) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM pgbridge.mark('s', format('{"statement":%s,"n":%s,"tag":%s,"settings":%s}', to_json(statement), n, to_json(tag), settings));
END $$;

-- The statement that a function runs, given the frames around it (PG_CONTEXT).
CREATE FUNCTION pgbridge.inner_statement(stack text, tag text) RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
BEGIN
    IF stack LIKE 'SQL function "%' THEN
        RAISE EXCEPTION 'a function in SQL cannot change the schema here: which statement it ran is not to be found out'
            USING HINT = 'Write the function in PL/pgSQL.', ERRCODE = 'feature_not_supported';
    END IF;
    RETURN coalesce((regexp_match(stack, '^SQL statement "(.*?)"\n(?:PL/|SQL |COPY |extension )'))[1],
        (regexp_match(stack, '^SQL statement "(.*)"$'))[1]);
END $$;

-- Runs as who changes the schema, whose search_path no function with rights of its
-- own can see. It fires before pgbridge_ddl.
CREATE FUNCTION pgbridge.note_caller() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_catalog.set_config('pgbridge.caller_path', pg_catalog.array_to_json(pg_catalog.current_schemas(false))::pg_catalog.text, true);
END $$;

-- What a script of an extension does, and what the triggers themselves do, is not
-- to be marked. Who is no owner cannot make this token.
CREATE FUNCTION pgbridge.quiet_token() RETURNS text LANGUAGE sql SET search_path = pg_catalog AS $$
    SELECT md5(concat('quiet', s.secret, pg_current_xact_id())) FROM pgbridge.secret AS s
$$;

CREATE FUNCTION pgbridge.is_quiet() RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    RETURN coalesce(current_setting('pgbridge.quiet', true), '') <> '' AND current_setting('pgbridge.quiet') = pgbridge.quiet_token();
END $$;

CREATE FUNCTION pgbridge.begin_extension() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('pgbridge.quiet', pgbridge.quiet_token(), true);
END $$;

-- Whether the statement that ends changed anything that peers have.
CREATE FUNCTION pgbridge.concerns_peers() RETURNS boolean LANGUAGE sql SET search_path = pg_catalog AS $$
    SELECT coalesce(bool_or(schema_name IS DISTINCT FROM 'pg_temp' AND schema_name IS DISTINCT FROM 'pgbridge' AND object_type <> 'large object'
        AND object_identity !~ '( on |^)(pg_temp|pgbridge)(\.|$)'), false) FROM pg_event_trigger_ddl_commands()
$$;

CREATE FUNCTION pgbridge.drop_concerns_peers() RETURNS boolean LANGUAGE sql SET search_path = pg_catalog AS $$
    SELECT coalesce(bool_or(NOT is_temporary AND schema_name IS DISTINCT FROM 'pgbridge' AND object_identity !~ '( on |^)(pg_temp|pgbridge)(\.|$)'), false)
    FROM pg_event_trigger_dropped_objects() WHERE original
$$;

-- Marks what has changed: for statements that drop at sql_drop, where the server
-- says what is gone, for others at ddl_command_end.
CREATE FUNCTION pgbridge.schema_changed() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    stack   text;
    inside  boolean;
    number  bigint := 0;
    changed boolean;
BEGIN
    GET DIAGNOSTICS stack = PG_CONTEXT;
    stack := coalesce(substring(stack FROM E'^[^\n]*\n(.*)$'), ''); -- without the frame of this function
    inside := stack ~ '^(SQL (statement|function) "|PL/)';
    IF NOT EXISTS (SELECT FROM pgbridge.database WHERE role = 'writer') OR pgbridge.is_local(tg_tag) THEN
        RETURN;
    ELSIF pgbridge.is_quiet() THEN
        IF tg_event <> 'ddl_command_end' OR tg_tag NOT IN ('CREATE EXTENSION', 'ALTER EXTENSION') THEN
            RETURN;
        END IF;
        PERFORM set_config('pgbridge.quiet', '', true);
    END IF;
    IF NOT inside THEN
        number := pgbridge.statement_number();
    END IF;
    IF tg_event = 'sql_drop' THEN
        changed := tg_tag LIKE 'DROP %' AND pgbridge.drop_concerns_peers();
    ELSE
        changed := tg_tag NOT LIKE 'DROP %' AND pgbridge.concerns_peers();
        IF NOT inside THEN
            PERFORM pgbridge.count_statement(number);
        END IF;
    END IF;
    IF changed THEN
        PERFORM pgbridge.mark_statement(CASE WHEN inside THEN pgbridge.inner_statement(stack, tg_tag) ELSE current_query() END, number, tg_tag, pgbridge.settings());
    END IF;
END $$;

-- Makes the event triggers, of a database that is to be a writer. Returns false
-- where the role may not: only superusers make event triggers.
CREATE FUNCTION pgbridge.watch_schema() RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        RETURN false;
    END IF;
    ALTER FUNCTION pgbridge.schema_changed() SET lc_messages = 'C'; -- frames are read
    DROP EVENT TRIGGER IF EXISTS pgbridge_extension, pgbridge_caller, pgbridge_caller_drop, pgbridge_ddl, pgbridge_drop;
    CREATE EVENT TRIGGER pgbridge_extension ON ddl_command_start WHEN TAG IN ('CREATE EXTENSION', 'ALTER EXTENSION') EXECUTE FUNCTION pgbridge.begin_extension();
    CREATE EVENT TRIGGER pgbridge_caller ON ddl_command_end EXECUTE FUNCTION pgbridge.note_caller();
    CREATE EVENT TRIGGER pgbridge_caller_drop ON sql_drop EXECUTE FUNCTION pgbridge.note_caller();
    CREATE EVENT TRIGGER pgbridge_ddl ON ddl_command_end EXECUTE FUNCTION pgbridge.schema_changed();
    CREATE EVENT TRIGGER pgbridge_drop ON sql_drop EXECUTE FUNCTION pgbridge.schema_changed();
    RETURN true;
END $$;
