-- Code of users that runs when somebody else writes rows. The server evaluates it as whoever
-- writes, or only plans to write: constant parts of an index expression run while a statement
-- is planned. Tables without such code are written by the role of the session itself.
-- In doubt there is code of a user.

-- Whether a function, called in an expression, runs nothing but code of the server or of an
-- extension. It must belong to a superuser: who owns an extension can add functions to it.
-- Some functions of the server take a query or the name of a type, and are not immutable;
-- those that are stable are trusted only where they deal with dates and times.
CREATE OR REPLACE FUNCTION pgbridge.trusted_function(function oid) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pg_proc p JOIN pg_roles o ON o.oid = p.proowner
        WHERE p.oid = $1 AND o.rolsuper AND CASE
            WHEN p.oid < 16384 AND p.provolatile = 's' THEN
                (p.prorettype || p.proargtypes::oid[]) && time.types
                AND (p.prorettype || p.proargtypes::oid[]) <@ (time.types || plain.types)
            WHEN p.oid < 16384 THEN p.provolatile = 'i'
            ELSE p.provolatile = 'i' AND pgbridge.of_extension('pg_proc'::regclass, p.oid) END)
    FROM (SELECT ARRAY['timestamptz', 'timestamp', 'date', 'time', 'timetz',
            'interval']::regtype[]::oid[]) AS time(types),
        (SELECT ARRAY['text', 'bool', 'int4', 'float8']::regtype[]::oid[]) AS plain(types)
$$;

-- Whether an object is a member of an extension.
CREATE OR REPLACE FUNCTION pgbridge.of_extension(class oid, object oid) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM pg_depend d WHERE d.classid = $1 AND d.objid = $2 AND d.deptype = 'e')
$$;

-- Whether a function of a type (input, output and the like) is the server's, or that of an
-- extension in C.
CREATE OR REPLACE FUNCTION pgbridge.trusted_support(function oid) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT $1 < 16384 OR EXISTS (
        SELECT FROM pg_proc p JOIN pg_roles o ON o.oid = p.proowner JOIN pg_language l ON l.oid = p.prolang
        WHERE p.oid = $1 AND o.rolsuper AND l.lanname IN ('c', 'internal')
            AND pgbridge.of_extension('pg_proc'::regclass, p.oid))
$$;

-- What an expression, in the server's stored form, calls that is not trusted: functions, or 0
-- for a part that is not known here.
CREATE OR REPLACE FUNCTION pgbridge.expression_code(tree text) RETURNS SETOF oid
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT f.oid FROM (
        SELECT m[1]::oid FROM regexp_matches(tree, ':(?:funcid|opfuncid) ([0-9]+)', 'g') AS m
        UNION
        SELECT o.oprcode::oid
        FROM regexp_matches(tree, ':opno ([0-9]+)', 'g') AS m JOIN pg_operator o ON o.oid = m[1]::oid
        UNION
        SELECT o.oprcode::oid FROM regexp_matches(tree, ':opnos \(o ([0-9 ]+)\)', 'g') AS m
            CROSS JOIN LATERAL unnest(string_to_array(m[1], ' ')) AS u(opno) JOIN pg_operator o ON o.oid = u.opno::oid
    ) AS f(oid)
    WHERE f.oid <> 0 AND NOT pgbridge.trusted_function(f.oid)
    UNION
    -- From 9 on: CURRENT_ROLE, CURRENT_USER, USER, SESSION_USER and what depends on the session.
    SELECT 0::oid FROM regexp_matches(tree, '\{SQLVALUEFUNCTION :op ([0-9]+)', 'g') AS m WHERE m[1]::int >= 9
    UNION
    SELECT 0::oid FROM regexp_matches(tree, '\{([A-Z0-9_]+)', 'g') AS m
    WHERE m[1] <> ALL (ARRAY['VAR', 'CONST', 'OPEXPR', 'FUNCEXPR', 'BOOLEXPR', 'NULLTEST', 'BOOLEANTEST',
        'SCALARARRAYOPEXPR', 'ARRAY', 'ARRAYEXPR', 'RELABELTYPE', 'COERCEVIAIO', 'CASE', 'CASEEXPR', 'WHEN',
        'CASEWHEN', 'CASETESTEXPR', 'COALESCE', 'COALESCEEXPR', 'DISTINCTEXPR', 'NULLIFEXPR', 'MINMAX', 'MINMAXEXPR',
        'SQLVALUEFUNCTION', 'COERCETODOMAIN', 'COERCETODOMAINVALUE', 'ARRAYCOERCEEXPR', 'COLLATE', 'COLLATEEXPR',
        'SUBSCRIPTINGREF', 'ROW', 'ROWEXPR',
        'FIELDSELECT', 'ROWCOMPARE', 'ROWCOMPAREEXPR', 'PARTITIONBOUNDSPEC', 'PARTITIONRANGEDATUM']);
END $$;

-- The types that an expression mentions, without those of the server.
CREATE OR REPLACE FUNCTION pgbridge.expression_types(tree text) RETURNS SETOF oid
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT DISTINCT m[1]::oid FROM regexp_matches($1, ':\w*type(?:id|Id)? ([0-9]+)', 'g') AS m WHERE m[1]::oid >= 16384
$$;

-- Code of users in types, in what they are made of, and in what their checks mention: a word
-- for what it is, and the function (0: not known).
CREATE OR REPLACE FUNCTION pgbridge.type_code(types oid[]) RETURNS TABLE (what text, function oid)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH RECURSIVE part(oid) AS (
        SELECT u.oid FROM unnest(types) AS u(oid) WHERE u.oid >= 16384
        UNION
        SELECT n.oid
        FROM part JOIN pg_type t ON t.oid = part.oid CROSS JOIN LATERAL (
            SELECT t.typbasetype
            UNION ALL SELECT t.typelem
            UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)
            UNION ALL SELECT r.rngtypid FROM pg_range r WHERE t.oid = r.rngmultitypid
            UNION ALL SELECT a.atttypid FROM pg_attribute a
                WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
            UNION ALL SELECT pgbridge.expression_types(c.conbin::text) FROM pg_constraint c WHERE c.contypid = t.oid
        ) AS n(oid)
        WHERE n.oid >= 16384),
    own AS (SELECT t.* FROM part JOIN pg_type t ON t.oid = part.oid)
    SELECT 'domain check', f.oid
    FROM own JOIN pg_constraint c ON c.contypid = own.oid
        CROSS JOIN LATERAL pgbridge.expression_code(c.conbin::text) AS f(oid)
    UNION ALL
    SELECT 'type', f.oid
    FROM own CROSS JOIN LATERAL (
        SELECT unnest(ARRAY[own.typinput, own.typoutput, own.typreceive, own.typsend, own.typmodin,
            own.typmodout]::oid[])
        UNION ALL SELECT unnest(ARRAY[r.rngcanonical, r.rngsubdiff]::oid[]) FROM pg_range r WHERE r.rngtypid = own.oid
    ) AS f(oid)
    WHERE NOT pgbridge.trusted_support(f.oid)
    UNION ALL
    SELECT 'operator class', 0
    FROM own JOIN pg_range r ON r.rngtypid = own.oid WHERE NOT pgbridge.trusted_opclass(r.rngsubopc)
    UNION ALL
    SELECT 'operator class', 0
    FROM own JOIN pg_opclass c ON c.opcintype = own.oid WHERE c.opcdefault AND NOT pgbridge.trusted_opclass(c.oid)
    UNION ALL
    SELECT 'cast', c.castfunc
    FROM pg_cast c
    WHERE c.castfunc >= 16384 AND NOT pgbridge.trusted_support(c.castfunc)
        AND (c.castcontext <> 'e' OR c.castsource = 'text'::regtype)
        AND EXISTS (SELECT FROM own
            WHERE c.castsource IN (own.oid, own.typarray) OR c.casttarget IN (own.oid, own.typarray));
END $$;

-- Whether an operator class is the server's or an extension's. Only superusers make them.
CREATE OR REPLACE FUNCTION pgbridge.trusted_opclass(class oid) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT $1 < 16384 OR EXISTS (
        SELECT FROM pg_opclass c JOIN pg_roles o ON o.oid = c.opcowner
        WHERE c.oid = $1 AND o.rolsuper AND pgbridge.of_extension('pg_opclass'::regclass, c.oid))
$$;

-- Code of users that runs when rows of a table, or of its partitions, are written under
-- session_replication_role = replica: a word for what it is, and the function (0: not known).
-- Where omitted is set it runs only if that column is given no value. Policies are not in it:
-- they do not hold for the role of the session.
CREATE OR REPLACE FUNCTION pgbridge.user_code(relation oid) RETURNS TABLE (what text, function oid, omitted name)
LANGUAGE plpgsql STABLE SECURITY DEFINER -- who may call it need not be granted what it calls
SET search_path = pg_catalog, pg_temp SET jit = off
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH tree(oid) AS (
        SELECT relation
        UNION SELECT relid FROM pg_partition_tree(relation)
        UNION SELECT relid FROM pg_partition_ancestors(relation)),
    part AS (SELECT c.* FROM tree JOIN pg_class c ON c.oid = tree.oid),
    expression(what, tree, omitted) AS (
        SELECT 'check', c.conbin::text, NULL::name
        FROM part JOIN pg_constraint c ON c.conrelid = part.oid WHERE c.conbin IS NOT NULL
        UNION ALL
        SELECT CASE a.attgenerated WHEN '' THEN 'default' ELSE 'generated column' END, d.adbin::text,
            CASE a.attgenerated WHEN '' THEN a.attname END
        FROM part JOIN pg_attrdef d ON d.adrelid = part.oid
            JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
        UNION ALL
        SELECT 'default', t.typdefaultbin::text, a.attname
        FROM part JOIN pg_attribute a ON a.attrelid = part.oid JOIN pg_type t ON t.oid = a.atttypid
        WHERE a.attnum > 0 AND NOT a.attisdropped AND t.typdefaultbin IS NOT NULL
        UNION ALL
        SELECT 'index', e.tree, NULL
        FROM part JOIN pg_index i ON i.indrelid = part.oid
            CROSS JOIN LATERAL (VALUES (i.indexprs::text), (i.indpred::text)) AS e(tree) WHERE e.tree IS NOT NULL
        UNION ALL
        SELECT 'statistics', s.stxexprs::text, NULL
        FROM part JOIN pg_statistic_ext s ON s.stxrelid = part.oid WHERE s.stxexprs IS NOT NULL
        UNION ALL
        SELECT 'partition key', k.partexprs::text, NULL
        FROM part JOIN pg_partitioned_table k ON k.partrelid = part.oid WHERE k.partexprs IS NOT NULL
        UNION ALL
        SELECT 'partition bound', part.relpartbound::text, NULL FROM part WHERE part.relpartbound IS NOT NULL)
    SELECT e.what, f.oid, e.omitted FROM expression e CROSS JOIN LATERAL pgbridge.expression_code(e.tree) AS f(oid)
    UNION ALL
    SELECT c.what, c.function, e.omitted
    FROM expression e CROSS JOIN LATERAL pgbridge.type_code(ARRAY(SELECT pgbridge.expression_types(e.tree))) AS c
    UNION ALL
    SELECT c.what, c.function, NULL
    FROM pgbridge.type_code(ARRAY(SELECT DISTINCT a.atttypid FROM part JOIN pg_attribute a ON a.attrelid = part.oid
        WHERE a.attnum > 0 AND NOT a.attisdropped)) AS c
    UNION ALL
    SELECT 'trigger', t.tgfoid, NULL
    FROM part JOIN pg_trigger t ON t.tgrelid = part.oid WHERE NOT t.tgisinternal AND t.tgenabled IN ('A', 'R')
    UNION ALL
    SELECT CASE r.ev_type WHEN '3' THEN 'insert rule' ELSE 'rule' END, 0, NULL
    FROM part JOIN pg_rewrite r ON r.ev_class = part.oid
    WHERE r.ev_enabled IN ('A', 'R') AND part.relkind IN ('r', 'p')
    UNION ALL
    SELECT 'operator class', 0, NULL
    FROM part JOIN pg_index i ON i.indrelid = part.oid CROSS JOIN LATERAL unnest(i.indclass::oid[]) AS u(class)
    WHERE NOT pgbridge.trusted_opclass(u.class)
    UNION ALL
    SELECT 'operator class', 0, NULL
    FROM part JOIN pg_partitioned_table k ON k.partrelid = part.oid
        CROSS JOIN LATERAL unnest(k.partclass::oid[]) AS u(class)
    WHERE NOT pgbridge.trusted_opclass(u.class)
    UNION ALL
    SELECT 'foreign table', 0, NULL FROM part WHERE part.relkind = 'f';
END $$;

-- What code of users the server may run while it plans a query on a table, as whoever asks: it
-- evaluates constant parts of expressions of indexes, statistics, partition keys and checks.
-- NULL where there is none. Such a table is read by COPY of the table, which plans nothing, or
-- as its owner.
CREATE OR REPLACE FUNCTION pgbridge.planned_code(relation oid) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT string_agg(DISTINCT u.what, ', ') FROM pgbridge.user_code($1) AS u
    WHERE u.omitted IS NULL AND u.what <> ALL (ARRAY['trigger', 'rule', 'insert rule', 'foreign table'])
$$;
