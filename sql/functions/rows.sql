-- Rows that a peer cannot compute from a statement: they are written into the stream.

-- A statement that makes a table like the one that CREATE TABLE AS has made.
CREATE OR REPLACE FUNCTION pgbridge.create_table_sql(relation oid) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pg_catalog.format('CREATE %sTABLE %s (%s)%s%s',
        CASE c.relpersistence WHEN 'u' THEN 'UNLOGGED ' ELSE '' END, pgbridge.table_sql(c.oid),
        (SELECT pg_catalog.string_agg(pg_catalog.format('%I %s%s', a.attname,
                pg_catalog.format_type(a.atttypid, a.atttypmod),
                CASE WHEN a.attcollation <> t.typcollation
                    THEN pg_catalog.format(' COLLATE %I.%I', n.nspname, l.collname) ELSE '' END),
                ', ' ORDER BY a.attnum)
            FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
                LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
                LEFT JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
        CASE WHEN m.amname <> 'heap' THEN pg_catalog.format(' USING %I', m.amname) ELSE '' END,
        ' WITH (' || (SELECT pg_catalog.string_agg(pg_catalog.format('%I = %L', pg_catalog.split_part(o, '=', 1),
                pg_catalog.substr(o, pg_catalog.strpos(o, '=') + 1)), ', ')
            FROM pg_catalog.unnest(c.reloptions) AS o) || ')')
    FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_am m ON m.oid = c.relam
    WHERE c.oid = $1
$$;

-- Marks all rows of a table: a mark w, then marks v of about a megabyte each. The text of
-- the values is that of the stream, as in pgbridge.printed. The statement holds a lock on the
-- tables, but not on their names: another session can rename the schema and make a view of
-- the same name. So a view or foreign table is not read, and another table is an error.
CREATE OR REPLACE FUNCTION pgbridge.mark_rows(relation oid) RETURNS void
LANGUAGE plpgsql
SET datestyle = 'ISO,YMD'
SET intervalstyle = 'postgres'
SET timezone = 'UTC'
SET extra_float_digits = 3
SET bytea_output = 'hex'
SET xmlbinary = 'base64'
SET lc_monetary = 'C'
SET search_path = pg_catalog, pg_temp
SET quote_all_identifiers = off
SET row_security = off
AS $$
DECLARE
    columns pg_catalog.text[];
    leaf    pg_catalog.oid;
    source  pg_catalog.oid;
    line    pg_catalog.text;
    batch   pg_catalog.text[] := '{}';
    size    pg_catalog.int8 := 0;
    code    pg_catalog.text;
BEGIN
    code := pgbridge.planned_code(relation); -- this function has the rights of the owner of this schema
    IF code IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported',
            MESSAGE = pg_catalog.format('the rows of %s would have to be read for the stream, and reading may'
                ' run code of users: %s', pgbridge.table_name(relation), code),
            HINT = 'Drop that first, and make it again after this statement.';
    END IF;
    SELECT coalesce(pg_catalog.array_agg(a.attname::pg_catalog.text ORDER BY a.attnum), '{}') INTO columns
        FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '';
    PERFORM pgbridge.write_mark('w', pg_catalog.format('[%s,%s]',
        pg_catalog.to_json(pgbridge.table_name(relation)), pg_catalog.array_to_json(columns)));
    FOR leaf IN
        SELECT c.oid FROM pg_catalog.pg_class c
        WHERE c.relkind = 'r' AND c.relpersistence = 'p' -- others are not published
            AND (c.oid = relation OR c.oid IN (SELECT t.relid FROM pg_catalog.pg_partition_tree(relation) AS t))
        ORDER BY c.oid
    LOOP
        FOR source, line IN EXECUTE pg_catalog.format(
            'SELECT t.tableoid, pg_catalog.json_build_array(%s)::pg_catalog.text FROM ONLY %s AS t', (
                SELECT pg_catalog.string_agg(pg_catalog.format(
                    'CASE WHEN t.%1$I IS DISTINCT FROM NULL THEN pg_catalog.format(''%%s'', t.%1$I) END', c),
                    ', ' ORDER BY i)
                FROM pg_catalog.unnest(columns) WITH ORDINALITY AS u(c, i)), pgbridge.table_sql(leaf))
        LOOP
            IF source <> leaf THEN
                RAISE EXCEPTION 'the schema of table % was renamed meanwhile', pgbridge.table_sql(leaf)
                    USING ERRCODE = 'object_not_in_prerequisite_state';
            END IF;
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

-- Whether an expression, given as the catalogue keeps it, has the same value wherever and
-- whenever it is computed. False for every expression of which this is not known, and where
-- it calls a function of a user, who may have declared it IMMUTABLE without reason.
CREATE OR REPLACE FUNCTION pgbridge.is_steady(tree text) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT NOT EXISTS (
            SELECT FROM regexp_matches(tree, '\{([A-Z_]+)', 'g') AS m
            WHERE m[1] NOT IN ('CONST', 'FUNCEXPR', 'OPEXPR', 'RELABELTYPE', 'ARRAY', 'ARRAYEXPR',
                'ARRAYCOERCEEXPR', 'CASETESTEXPR', 'NULLTEST', 'BOOLEXPR', 'COLLATEEXPR', 'COLLATE'))
        AND NOT EXISTS (
            SELECT FROM regexp_matches(tree, ':(?:funcid|opfuncid) (\d+)', 'g') AS m
                LEFT JOIN pg_proc p ON p.oid = m[1]::oid
            WHERE p.provolatile IS DISTINCT FROM 'i' OR p.oid >= 16384 AND NOT pgbridge.trusted_function(p.oid))
$$;

-- Whether this transaction has added a column to the table whose values a peer would
-- compute otherwise.
CREATE OR REPLACE FUNCTION pgbridge.has_unsteady_column(relation oid) RETURNS boolean
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
            LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
            AND pgbridge.is_recent(coalesce(d.xmin, a.xmin))
            AND (a.attidentity <> '' OR NOT pgbridge.is_steady(coalesce(d.adbin::text, t.typdefaultbin::text))))
$$;

-- Whether a statement may add a column with one default and give it another: the catalogue has
-- the second, and the rows that there were have the first.
CREATE OR REPLACE FUNCTION pgbridge.has_two_defaults(statement text) RETURNS boolean
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT statement ~* '\madd\M' AND statement ~* '\mset(\s|/\*.*\*/|--[^\n\r]*[\n\r])+default\M'
$$;

-- Notes a table that a statement rewrites, for schema_changed.
CREATE OR REPLACE FUNCTION pgbridge.table_rewritten() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgbridge.note('rewritten', o, coalesce(pgbridge.noted('rewritten', o), 0)
            | pg_event_trigger_table_rewrite_reason())
        FROM (SELECT pg_event_trigger_table_rewrite_oid()::text) AS t(o);
END $$;

-- The published tables whose rows a peer cannot make by running the statement. In doubt a
-- table is among them. relations are the tables that the statement names, gone those that
-- it has made partitions.
CREATE OR REPLACE FUNCTION pgbridge.unknown_rows(statement text, tag text, relations oid[], gone oid[])
RETURNS SETOF oid
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE rewritten AS (
        SELECT n.object::oid AS oid, n.number AS reason FROM pgbridge.transaction_note n
        WHERE n.xid = pg_current_xact_id() AND n.kind = 'rewritten'
    ), altered AS (
        SELECT r AS oid FROM unnest(relations) AS r WHERE tag = 'ALTER TABLE'
        UNION
        SELECT i.inhrelid FROM altered JOIN pg_inherits i ON i.inhparent = altered.oid
    ), suspect AS (
        SELECT oid FROM rewritten WHERE reason & 1 <> 0 -- SET LOGGED
            OR reason & 2 <> 0 AND (pgbridge.has_unsteady_column(oid) OR pgbridge.has_two_defaults(statement))
            -- Without USING, and with nothing but a cast to one of these types, the new value depends on the
            -- old one and on the settings only.
            OR reason & 4 <> 0 AND regexp_replace(statement, '\musing\s+("[^"]+"|[a-z_]\w*)\s*::\s*'
                '(smallint|integer|bigint|int|int2|int4|int8|numeric|decimal|real|double precision|text|varchar'
                '|character varying|char|character|boolean|bool|uuid|json|jsonb|bytea)\M(?=\s*(?:,|;|$))', '', 'gi')
                ~* '\musing\M'
        UNION
        SELECT a.oid FROM altered a
        WHERE EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = a.oid AND t.atthasmissing)
            AND (pgbridge.has_unsteady_column(a.oid) OR pgbridge.has_two_defaults(statement))
        UNION
        SELECT r FROM unnest(relations) AS r WHERE tag IN ('CREATE TABLE AS', 'SELECT INTO')
        UNION
        SELECT a.oid FROM altered a JOIN pg_class c ON c.oid = a.oid -- it was not published before
        WHERE statement ~* '\mattach\M' AND c.relispartition AND c.relkind <> 'f'
            AND pgbridge.is_recent(c.xmin) AND NOT a.oid = ANY (relations || gone)
    )
    SELECT DISTINCT pgbridge.root_of(s.oid) FROM suspect s
    WHERE pgbridge.root_of(s.oid) IN (SELECT relid FROM pgbridge.published)
$$;

-- Marks the constraint that DETACH ... CONCURRENTLY adds: it says which rows the partition
-- held. A peer detaches in its own transaction, without CONCURRENTLY, and would not have it.
CREATE OR REPLACE FUNCTION pgbridge.mark_detached() RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgbridge.mark_generated(format(
        'ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I, ADD CONSTRAINT %2$I %3$s',
        pgbridge.table_sql(c.oid), k.conname, pg_get_constraintdef(k.oid)), 'ALTER TABLE',
        pgbridge.relation_role(c.oid))
    FROM pg_class c JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'c'
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND pgbridge.is_recent(c.xmin)
    ORDER BY c.oid, k.conname
$$;

-- mark_rows reads tables only. Servers know the setting since the minor releases of August
-- 2024.
DO $$
BEGIN
    IF pg_catalog.current_setting('restrict_nonsystem_relation_kind', true) IS NOT NULL THEN
        ALTER FUNCTION pgbridge.mark_rows(pg_catalog.oid) SET restrict_nonsystem_relation_kind = 'view, foreign-table';
    END IF;
END $$;
