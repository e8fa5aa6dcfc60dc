-- Schema changes: event triggers write each statement that changes the schema as
-- a mark (0002) into the transaction of its effect, at its place among the rows.
--
-- These marks, each a letter and a JSON payload:
--   s {"statement":…,"n":…,"tag":…,"settings":{…}}: a statement that has run. With n = 0 it is exactly that
--     text. With n > 0 the text is the whole query string as the client sent it, and meant is the n-th of
--     its statements that counts. Those count that can be marked: what fires event triggers, but not GRANT,
--     REVOKE, REINDEX, SECURITY LABEL, ALTER DEFAULT PRIVILEGES, ALTER LARGE OBJECT, and nothing on
--     publications, subscriptions, user mappings and event triggers. DO, CALL and SELECT count not: what they
--     run comes with n = 0. A statement that failed ends its string; one that was rolled back later counts.
--     The string is in the first of its marks in a transaction only, null in the others: it may be a long script.
--     With "in":"text" the string is what a function ran (EXECUTE); it may have run several times, and the count
--     goes on: meant is number (n-1) mod k + 1 of k. With "in":"body" it is the body of a function in SQL,
--     and all its statements count.
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
    EXCEPTION WHEN object_not_in_prerequisite_state THEN -- the first of this session, or discarded
        IF current_query() ~* '\mdiscard\M.*\msequences\M' AND current_query() ~ ';.*\S' THEN
            RAISE EXCEPTION 'DISCARD SEQUENCES among other statements: what they do to the schema could not be told apart'
                USING HINT = 'Send it alone.', ERRCODE = 'feature_not_supported';
        END IF;
    END;
    RETURN CASE WHEN known >> 22 = stamp THEN (known & ((1 << 22) - 1)) + 1 ELSE 1 END;
END $$;

CREATE FUNCTION pgbridge.count_statement(number bigint, place text, stack text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF place = 'text' THEN
        PERFORM set_config('pgbridge.inner_counts', (pgbridge.inner_counts() || jsonb_build_object(md5(stack), number))::text, true);
    ELSIF place IS NULL AND number > 0 THEN
        PERFORM setval('pgbridge.statement', ((extract(epoch FROM statement_timestamp()) * 1000000)::bigint & ((1::bigint << 40) - 1)) << 22 | number);
    END IF;
END $$;

-- The settings that decide what the text of a statement means. Those that are as
-- in pgbridge's own sessions are left out, but for the four usual ones.
CREATE FUNCTION pgbridge.settings(path json) RETURNS json LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT json_object_agg(name, value ORDER BY i) FROM (VALUES
        (1, 'search_path', (SELECT coalesce(string_agg(quote_ident(s), ', ' ORDER BY n), '')
            FROM json_array_elements_text(path) WITH ORDINALITY AS u(s, n) WHERE s NOT LIKE 'pg\_temp%'), NULL),
        (2, 'TimeZone', current_setting('TimeZone'), NULL),
        (3, 'DateStyle', current_setting('DateStyle'), NULL),
        (4, 'IntervalStyle', current_setting('IntervalStyle'), NULL),
        (5, 'standard_conforming_strings', coalesce(nullif(current_setting('pgbridge.caller_strings', true), ''), 'on'), 'on'),
        (6, 'array_nulls', current_setting('array_nulls'), 'on'),
        (7, 'transform_null_equals', current_setting('transform_null_equals'), 'off'),
        (8, 'xmloption', current_setting('xmloption'), 'content'),
        (9, 'bytea_output', current_setting('bytea_output'), 'hex'),
        (10, 'extra_float_digits', CASE WHEN current_setting('extra_float_digits')::int > 0 THEN '3' ELSE current_setting('extra_float_digits') END, '3'),
        (11, 'default_table_access_method', current_setting('default_table_access_method'), 'heap')
    ) AS s(i, name, value, usual) WHERE value IS DISTINCT FROM usual
$$;

-- Place is NULL, text or body; path is the search_path of whoever ran it, and made
-- the schema that CREATE SCHEMA has made, which may have been named after who that was.
CREATE FUNCTION pgbridge.mark_statement(statement text, place text, n bigint, tag text, path json, made text DEFAULT NULL) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    once text;
BEGIN
    IF n > 0 AND place IS NULL THEN -- known until this transaction, or a part of it, is rolled back: as is the mark
        SELECT md5(concat('once', s.secret, pg_current_xact_id(), statement_timestamp())) INTO once FROM pgbridge.secret AS s;
        IF current_setting('pgbridge.once', true) = once THEN
            statement := NULL;
        END IF;
        PERFORM set_config('pgbridge.once', once, true);
    END IF;
    PERFORM pgbridge.write_mark('s', format('{"statement":%s,%s"n":%s,"tag":%s,%s"settings":%s}', coalesce(to_json(statement)::text, 'null'), '"in":' || to_json(place) || ',', n,
        to_json(tag), '"made":' || to_json(made) || ',', pgbridge.settings(path)));
END $$;

-- Marks a statement that nobody wrote. Its names are qualified.
CREATE FUNCTION pgbridge.mark_generated(statement text, tag text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM pgbridge.mark_statement(statement, NULL, 0, tag, '[]');
END $$;

-- What a function runs, given the frames around it (PG_CONTEXT): the text, where it
-- is from, and the number in it. Only with a text of one statement is that all.
CREATE FUNCTION pgbridge.inner_statement(stack text, tag text, OUT statement text, OUT place text, OUT number bigint) LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    frame text[] := regexp_match(stack, '^SQL function "([^\n]+)" statement (\d+)(?:\n|$)');
BEGIN
    IF frame IS NOT NULL THEN
        place := 'body';
        number := frame[2];
        BEGIN
            SELECT p.prosrc INTO STRICT statement FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
                WHERE l.lanname = 'sql' AND p.proname = frame[1] AND p.prosqlbody IS NULL AND p.prosrc ~* split_part(tag, ' ', 1);
        EXCEPTION WHEN no_data_found OR too_many_rows THEN
            RAISE EXCEPTION 'which of the functions of the name % has changed the schema is not to be found out', frame[1]
                USING HINT = 'Give the function another name, or write it in PL/pgSQL.', ERRCODE = 'feature_not_supported';
        END;
        RETURN;
    END IF;
    statement := coalesce((regexp_match(stack, '^SQL statement "(.*?)"\n(?:PL/\w+ (?:function|anonymous)|SQL (?:function|statement) "|COPY |extension script|unnamed portal|portal )'))[1],
        (regexp_match(stack, '^SQL statement "(.*)"$'))[1]);
    IF statement IS NULL THEN
        RAISE EXCEPTION 'which statement has changed the schema is not to be found out' USING DETAIL = stack, ERRCODE = 'feature_not_supported';
    END IF;
    number := 0;
    IF statement ~ ';.*\S' THEN -- there may be several
        place := 'text';
        number := pgbridge.inner_counts() -> md5(stack);
        number := coalesce(number, 0) + 1;
    END IF;
END $$;

-- How many statements have counted of each text that functions ran in this
-- transaction, by the frames. What was rolled back counts not, as its text ended.
CREATE FUNCTION pgbridge.inner_counts() RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT coalesce(nullif(current_setting('pgbridge.inner_counts', true), ''), '{}')::jsonb
$$;

-- Runs as who changes the schema, whose search_path no function with rights of its
-- own can see, and under his settings, also those that the others cannot be read
-- under. It fires before pgbridge_ddl.
CREATE FUNCTION pgbridge.note_caller() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_catalog.set_config('pgbridge.caller_path', pg_catalog.array_to_json(pg_catalog.current_schemas(false))::pg_catalog.text, true),
        pg_catalog.set_config('pgbridge.caller_strings', pg_catalog.current_setting('standard_conforming_strings'), true);
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

-- Runs a statement of the triggers' own.
CREATE FUNCTION pgbridge.quietly(statement text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM set_config('pgbridge.quiet', pgbridge.quiet_token(), true);
    EXECUTE statement;
    PERFORM set_config('pgbridge.quiet', '', true);
END $$;

CREATE FUNCTION pgbridge.begin_extension() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('pgbridge.quiet', pgbridge.quiet_token(), true);
END $$;

-- What a statement has made of temporary objects (a function that returns a row of
-- a temporary table) goes with them when the session ends, and peers have it not. It
-- is kept here until then.
CREATE FUNCTION pgbridge.session_objects() RETURNS text[] LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT string_to_array(nullif(current_setting('pgbridge.session_objects', true), ''), ' ')
$$;

CREATE FUNCTION pgbridge.keep_session_objects() RETURNS void LANGUAGE sql SET search_path = pg_catalog AS $$
    SELECT set_config('pgbridge.session_objects', concat_ws(' ', nullif(current_setting('pgbridge.session_objects', true), ''), concat(c.classid, ':', c.objid)), false)
    FROM pg_event_trigger_ddl_commands() c JOIN pg_depend d ON d.classid = c.classid AND d.objid = c.objid AND d.objsubid = 0 AND d.deptype = 'n'
        LEFT JOIN pg_type t ON d.refclassid = 'pg_type'::regclass AND t.oid = d.refobjid
    WHERE c.classid <> 'pg_class'::regclass AND (t.typnamespace = pg_my_temp_schema() OR concat(d.refclassid, ':', d.refobjid) = ANY (pgbridge.session_objects()))
$$;

-- Whether the statement that ends changed anything that peers have.
CREATE FUNCTION pgbridge.concerns_peers() RETURNS boolean LANGUAGE sql SET search_path = pg_catalog AS $$
    SELECT pgbridge.keep_session_objects();
    SELECT coalesce(bool_or(schema_name IS DISTINCT FROM 'pg_temp' AND schema_name IS DISTINCT FROM 'pgbridge' AND object_type <> 'large object'
        AND object_identity !~ '( on |^)(pg_temp|pgbridge)(\.|$)' AND concat(classid, ':', objid) = ANY (pgbridge.session_objects()) IS NOT TRUE), false) FROM pg_event_trigger_ddl_commands()
$$;

CREATE FUNCTION pgbridge.drop_concerns_peers() RETURNS boolean LANGUAGE sql SET search_path = pg_catalog AS $$
    SELECT coalesce(bool_or(NOT is_temporary AND schema_name IS DISTINCT FROM 'pgbridge' AND object_identity !~ '( on |^)(pg_temp|pgbridge)(\.|$)'
        AND concat(classid, ':', objid) = ANY (pgbridge.session_objects()) IS NOT TRUE), false)
    FROM pg_event_trigger_dropped_objects() WHERE original
$$;

-- An action's effect is rows: what it did could not be replayed.
CREATE FUNCTION pgbridge.refuse_in_call(stack text) RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
DECLARE
    action text;
BEGIN
    SELECT a.name INTO action FROM pgbridge.action a
        WHERE strpos(E'\n' || stack, format(E'\nPL/pgSQL function pgbridge.%I(', a.name)) > 0 OR strpos(E'\n' || stack, format(E'\nPL/pgSQL function %I(', a.name)) > 0;
    IF FOUND THEN
        RAISE EXCEPTION 'action % changes the schema', action
            USING HINT = 'Change the schema outside of actions. Temporary objects are allowed.', ERRCODE = 'feature_not_supported';
    END IF;
END $$;

-- Marks what was dropped, object by object: the statement names what peers do not
-- have (temporary tables), or means something else there (DROP OWNED).
CREATE FUNCTION pgbridge.mark_dropped() RETURNS void LANGUAGE sql SET search_path = pg_catalog AS $$
    SELECT pgbridge.mark_generated(format('DROP %s IF EXISTS %s CASCADE', CASE object_type WHEN 'statistics object' THEN 'STATISTICS' ELSE upper(object_type) END, object_identity),
        'DROP ' || CASE object_type WHEN 'statistics object' THEN 'STATISTICS' ELSE upper(object_type) END)
    FROM pg_event_trigger_dropped_objects() WITH ORDINALITY AS o
    WHERE original AND NOT is_temporary AND schema_name IS DISTINCT FROM 'pgbridge' AND object_identity !~ '( on |^)(pg_temp|pgbridge)(\.|$)'
        AND object_type NOT IN ('default acl', 'user mapping', 'publication', 'subscription', 'event trigger', 'large object')
    ORDER BY ordinality
$$;

-- The publication.

-- The tables that are published, as init and the triggers made it. What the
-- catalogue has besides, or not, or anew, was done by hand (publication_untouched).
CREATE TABLE pgbridge.published (
    relid      oid PRIMARY KEY,
    membership text NOT NULL -- oid and xmin of the row in pg_publication_rel
);

-- Tables that have REPLICA IDENTITY FULL by rule, for want of a key.
CREATE TABLE pgbridge.keyless (relid oid PRIMARY KEY);

CREATE FUNCTION pgbridge.memberships() RETURNS TABLE (relid oid, membership text) LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT r.prrelid, concat_ws('.', r.oid, r.xmin)
    FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid JOIN pgbridge.database d ON d.publication = p.pubname
$$;

-- Remembers the publication as it is now.
CREATE FUNCTION pgbridge.mark_publication() RETURNS void LANGUAGE sql SET search_path = pg_catalog AS $$
    DELETE FROM pgbridge.published;
    INSERT INTO pgbridge.published SELECT relid, membership FROM pgbridge.memberships();
    UPDATE pgbridge.database SET publication_mark = pgbridge.publication_mark()
$$;

-- Whether nobody but the triggers changed the publication since mark_publication,
-- not even for a moment: what was written meanwhile was passed over, and the
-- server says nothing. All of it is seen in one snapshot.
CREATE FUNCTION pgbridge.publication_untouched() RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT coalesce(d.publication_mark = pgbridge.publication_mark(), false) AND NOT EXISTS (
        SELECT FROM pgbridge.published p FULL JOIN pgbridge.memberships() m ON m.relid = p.relid WHERE m.membership IS DISTINCT FROM p.membership)
    FROM pgbridge.database d
$$;

-- Whether a row of the catalogue was written by this transaction. Now and then
-- also one that another has written since this one began.
CREATE FUNCTION pgbridge.is_recent(row_xmin xid) RETURNS boolean LANGUAGE sql SET search_path = pg_catalog AS $$
    SELECT age(row_xmin) <= age(pg_current_xact_id()::xid)
$$;

-- The table under whose name the rows of one are published.
CREATE FUNCTION pgbridge.root_of(relation oid) RETURNS oid LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT coalesce(CASE WHEN c.relispartition THEN pg_partition_root(c.oid)::oid END, c.oid) FROM pg_class c WHERE c.oid = $1
$$;

CREATE FUNCTION pgbridge.table_sql(relation oid) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1
$$;

-- What is no table any more is not published either. A table that was taken out by
-- hand before keeps its row: the guard is to see it.
CREATE FUNCTION pgbridge.forget_dropped() RETURNS void LANGUAGE sql SET search_path = pg_catalog AS $$
    DELETE FROM pgbridge.published p USING pg_event_trigger_dropped_objects() o
        WHERE o.classid = 'pg_publication_rel'::regclass AND split_part(p.membership, '.', 1)::oid = o.objid;
    DELETE FROM pgbridge.keyless k USING pg_event_trigger_dropped_objects() o WHERE o.classid = 'pg_class'::regclass AND o.objsubid = 0 AND o.objid = k.relid
$$;

-- Changes the publication's list of tables. From 15 on that locks the publication until
-- the transaction ends: who makes a table waits for who has just made another.
CREATE FUNCTION pgbridge.alter_publication(publication oid, change text, tables oid[]) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    PERFORM pgbridge.quietly(format('ALTER PUBLICATION %I %s TABLE %s', (SELECT pubname FROM pg_publication WHERE oid = publication), change,
        (SELECT string_agg('ONLY ' || pgbridge.table_sql(u), ', ') FROM unnest(tables) AS u)));
    DELETE FROM pgbridge.published WHERE relid = ANY (tables);
    INSERT INTO pgbridge.published SELECT relid, membership FROM pgbridge.memberships() WHERE relid = ANY (tables);
END $$;

-- Takes tables that have become partitions out of the publication, and returns
-- them: their root publishes. Where all tables are to be published, puts in those
-- that have come up.
CREATE FUNCTION pgbridge.settle_publication() RETURNS oid[] LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    pub  oid;
    gone oid[];
    new  oid[];
BEGIN
    SELECT p.oid INTO pub FROM pg_publication p JOIN pgbridge.database d ON d.publication = p.pubname;
    IF NOT FOUND THEN
        RETURN '{}';
    END IF;
    SELECT coalesce(array_agg(p.relid), '{}') INTO gone FROM pgbridge.published p JOIN pgbridge.memberships() m ON m.relid = p.relid AND m.membership = p.membership
        JOIN pg_class c ON c.oid = p.relid WHERE c.relispartition AND pgbridge.root_of(c.oid) IN (SELECT relid FROM pgbridge.published);
    IF gone <> '{}' THEN
        PERFORM pgbridge.alter_publication(pub, 'DROP', gone);
    END IF;
    SELECT coalesce(array_agg(c.oid ORDER BY c.oid), '{}') INTO new FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE (SELECT scope FROM pgbridge.database) = 'all' AND pgbridge.is_recent(c.xmin)
            AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p' AND left(n.nspname, 3) <> 'pg_' AND n.nspname NOT IN ('information_schema', 'pgbridge')
            AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
            AND c.oid NOT IN (SELECT relid FROM pgbridge.published) AND c.oid NOT IN (SELECT relid FROM pgbridge.memberships());
    IF new <> '{}' THEN
        PERFORM pgbridge.alter_publication(pub, 'ADD', new);
    END IF;
    RETURN gone;
END $$;

-- The replica identities by which the server finds the rows of a table with an
-- index all of whose columns the stream has.
CREATE VIEW pgbridge.usable_key AS
SELECT i.indrelid AS relid, k.identity FROM pg_catalog.pg_index i
    JOIN (VALUES ('d'::pg_catalog."char"), ('i')) AS k(identity) ON CASE k.identity WHEN 'd' THEN i.indisprimary ELSE i.indisreplident END
WHERE i.indisvalid AND i.indimmediate AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = i.indrelid AND a.attgenerated <> ''
    AND a.attnum = ANY ((i.indkey::pg_catalog.int2[])[0:i.indnkeyatts - 1]));

CREATE FUNCTION pgbridge.set_identity(relation oid, identity text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    statement text := format('ALTER TABLE %s REPLICA IDENTITY %s', pgbridge.table_sql(relation), identity);
BEGIN
    PERFORM pgbridge.quietly(statement);
    PERFORM pgbridge.mark_generated(statement, 'ALTER TABLE');
    DELETE FROM pgbridge.keyless WHERE relid = relation;
    IF identity = 'FULL' THEN
        INSERT INTO pgbridge.keyless VALUES (relation);
    END IF;
END $$;

-- Gives each published table an identity by which its rows are found: the whole
-- row where there is no key, and the key again when it has come back. Partitions
-- have that of their root. A table that is published without one refuses UPDATE and DELETE.
CREATE FUNCTION pgbridge.settle_identities() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    t record;
BEGIN
    FOR t IN SELECT c.oid, c.relreplident = 'f' AS whole FROM pg_class c JOIN pgbridge.published p ON p.relid = c.oid
            LEFT JOIN pgbridge.keyless l ON l.relid = c.oid
            LEFT JOIN pgbridge.usable_key k ON k.relid = c.oid AND k.identity = CASE c.relreplident WHEN 'f' THEN 'd' ELSE c.relreplident END
        WHERE c.relreplident IN ('d', 'i') AND k.relid IS NULL OR c.relreplident = 'f' AND l.relid IS NOT NULL AND k.relid IS NOT NULL
        ORDER BY c.oid
    LOOP
        PERFORM pgbridge.set_identity(t.oid, CASE WHEN t.whole THEN 'DEFAULT' ELSE 'FULL' END);
    END LOOP;
    -- Not pg_partition_tree, which locks what it looks at: tables that other sessions are changing.
    FOR t IN WITH RECURSIVE leaf (root, relid) AS (
                SELECT r.oid, r.oid FROM pgbridge.published p JOIN pg_class r ON r.oid = p.relid AND r.relkind = 'p'
                UNION ALL SELECT leaf.root, i.inhrelid FROM leaf JOIN pg_inherits i ON i.inhparent = leaf.relid)
        SELECT c.oid, c.relreplident = 'f' AS whole FROM leaf JOIN pg_class r ON r.oid = leaf.root
            JOIN pg_class c ON c.oid = leaf.relid AND c.relkind = 'r' AND c.relpersistence = 'p'
            LEFT JOIN pgbridge.usable_key k ON k.relid = c.oid AND k.identity = CASE c.relreplident WHEN 'f' THEN 'd' ELSE c.relreplident END
        WHERE CASE r.relreplident WHEN 'f' THEN c.relreplident <> 'f'
            WHEN 'd' THEN c.relreplident = 'f' AND k.relid IS NOT NULL
            ELSE c.relreplident IN ('d', 'i') AND k.relid IS NULL END
        ORDER BY c.oid
    LOOP
        PERFORM pgbridge.set_identity(t.oid, CASE WHEN t.whole THEN 'DEFAULT' ELSE 'FULL' END);
    END LOOP;
END $$;

-- Rows.

-- The statement that makes a table as CREATE TABLE AS has made it.
CREATE FUNCTION pgbridge.create_table_sql(relation oid) RETURNS text LANGUAGE sql STABLE SET search_path = '' AS $$
    SELECT pg_catalog.format('CREATE %sTABLE %s (%s)%s%s', CASE c.relpersistence WHEN 'u' THEN 'UNLOGGED ' ELSE '' END, pgbridge.table_sql(c.oid),
        (SELECT pg_catalog.string_agg(pg_catalog.format('%I %s%s', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
                CASE WHEN a.attcollation <> t.typcollation THEN pg_catalog.format(' COLLATE %I.%I', n.nspname, l.collname) ELSE '' END), ', ' ORDER BY a.attnum)
            FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
                LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation LEFT JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
        CASE WHEN m.amname <> 'heap' THEN pg_catalog.format(' USING %I', m.amname) ELSE '' END,
        ' WITH (' || (SELECT pg_catalog.string_agg(pg_catalog.format('%I = %L', pg_catalog.split_part(o, '=', 1), pg_catalog.substr(o, pg_catalog.strpos(o, '=') + 1)), ', ')
            FROM pg_catalog.unnest(c.reloptions) AS o) || ')')
    FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_am m ON m.oid = c.relam WHERE c.oid = $1
$$;

-- Marks all rows of a table: w, then v, each of about a megabyte. The text of the
-- values is that of the stream, as in pgbridge.printed.
CREATE FUNCTION pgbridge.mark_rows(relation oid) RETURNS void LANGUAGE plpgsql
    SET datestyle = 'ISO,YMD' SET intervalstyle = 'postgres' SET timezone = 'UTC' SET extra_float_digits = 3 SET bytea_output = 'hex'
    SET xmlbinary = 'base64' SET lc_monetary = 'C' SET search_path = '' SET quote_all_identifiers = off SET row_security = off AS $$
DECLARE
    columns pg_catalog.text[];
    leaf    pg_catalog.oid;
    line    pg_catalog.text;
    batch   pg_catalog.text[] := '{}';
    size    pg_catalog.int8 := 0;
BEGIN
    SELECT coalesce(pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY a.attnum), '{}') INTO columns
        FROM pg_catalog.pg_attribute a WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '';
    PERFORM pgbridge.write_mark('w', pg_catalog.format('[%s,%s]', pg_catalog.to_json(pgbridge.table_name(relation)), pg_catalog.array_to_json(columns)));
    FOR leaf IN SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relkind = 'r' AND c.relpersistence = 'p' -- others are not published
        AND (c.oid = relation OR c.oid IN (SELECT t.relid FROM pg_catalog.pg_partition_tree(relation) AS t)) ORDER BY c.oid
    LOOP
        FOR line IN EXECUTE pg_catalog.format('SELECT pg_catalog.json_build_array(%s)::pg_catalog.text FROM ONLY %s AS t', (
            SELECT pg_catalog.string_agg(pg_catalog.format('CASE WHEN t.%1$I IS DISTINCT FROM NULL THEN pg_catalog.format(''%%s'', t.%1$I) END', c), ', ' ORDER BY i)
            FROM pg_catalog.unnest(columns) WITH ORDINALITY AS u(c, i)), pgbridge.table_sql(leaf))
        LOOP
            batch := batch || line;
            size := size + pg_catalog.length(line);
            IF size > 1000000 THEN
                PERFORM pgbridge.write_mark('v', '[' || pg_catalog.array_to_string(batch, ',') || ']');
                batch := '{}';
                size := 0;
            END IF;
        END LOOP;
    END LOOP;
    IF size > 0 THEN
        PERFORM pgbridge.write_mark('v', '[' || pg_catalog.array_to_string(batch, ',') || ']');
    END IF;
END $$;

-- Whether an expression, given as the catalogue keeps it, has the same value
-- wherever and whenever it is computed. Of what is not known to, it is taken not to.
CREATE FUNCTION pgbridge.is_steady(tree text) RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT NOT EXISTS (SELECT FROM regexp_matches(tree, '\{([A-Z_]+)', 'g') AS m
            WHERE m[1] NOT IN ('CONST', 'FUNCEXPR', 'OPEXPR', 'RELABELTYPE', 'ARRAY', 'ARRAYEXPR', 'ARRAYCOERCEEXPR', 'CASETESTEXPR', 'NULLTEST', 'BOOLEXPR', 'COLLATEEXPR', 'COLLATE'))
        AND NOT EXISTS (SELECT FROM regexp_matches(tree, ':(?:funcid|opfuncid) (\d+)', 'g') AS m LEFT JOIN pg_proc p ON p.oid = m[1]::oid
            WHERE p.provolatile IS DISTINCT FROM 'i')
$$;

-- Whether this transaction has added a column to the table whose values a peer
-- would compute otherwise.
CREATE FUNCTION pgbridge.has_unsteady_column(relation oid) RETURNS boolean LANGUAGE sql SET search_path = pg_catalog AS $$
    SELECT EXISTS (SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND pgbridge.is_recent(coalesce(d.xmin, a.xmin))
            AND (a.attidentity <> '' OR NOT pgbridge.is_steady(coalesce(d.adbin::text, t.typdefaultbin::text))))
$$;

-- Notes a table that is written anew, for schema_changed.
CREATE FUNCTION pgbridge.table_rewritten() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM set_config('pgbridge.rewritten', concat_ws(' ', nullif(current_setting('pgbridge.rewritten', true), ''),
        pg_event_trigger_table_rewrite_oid() || ':' || pg_event_trigger_table_rewrite_reason()), true);
END $$;

-- The published tables whose rows a peer cannot make by running the statement. When in
-- doubt a table is among them. relations are those that the statement names, gone
-- those that it has made partitions.
CREATE FUNCTION pgbridge.unknown_rows(statement text, tag text, relations oid[], gone oid[]) RETURNS SETOF oid LANGUAGE sql SET search_path = pg_catalog AS $$
    WITH RECURSIVE rewritten AS (
        SELECT split_part(r, ':', 1)::oid AS oid, split_part(r, ':', 2)::int AS reason
        FROM unnest(string_to_array(nullif(current_setting('pgbridge.rewritten', true), ''), ' ')) AS r
    ), altered AS (
        SELECT r AS oid FROM unnest(relations) AS r WHERE tag = 'ALTER TABLE'
        UNION SELECT i.inhrelid FROM altered JOIN pg_inherits i ON i.inhparent = altered.oid
    ), suspect AS (
        SELECT oid FROM rewritten WHERE reason & 1 <> 0 -- SET LOGGED
            OR reason & 2 <> 0 AND pgbridge.has_unsteady_column(oid)
            -- a cast that is not written out depends on the settings only, and so do the plainest of the others
            OR reason & 4 <> 0 AND regexp_replace(statement, '\musing\s+("[^"]+"|[a-z_]\w*)\s*::\s*(smallint|integer|bigint|int|int2|int4|int8|numeric|decimal|real'
                '|double precision|text|varchar|character varying|char|character|boolean|bool|uuid|json|jsonb|bytea)\M', '', 'gi') ~* '\musing\M'
        UNION SELECT a.oid FROM altered a WHERE EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = a.oid AND t.atthasmissing) AND pgbridge.has_unsteady_column(a.oid)
        UNION SELECT r FROM unnest(relations) AS r WHERE tag IN ('CREATE TABLE AS', 'SELECT INTO')
        UNION SELECT a.oid FROM altered a JOIN pg_class c ON c.oid = a.oid -- it was not published before
            WHERE statement ~* '\mattach\M' AND c.relispartition AND c.relkind <> 'f' AND pgbridge.is_recent(c.xmin) AND NOT a.oid = ANY (relations || gone)
    )
    SELECT DISTINCT pgbridge.root_of(s.oid) FROM suspect s WHERE pgbridge.root_of(s.oid) IN (SELECT relid FROM pgbridge.published)
$$;

-- DETACH … CONCURRENTLY leaves a constraint that says what the partition held, and
-- which no peer would have: it detaches in its own transaction.
CREATE FUNCTION pgbridge.mark_detached() RETURNS void LANGUAGE sql SET search_path = pg_catalog AS $$
    SELECT pgbridge.mark_generated(format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I, ADD CONSTRAINT %2$I %3$s', pgbridge.table_sql(c.oid), k.conname, pg_get_constraintdef(k.oid)), 'ALTER TABLE')
    FROM pg_class c JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'c'
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND pgbridge.is_recent(c.xmin)
    ORDER BY c.oid, k.conname
$$;

-- Marks what has changed: for statements that drop at sql_drop, where the server
-- says what is gone, for others at ddl_command_end. Then sees to the publication, and
-- to rows that a peer cannot make.
-- Its own text is read in one way, and its queries are fast, whatever the session
-- does to the reader and the planner.
CREATE FUNCTION pgbridge.schema_changed() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET standard_conforming_strings = on SET enable_nestloop = on SET enable_hashjoin = on SET enable_mergejoin = on SET enable_seqscan = on SET enable_indexscan = on SET enable_sort = on
    SET enable_hashagg = on SET enable_bitmapscan = on SET enable_material = on SET plan_cache_mode = auto SET jit = off AS $$
DECLARE
    stack     text;
    inside    boolean;
    statement text;
    place     text;
    number    bigint;
    concerned boolean;
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
    ELSIF pgbridge.is_quiet() THEN
        IF tg_event <> 'ddl_command_end' OR tg_tag NOT IN ('CREATE EXTENSION', 'ALTER EXTENSION') THEN
            RETURN;
        END IF;
        PERFORM set_config('pgbridge.quiet', '', true);
    END IF;
    IF inside THEN
        SELECT * INTO statement, place, number FROM pgbridge.inner_statement(stack, tg_tag);
    ELSE
        statement := current_query();
        number := pgbridge.statement_number();
    END IF;
    IF tg_event = 'ddl_command_end' THEN
        PERFORM pgbridge.count_statement(number, place, stack);
    END IF;
    IF (tg_event = 'sql_drop') <> (tg_tag LIKE 'DROP %') THEN
        RETURN;
    ELSIF tg_event = 'sql_drop' THEN
        concerned := pgbridge.drop_concerns_peers();
    ELSE
        concerned := pgbridge.concerns_peers();
    END IF;
    IF NOT concerned THEN
        RETURN;
    END IF;
    PERFORM pgbridge.refuse_in_call(stack);
    IF tg_event = 'sql_drop' AND (tg_tag = 'DROP OWNED' OR EXISTS (SELECT FROM pg_event_trigger_dropped_objects() WHERE original AND is_temporary)) THEN
        PERFORM pgbridge.mark_dropped();
    ELSIF tg_tag IN ('CREATE TABLE AS', 'SELECT INTO') THEN
        PERFORM pgbridge.mark_generated(pgbridge.create_table_sql(objid), 'CREATE TABLE') FROM pg_event_trigger_ddl_commands() WHERE object_type = 'table';
    ELSE
        PERFORM pgbridge.mark_statement(statement, place, number, tg_tag, current_setting('pgbridge.caller_path')::json,
            CASE tg_tag WHEN 'CREATE SCHEMA' THEN (SELECT object_identity FROM pg_event_trigger_ddl_commands() WHERE object_type = 'schema' LIMIT 1) END);
        IF tg_tag = 'ALTER TABLE' AND statement ~* '\mdetach\M.*\m(concurrently|finalize)\M' THEN
            PERFORM pgbridge.mark_detached();
        END IF;
    END IF;
    IF tg_event = 'ddl_command_end' THEN
        relations := ARRAY(SELECT objid FROM pg_event_trigger_ddl_commands() WHERE classid = 'pg_class'::regclass);
        gone := pgbridge.settle_publication();
    END IF;
    PERFORM pgbridge.settle_identities();
    IF tg_event = 'ddl_command_end' THEN
        PERFORM pgbridge.mark_rows(r) FROM pgbridge.unknown_rows(statement, tg_tag, relations, gone) AS r;
        PERFORM set_config('pgbridge.rewritten', '', true);
    END IF;
END $$;

-- Makes the event triggers, of a database that is to be a writer. Returns false
-- where the role may not: only superusers make event triggers. What they do is done
-- as the owner of this schema, who must be one too.
CREATE FUNCTION pgbridge.watch_schema() RETURNS boolean LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE NOT rolsuper AND (rolname = current_user OR oid = (SELECT nspowner FROM pg_namespace WHERE nspname = 'pgbridge'))) THEN
        RETURN false;
    ELSIF EXISTS (SELECT FROM pg_event_trigger WHERE evtname = 'pgbridge_ddl') THEN
        RETURN true;
    END IF;
    ALTER FUNCTION pgbridge.schema_changed() SET lc_messages = 'C'; -- it reads what the server writes for people
    CREATE EVENT TRIGGER pgbridge_extension ON ddl_command_start WHEN TAG IN ('CREATE EXTENSION', 'ALTER EXTENSION') EXECUTE FUNCTION pgbridge.begin_extension();
    CREATE EVENT TRIGGER pgbridge_caller ON ddl_command_end EXECUTE FUNCTION pgbridge.note_caller();
    CREATE EVENT TRIGGER pgbridge_caller_drop ON sql_drop EXECUTE FUNCTION pgbridge.note_caller();
    CREATE EVENT TRIGGER pgbridge_rewrite ON table_rewrite EXECUTE FUNCTION pgbridge.table_rewritten();
    CREATE EVENT TRIGGER pgbridge_drop ON sql_drop EXECUTE FUNCTION pgbridge.schema_changed();
    CREATE EVENT TRIGGER pgbridge_ddl ON ddl_command_end EXECUTE FUNCTION pgbridge.schema_changed();
    RETURN true;
END $$;

-- Nothing in here is for others, whatever ALTER DEFAULT PRIVILEGES says. Actions
-- and what calls them keep the rights that they have.
DO $$
DECLARE
    made text;
BEGIN
    PERFORM pgbridge.close_function(p.oid::pg_catalog.regprocedure) FROM pg_catalog.pg_proc p, pg_catalog.pg_class c
        WHERE p.pronamespace = 'pgbridge'::pg_catalog.regnamespace AND c.oid = 'pgbridge.published'::pg_catalog.regclass AND p.xmin = c.xmin;
    FOR made IN
        SELECT DISTINCT pg_catalog.format('REVOKE ALL ON pgbridge.%I FROM %s', c.relname, coalesce(g.oid::pg_catalog.regrole::pg_catalog.text, 'PUBLIC'))
        FROM pg_catalog.pg_class c CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS a LEFT JOIN pg_catalog.pg_roles g ON g.oid = a.grantee
        WHERE c.relnamespace = 'pgbridge'::pg_catalog.regnamespace AND c.relname IN ('published', 'keyless', 'statement', 'usable_key') AND a.grantee <> c.relowner
    LOOP
        EXECUTE made;
    END LOOP;
END $$;
