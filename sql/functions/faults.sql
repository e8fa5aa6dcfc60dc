-- Faults of actions. An error prevents a function from being an action; a warning says
-- that its replay may differ. Each fault has the text of its fix.

CREATE OR REPLACE FUNCTION pgbridge.function_faults(function oid)
RETURNS TABLE (severity text, problem text, fix text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT f.severity, f.problem, f.fix
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
        JOIN pg_type r ON r.oid = p.prorettype
        CROSS JOIN LATERAL (
            SELECT p.oid::regprocedure::text AS self, CASE WHEN l.lanname NOT IN ('c', 'internal') THEN
                regexp_replace(regexp_replace(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc),
                    '/\*.*?\*/', ' ', 'g'), '--[^\n\r]*', ' ', 'g') END AS body) AS b
        CROSS JOIN LATERAL (
            SELECT string_agg(coalesce(quote_ident(g.rolname), 'PUBLIC'), ', ' ORDER BY g.rolname NULLS FIRST) AS roles
            FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
                LEFT JOIN pg_roles g ON g.oid = a.grantee
            WHERE a.privilege_type = 'EXECUTE' AND a.grantee <> p.proowner
                AND NOT coalesce(g.rolsuper, false)) AS held
        CROSS JOIN LATERAL (
            SELECT string_agg(DISTINCT lower(m[1]), ', ' ORDER BY lower(m[1])) AS calls
            FROM regexp_matches(b.body,
                '\m((?:now|random|random_normal|nextval|currval|lastval|setval|gen_random_uuid|gen_random_bytes'
                '|gen_salt|uuidv4|uuidv7|uuid_generate_v1|uuid_generate_v1mc|uuid_generate_v4|new_id'
                '|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|txid_current'
                '|pg_current_xact_id|pg_backend_pid|inet_client_addr|inet_client_port|current_setting'
                '|current_query|version)(?=\s*\()'
                '|current_user|session_user|current_role|current_catalog|current_schema|current_timestamp'
                '|current_time|current_date|localtimestamp|localtime)\M', 'gi') AS m) AS volatile
        CROSS JOIN LATERAL (VALUES
            (p.prokind <> 'f', 'error',
                'it is ' || CASE p.prokind WHEN 'p' THEN 'a procedure' WHEN 'a' THEN 'an aggregate'
                    ELSE 'a window function' END,
                'make it a function: CREATE FUNCTION ... RETURNS void'),
            (n.nspname = 'pgbridge' OR n.nspname = 'information_schema' OR n.nspname LIKE 'pg\_%', 'error',
                'schema ' || n.nspname || ' is not part of the application',
                'CREATE FUNCTION it in a schema of your own'),
            (p.proretset, 'error', 'it returns a set',
                format('DROP FUNCTION %s; CREATE FUNCTION it to return one value, or void', self)),
            (p.proargmodes IS NOT NULL, 'error', 'it has OUT, INOUT, TABLE or VARIADIC parameters',
                format('DROP FUNCTION %s; CREATE FUNCTION it with IN parameters only and one result;'
                    ' an array does for VARIADIC', self)),
            (EXISTS (SELECT FROM pgbridge.parameters(p.oid) a WHERE a.name = ''), 'error',
                'a parameter has no name',
                format('DROP FUNCTION %s; CREATE FUNCTION it with a name for each parameter', self)),
            (EXISTS (SELECT FROM pgbridge.parameters(p.oid) a JOIN pg_type t ON t.oid = a.type WHERE t.typtype = 'p'),
                'error', 'a parameter has a polymorphic or pseudo type',
                format('DROP FUNCTION %s; CREATE FUNCTION it with one concrete type for each parameter', self)),
            (r.typtype = 'p' AND r.typname <> 'void', 'error',
                'it returns ' || r.typname || ', which is no concrete type',
                format('DROP FUNCTION %s; CREATE FUNCTION it to return one concrete type, or void', self)),
            (p.provolatile <> 'v', 'error', 'it is not VOLATILE: it cannot write,'
                ' and the server may run it at another time than it is called',
                format('ALTER FUNCTION %s VOLATILE', self)),
            (octet_length(pgbridge.action_name(p.oid)) > 58, 'error',
                'its name with the schema is longer than 58 bytes',
                format('ALTER FUNCTION %s RENAME TO a shorter name', self)),
            (held.roles IS NOT NULL, 'error', 'others than its owner may execute it: ' || held.roles,
                CASE WHEN p.prosecdef THEN 'register the owner-only function that it calls; or ' ELSE '' END
                || format('REVOKE EXECUTE ON FUNCTION %s FROM %s', self, held.roles)),
            (volatile.calls IS NOT NULL, 'warning', 'it uses ' || volatile.calls || ': a replay gets another value',
                'take the value as a parameter, and let the public function find it out'),
            (l.lanname = 'plpgsql' AND b.body ~* '\mexception\s+when\M', 'warning',
                'it catches exceptions: which way it takes may differ in a replay,'
                ' and writes that were undone are counted',
                'check before writing instead, or use INSERT ... ON CONFLICT'),
            (p.prosqlbody IS NULL AND l.lanname NOT IN ('c', 'internal')
                    AND NOT coalesce(array_to_string(p.proconfig, ',') LIKE '%search_path=%', false), 'warning',
                'it has no search_path of its own: a replay may find other objects',
                format('ALTER FUNCTION %s SET search_path = %I, pg_temp', self, n.nspname))
        ) AS f(holds, severity, problem, fix)
    WHERE p.oid = $1 AND f.holds
$$;

CREATE OR REPLACE FUNCTION pgbridge.rule_faults(function oid, rule json)
RETURNS TABLE (severity text, problem text, fix text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    op    text := rule ->> 'operation';
    rel   oid := to_regclass(rule ->> 'table');
    keys  text[] := pgbridge.key_columns(rel);
    whole boolean := pgbridge.identity_full(rel);
    mend  text := format('ALTER TABLE %s REPLICA IDENTITY FULL', rel::regclass);
    again text := format('SELECT pgbridge.drop_action(%L), then register and map it again',
        pgbridge.action_name(function));
    pub   name;
BEGIN
    IF rel IS NULL THEN
        RETURN QUERY SELECT 'error', format('table %s is gone', rule ->> 'table'), again;
        RETURN;
    END IF;
    SELECT publication INTO pub FROM pgbridge.database;
    RETURN QUERY
    WITH col AS (
        SELECT a.attname::text AS name, a.atttypid AS type, a.attgenerated <> '' AS generated,
            a.attidentity <> '' OR EXISTS (
                SELECT FROM pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum
                    AND pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%') AS sequence
        FROM pg_attribute a WHERE a.attrelid = rel AND a.attnum > 0 AND NOT a.attisdropped
    ), take AS ( -- which column each parameter takes
        SELECT e.key AS param, e.value LIKE 'old.%' AS old, regexp_replace(e.value, '^old\.', '') AS name
        FROM json_each_text(rule -> 'from') e
    ), named AS ( -- every column that the rule names
        SELECT name FROM take
        UNION
        SELECT json_array_elements_text(rule -> 'derived')
        UNION
        SELECT json_array_elements_text(CASE json_typeof(rule -> 'changed') WHEN 'array' THEN rule -> 'changed' END)
    ), carried AS (
        SELECT name FROM take WHERE NOT old
        UNION
        SELECT json_array_elements_text(rule -> 'derived')
    )
    SELECT f.severity, f.problem, f.fix FROM (
        SELECT 1, 'error', 'it is not an ordinary table', 'map a table'
            FROM pg_class WHERE oid = rel AND (relkind NOT IN ('r', 'p') OR relpersistence <> 'p'
                OR relnamespace = 'pg_catalog'::regnamespace OR relnamespace = 'pgbridge'::regnamespace)
        UNION ALL
        SELECT 1, 'error', 'it is a partition, and the stream has its rows under ' || pg_partition_root(rel)::text,
                'map ' || pg_partition_root(rel)::text
            FROM pg_class WHERE oid = rel AND relispartition
        UNION ALL
        SELECT 2, 'error', format('it has no column %I', name),
                'correct columns, params or derived; or ALTER TABLE ... ADD COLUMN'
            FROM named WHERE name NOT IN (SELECT name FROM col)
        UNION ALL
        SELECT 2, 'error', format('column %I is generated: the stream does not have it', name),
                'leave it out of columns, params and derived'
            FROM col WHERE generated AND name IN (SELECT name FROM named)
        UNION ALL
        SELECT 3, 'error', format('parameter %I takes no column', p.name),
                'name its column in params, or give it a default'
            FROM pgbridge.parameters(function) p
            WHERE NOT p.optional AND p.name NOT IN (SELECT param FROM take)
        UNION ALL
        SELECT 3, 'error', format('parameters %s take the same value',
                string_agg(quote_ident(param), ', ' ORDER BY param)), 'one is enough'
            FROM take GROUP BY old, name HAVING count(*) > 1
        UNION ALL
        SELECT 3, 'error', format('parameter %I is of type %s, column %I of type %s', p.name,
                format_type(p.type, NULL), col.name, format_type(col.type, NULL)),
                format('make the parameter a %s', format_type(col.type, NULL))
            FROM take JOIN pgbridge.parameters(function) p ON p.name = take.param
                JOIN col ON col.name = take.name
            WHERE NOT pgbridge.fits(col.type, p.type)
        UNION ALL
        SELECT 4, 'error', 'only an update can be of certain columns', 'leave out columns'
            WHERE op <> 'update' AND json_typeof(rule -> 'changed') = 'array'
        UNION ALL
        SELECT 4, 'error', 'which columns an update changed is known only under REPLICA IDENTITY FULL', mend
            WHERE op = 'update' AND json_typeof(rule -> 'changed') = 'array' AND NOT whole
        UNION ALL
        SELECT 4, 'error', format('column %I is in columns, but no parameter carries it and it is not derived:'
                ' the rule would never be used', name), 'name it in params or in derived'
            FROM json_array_elements_text(
                CASE json_typeof(rule -> 'changed') WHEN 'array' THEN rule -> 'changed' END) AS c(name)
            WHERE name NOT IN (SELECT name FROM carried)
        UNION ALL
        SELECT 5, 'error', 'it has no replica identity: the stream cannot name a row',
                'give it a primary key, or ' || mend
            WHERE op <> 'insert' AND keys = '{}' AND NOT whole
        UNION ALL
        SELECT 5, 'error', format('an insert has no old value of %I', name), 'name the column without old.'
            FROM take WHERE old AND op = 'insert'
        UNION ALL
        SELECT 5, 'error', format('the old value of %I is in the stream only under REPLICA IDENTITY FULL', name), mend
            FROM take WHERE old AND op <> 'insert' AND NOT whole AND name <> ALL (keys)
        UNION ALL
        SELECT 5, 'error', format('no parameter takes the key column %I: a replay would not find the row', name),
                format('map a parameter to old.%s', name)
            FROM unnest(keys) AS k(name)
            WHERE op <> 'insert' AND name NOT IN (SELECT name FROM take WHERE old OR op = 'update')
        UNION ALL
        SELECT 6, 'error', format('publication %I does not have it: the stream has no change of it', pub),
                'name it at pgbridge init (--table), or leave that out for all tables'
            FROM pg_publication p WHERE p.pubname = pub AND NOT p.puballtables
                AND NOT EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = rel)
        UNION ALL
        SELECT 6, 'warning', 'there is no publication yet: it must be among the tables of pgbridge init',
                'pgbridge init'
            WHERE NOT EXISTS (SELECT FROM pg_publication p WHERE p.pubname = pub)
        UNION ALL
        SELECT 7, 'warning', format('no parameter carries column %I and it is not derived:'
                ' the rule is never used', col.name), 'name it in params or in derived'
            FROM col
            WHERE (op = 'insert' OR op = 'update' AND NOT whole AND json_typeof(rule -> 'changed') = 'null')
                AND NOT col.generated AND col.name NOT IN (SELECT name FROM carried)
                AND col.name NOT IN (SELECT name FROM take)
        UNION ALL
        SELECT 7, 'warning', format('key column %I comes from a sequence:'
                ' two databases would give the same numbers', col.name),
                format('pass the key as a parameter, from pgbridge.new_id();'
                    ' ALTER TABLE %s ALTER COLUMN %I DROP DEFAULT', rel::regclass, col.name)
            FROM col WHERE col.sequence AND col.name = ANY (keys)
    ) AS f(rank, severity, problem, fix) ORDER BY f.rank, f.problem;
END $$;

-- Reports a fault. An error ends the statement.
CREATE OR REPLACE FUNCTION pgbridge.say(subject text, severity text, problem text, fix text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF severity = 'error' THEN
        RAISE EXCEPTION USING MESSAGE = concat(subject, ': ', problem), HINT = fix,
            ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RAISE WARNING USING MESSAGE = concat(subject, ': ', problem), HINT = fix;
END $$;

CREATE OR REPLACE FUNCTION pgbridge.action_faults(action pgbridge.action)
RETURNS TABLE (severity text, problem text, fix text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    f oid := pgbridge.find_function(action.function);
BEGIN
    IF f IS NULL THEN
        RETURN QUERY SELECT 'error', format('function %s is gone, or has other parameters now', action.function),
            format('SELECT pgbridge.drop_action(%L), and register the function that there is', action.name);
        RETURN;
    END IF;
    IF ARRAY(SELECT p ->> 'name' FROM json_array_elements(action.definition -> 'params') AS p)
            <> ARRAY(SELECT name FROM pgbridge.parameters(f) ORDER BY i) THEN
        RETURN QUERY SELECT 'error', 'the parameters of its function have other names now',
            format('SELECT pgbridge.drop_action(%L), then register and map it again', action.name);
        RETURN;
    END IF;
    RETURN QUERY
        SELECT 'error', format('what pgbridge.call runs is gone: %s', made),
            format('SELECT pgbridge.register_action(%L)', action.function)
        FROM unnest(pgbridge.generated(action.name)) AS made
        WHERE action.statement IS NOT NULL AND NOT EXISTS (
            SELECT FROM pg_proc WHERE pronamespace = 'pgbridge'::regnamespace AND proname = made);
    RETURN QUERY SELECT * FROM pgbridge.function_faults(f);
    RETURN QUERY
        SELECT r.severity, format('%s on %s: %s', rule ->> 'operation', rule ->> 'table', r.problem), r.fix
        FROM json_array_elements(action.definition -> 'rules') AS rule
            CROSS JOIN LATERAL pgbridge.rule_faults(f, rule) AS r
        WHERE NOT EXISTS (SELECT FROM pgbridge.database WHERE role = 'follower'); -- rules name changes at the origin
END $$;
