-- Names, types and keys, as records and SQL text write them.

-- The name of an object as records write it. It is not for use in SQL text.
CREATE OR REPLACE FUNCTION pgbridge.name_of(schema text, name text) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(CASE WHEN part COLLATE "C" ~ '^[a-z_][a-z0-9_]*$' THEN part
            ELSE '"' || replace(part, '"', '""') || '"' END, '.' ORDER BY i)
    FROM unnest(ARRAY[$1, $2]) WITH ORDINALITY AS u(part, i)
$$;

-- The name of a type for use in SQL text under any search_path.
CREATE OR REPLACE FUNCTION pgbridge.type_sql(type oid) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('%I.%I', n.nspname, t.typname)
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE t.oid = $1
$$;

-- The name of a table for use in SQL text under any search_path.
CREATE OR REPLACE FUNCTION pgbridge.table_sql(relation oid) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('%I.%I', n.nspname, c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = $1
$$;

-- The name of a table as records write it.
CREATE OR REPLACE FUNCTION pgbridge.table_name(relation oid) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgbridge.name_of(n.nspname, c.relname)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid = $1
$$;

-- The name of an action as records write it.
CREATE OR REPLACE FUNCTION pgbridge.action_name(function oid) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgbridge.name_of(n.nspname, p.proname)
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE p.oid = $1
$$;

-- The type under a domain, or under a domain of domains.
CREATE OR REPLACE FUNCTION pgbridge.base_type(type oid) RETURNS oid
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE b(oid, base) AS (
        SELECT t.oid, t.typbasetype FROM pg_type t WHERE t.oid = $1
        UNION ALL
        SELECT t.oid, t.typbasetype FROM b JOIN pg_type t ON t.oid = b.base)
    SELECT oid FROM b WHERE base = 0
$$;

-- Whether values of a type print the same under all settings of a session. False
-- for every type of which this is not known.
CREATE OR REPLACE FUNCTION pgbridge.plain_type(type oid) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE part(oid) AS (
        SELECT $1
        UNION
        SELECT n.oid FROM part JOIN pg_type t ON t.oid = part.oid CROSS JOIN LATERAL (
            SELECT t.typbasetype WHERE t.typtype = 'd'
            UNION ALL
            SELECT t.typelem WHERE t.typoutput = 'array_out'::regproc
            UNION ALL
            SELECT r.rngsubtype FROM pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)
            UNION ALL
            SELECT a.atttypid FROM pg_attribute a
            WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS n(oid))
    SELECT bool_and(t.typtype IN ('d', 'e', 'c', 'r', 'm')
        OR t.typoutput = 'array_out'::regproc
        OR t.oid = ANY (ARRAY['bool', '"char"', 'int2', 'int4', 'int8', 'numeric', 'oid', 'text',
            'varchar', 'bpchar', 'name', 'uuid', 'json', 'jsonb', 'inet', 'cidr', 'macaddr',
            'macaddr8', 'bit', 'varbit', 'pg_lsn', 'tsvector', 'tsquery']::regtype[]))
    FROM part JOIN pg_type t ON t.oid = part.oid
$$;

-- Whether the text of values of one type can be read as the other.
CREATE OR REPLACE FUNCTION pgbridge.fits(have oid, want oid) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    source pg_type;
    target pg_type;
BEGIN
    SELECT * INTO source FROM pg_type WHERE oid = pgbridge.base_type(have);
    SELECT * INTO target FROM pg_type WHERE oid = pgbridge.base_type(want);
    RETURN source.oid = target.oid
        OR EXISTS (
            SELECT FROM pg_cast c
            WHERE c.castsource = source.oid AND c.casttarget = target.oid
                AND (c.castcontext = 'i' OR c.castmethod = 'b' AND c.castcontext = 'a'))
        OR source.typoutput = 'array_out'::regproc AND target.typoutput = 'array_out'::regproc
            AND pgbridge.fits(source.typelem, target.typelem);
END $$;

-- The parameters of a function that has only IN parameters.
CREATE OR REPLACE FUNCTION pgbridge.parameters(function oid)
RETURNS TABLE (i integer, name text, type oid, optional boolean)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT a.i::int, coalesce(p.proargnames[a.i], ''), a.type, a.i > p.pronargs - p.pronargdefaults
    FROM pg_proc p CROSS JOIN LATERAL unnest(p.proargtypes) WITH ORDINALITY AS a(type, i)
    WHERE p.oid = $1
$$;

CREATE OR REPLACE FUNCTION pgbridge.signature(function oid) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('%s(%s)', pgbridge.action_name($1),
        string_agg(format_type(type, NULL), ',' ORDER BY i))
    FROM pgbridge.parameters($1)
$$;

-- The function with this signature, or NULL. to_regprocedure alone raises an error
-- where a type is gone.
CREATE OR REPLACE FUNCTION pgbridge.find_function(signature text) RETURNS oid
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN to_regprocedure(signature)::oid;
EXCEPTION WHEN undefined_object OR invalid_schema_name THEN
    RETURN NULL;
END $$;

-- The columns by which the stream finds a row.
CREATE OR REPLACE FUNCTION pgbridge.key_columns(relation oid) RETURNS text[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(array_agg(a.attname::text ORDER BY k.i), '{}')
    FROM pg_class c JOIN pg_index x ON x.indrelid = c.oid
        CROSS JOIN LATERAL unnest(x.indkey) WITH ORDINALITY AS k(attnum, i)
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
    WHERE c.oid = $1 AND x.indisvalid AND x.indimmediate AND k.i <= x.indnkeyatts
        AND CASE c.relreplident WHEN 'i' THEN x.indisreplident WHEN 'n' THEN false ELSE x.indisprimary END
$$;

-- Whether the stream has the whole old row: of a partitioned table, in every partition.
CREATE OR REPLACE FUNCTION pgbridge.identity_full(relation oid) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT bool_and(c.relreplident = 'f') FROM pg_class c
    WHERE c.oid = $1 OR c.oid IN (SELECT relid FROM pg_partition_tree($1))
$$;

-- Whether this transaction wrote a row of the catalogue, given its xmin. Also true of
-- some rows that another transaction has written since this one began.
CREATE OR REPLACE FUNCTION pgbridge.is_recent(row_xmin xid) RETURNS boolean
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT age(row_xmin) <= age(pg_current_xact_id()::xid)
$$;

-- The table under whose name the rows of a table are published.
CREATE OR REPLACE FUNCTION pgbridge.root_of(relation oid) RETURNS oid
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(CASE WHEN c.relispartition THEN pg_partition_root(c.oid)::oid END, c.oid)
    FROM pg_class c
    WHERE c.oid = $1
$$;
