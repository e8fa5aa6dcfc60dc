-- Named actions: functions that only their owner may execute, whose calls the
-- stream carries by name and parameters. Nothing in here is for PUBLIC: whoever
-- owns a registered function may call it through pgbridge.call, the owner of
-- this schema may register.

-- What makes a mark in the WAL count: any role can emit a logical message. One row.
CREATE TABLE pgbridge.secret (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    secret   text NOT NULL CHECK (length(secret) >= 64)
);
INSERT INTO pgbridge.secret (secret) SELECT replace(concat(gen_random_uuid(), gen_random_uuid(), gen_random_uuid()), '-', '');

-- The actions as defined here, or at the writer that this database follows.
CREATE TABLE pgbridge.action (
    name       text COLLATE "C" PRIMARY KEY, -- as records write it: app.create_post_owner
    function   text NOT NULL,                -- app.create_post_owner(uuid,text)
    definition json NOT NULL,                -- exactly the text that the stream has
    statement  text,                         -- what pgbridge.call runs; none where the function is not here
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

ALTER TABLE pgbridge.chain
    ADD COLUMN definitions jsonb NOT NULL DEFAULT '{}', -- in force at end_lsn: action -> definition
    ADD COLUMN forged bigint NOT NULL DEFAULT 0;        -- marks that did not count

-- Marks. A mark is a transactional logical message: a token, a letter, and a
-- payload in JSON:
--   c ["app.f",["param",…],["text",null,…]]: a call of the action begins; e: it ends
--   d ["app.f",{…}]: the action is defined so from here on; null: dropped
--   k ["7","digest"]: checkpoint 7 was made
-- The token is a hash of the secret, the transaction and the letter, with the name
-- of the action for c; e has that of its c. So the secret itself is never in the
-- WAL, and a token is of no use in another transaction, for another kind of mark,
-- or for another action.

-- A mark of any kind but a call: what it says is executed, or believed, by peers.
-- Only for the owner of this schema. For calls each action has a function of its
-- own (marking_sql).
CREATE FUNCTION pgbridge.write_mark(letter text, payload text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    token text;
BEGIN
    SELECT concat(s.secret, ':', pg_current_xact_id()::xid, ':', letter) INTO STRICT token FROM pgbridge.secret AS s;
    token := encode(sha256(convert_to(token, 'UTF8')), 'hex');
    PERFORM pg_logical_emit_message(true, 'pgbridge', convert_to(concat(token, letter, payload), 'UTF8'));
END $$;

-- Ends the call that began with this token.
CREATE FUNCTION pgbridge.end_mark(token text) RETURNS pg_lsn LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    RETURN pg_catalog.pg_logical_emit_message(true, 'pgbridge', pg_catalog.concat(token, 'e'));
END $$;

-- The text of a value as the stream has it, whatever the settings of the session.
-- The settings are those of pgbridge's own sessions.
CREATE FUNCTION pgbridge.printed(value anyelement) RETURNS text LANGUAGE plpgsql STRICT
    SET datestyle = 'ISO,YMD' SET intervalstyle = 'postgres' SET timezone = 'UTC' SET extra_float_digits = 3 SET bytea_output = 'hex'
    SET xmlbinary = 'base64' SET lc_monetary = 'C' SET search_path = '' SET quote_all_identifiers = off AS $$
BEGIN
    RETURN pg_catalog.format('%s', value);
END $$;

-- The most usual of them, with no more settings than it needs: each costs.
CREATE FUNCTION pgbridge.printed_time(value timestamptz) RETURNS text LANGUAGE plpgsql STRICT SET datestyle = 'ISO,YMD' SET timezone = 'UTC' AS $$
BEGIN
    RETURN value;
END $$;

-- A UUIDv7 (RFC 9562): milliseconds, then random bits.
CREATE FUNCTION pgbridge.new_id() RETURNS uuid LANGUAGE sql
    RETURN encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send(floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid;

-- Names and types.

-- A name as records write it, not for use in SQL text.
CREATE FUNCTION pgbridge.name_of(schema text, name text) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS $$
    SELECT string_agg(CASE WHEN part COLLATE "C" ~ '^[a-z_][a-z0-9_]*$' THEN part ELSE '"' || replace(part, '"', '""') || '"' END, '.' ORDER BY i)
    FROM unnest(ARRAY[$1, $2]) WITH ORDINALITY AS u(part, i)
$$;

-- A type for use in SQL text under any search_path.
CREATE FUNCTION pgbridge.type_sql(type oid) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT format('%I.%I', n.nspname, t.typname) FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid = $1
$$;

CREATE FUNCTION pgbridge.base_type(type oid) RETURNS oid LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    WITH RECURSIVE b(oid, base) AS (
        SELECT t.oid, t.typbasetype FROM pg_type t WHERE t.oid = $1
        UNION ALL SELECT t.oid, t.typbasetype FROM b JOIN pg_type t ON t.oid = b.base)
    SELECT oid FROM b WHERE base = 0
$$;

-- Whether values of a type print the same under all settings of a session. A
-- type that is not known to is taken not to.
CREATE FUNCTION pgbridge.plain_type(type oid) RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    WITH RECURSIVE part(oid) AS (
        SELECT $1
        UNION SELECT n.oid FROM part JOIN pg_type t ON t.oid = part.oid CROSS JOIN LATERAL (
            SELECT t.typbasetype WHERE t.typtype = 'd'
            UNION ALL SELECT t.typelem WHERE t.typoutput = 'array_out'::regproc
            UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)
            UNION ALL SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS n(oid))
    SELECT bool_and(t.typtype IN ('d', 'e', 'c', 'r', 'm') OR t.typoutput = 'array_out'::regproc OR t.oid = ANY (ARRAY[
        'bool', '"char"', 'int2', 'int4', 'int8', 'numeric', 'oid', 'text', 'varchar', 'bpchar', 'name', 'uuid', 'json', 'jsonb', 'inet', 'cidr',
        'macaddr', 'macaddr8', 'bit', 'varbit', 'pg_lsn', 'tsvector', 'tsquery']::regtype[]))
    FROM part JOIN pg_type t ON t.oid = part.oid
$$;

-- Whether the text of values of one type can be read as the other.
CREATE FUNCTION pgbridge.fits(have oid, want oid) RETURNS boolean LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
DECLARE
    source pg_type;
    target pg_type;
BEGIN
    SELECT * INTO source FROM pg_type WHERE oid = pgbridge.base_type(have);
    SELECT * INTO target FROM pg_type WHERE oid = pgbridge.base_type(want);
    RETURN source.oid = target.oid
        OR EXISTS (SELECT FROM pg_cast c WHERE c.castsource = source.oid AND c.casttarget = target.oid
            AND (c.castcontext = 'i' OR c.castmethod = 'b' AND c.castcontext = 'a'))
        OR source.typoutput = 'array_out'::regproc AND target.typoutput = 'array_out'::regproc AND pgbridge.fits(source.typelem, target.typelem);
END $$;

CREATE FUNCTION pgbridge.action_name(function oid) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT pgbridge.name_of(n.nspname, p.proname) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.oid = $1
$$;

CREATE FUNCTION pgbridge.table_name(relation oid) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT pgbridge.name_of(n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = $1
$$;

CREATE FUNCTION pgbridge.parameters(function oid) RETURNS TABLE (i integer, name text, type oid, optional boolean)
    LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT a.i::int, coalesce(p.proargnames[a.i], ''), a.type, a.i > p.pronargs - p.pronargdefaults
    FROM pg_proc p CROSS JOIN LATERAL unnest(p.proargtypes) WITH ORDINALITY AS a(type, i) WHERE p.oid = $1
$$;

CREATE FUNCTION pgbridge.signature(function oid) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT format('%s(%s)', pgbridge.action_name($1), string_agg(format_type(type, NULL), ',' ORDER BY i)) FROM pgbridge.parameters($1)
$$;

-- The function with this signature, if there still is one. The server's own
-- search is an error where a type is gone.
CREATE FUNCTION pgbridge.find_function(signature text) RETURNS oid LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
BEGIN
    RETURN to_regprocedure(signature)::oid;
EXCEPTION WHEN undefined_object OR invalid_schema_name THEN
    RETURN NULL;
END $$;

-- The columns by which the stream finds a row.
CREATE FUNCTION pgbridge.key_columns(relation oid) RETURNS text[] LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT coalesce(array_agg(a.attname::text ORDER BY k.i), '{}')
    FROM pg_class c JOIN pg_index x ON x.indrelid = c.oid CROSS JOIN LATERAL unnest(x.indkey) WITH ORDINALITY AS k(attnum, i)
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
    WHERE c.oid = $1 AND x.indisvalid AND x.indimmediate AND k.i <= x.indnkeyatts
        AND CASE c.relreplident WHEN 'i' THEN x.indisreplident WHEN 'n' THEN false ELSE x.indisprimary END
$$;

-- Whether the stream has the whole old row: of a partitioned table, in every partition.
CREATE FUNCTION pgbridge.identity_full(relation oid) RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT bool_and(c.relreplident = 'f') FROM pg_class c WHERE c.oid = $1 OR c.oid IN (SELECT relid FROM pg_partition_tree($1))
$$;

-- Faults: what keeps a function from being an action (error), or what may make
-- its replay differ (warning), each with what mends it.

CREATE FUNCTION pgbridge.function_faults(function oid) RETURNS TABLE (severity text, problem text, fix text)
    LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT f.severity, f.problem, f.fix
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang JOIN pg_type r ON r.oid = p.prorettype
        CROSS JOIN LATERAL (SELECT p.oid::regprocedure::text AS self, CASE WHEN l.lanname NOT IN ('c', 'internal') THEN
            regexp_replace(regexp_replace(coalesce(pg_get_function_sqlbody(p.oid), p.prosrc), '/\*.*?\*/', ' ', 'g'), '--[^\n]*', ' ', 'g') END AS body) AS b
        CROSS JOIN LATERAL (SELECT string_agg(coalesce(quote_ident(g.rolname), 'PUBLIC'), ', ' ORDER BY g.rolname NULLS FIRST) AS roles
            FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a LEFT JOIN pg_roles g ON g.oid = a.grantee
            WHERE a.privilege_type = 'EXECUTE' AND a.grantee <> p.proowner AND NOT coalesce(g.rolsuper, false)) AS held
        CROSS JOIN LATERAL (SELECT string_agg(DISTINCT lower(m[1]), ', ' ORDER BY lower(m[1])) AS calls FROM regexp_matches(b.body,
            '\m((?:now|random|random_normal|nextval|currval|lastval|setval|gen_random_uuid|gen_random_bytes|gen_salt|uuidv4|uuidv7|uuid_generate_v1|uuid_generate_v1mc'
            '|uuid_generate_v4|new_id|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|txid_current|pg_current_xact_id|pg_backend_pid'
            '|inet_client_addr|inet_client_port|current_setting|current_query|version)(?=\s*\()'
            '|current_user|session_user|current_role|current_catalog|current_schema|current_timestamp|current_time|current_date|localtimestamp|localtime)\M', 'gi') AS m) AS volatile
        CROSS JOIN LATERAL (VALUES
            (p.prokind <> 'f', 'error', 'it is ' || CASE p.prokind WHEN 'p' THEN 'a procedure' WHEN 'a' THEN 'an aggregate' ELSE 'a window function' END,
                'make it a function: CREATE FUNCTION … RETURNS void'),
            (n.nspname = 'pgbridge' OR n.nspname = 'information_schema' OR n.nspname LIKE 'pg\_%', 'error', 'schema ' || n.nspname || ' is not part of the application',
                'CREATE FUNCTION it in a schema of your own'),
            (p.proretset, 'error', 'it returns a set', format('DROP FUNCTION %s; CREATE FUNCTION it to return one value, or void', self)),
            (p.proargmodes IS NOT NULL, 'error', 'it has OUT, INOUT, TABLE or VARIADIC parameters',
                format('DROP FUNCTION %s; CREATE FUNCTION it with IN parameters only and one result; an array does for VARIADIC', self)),
            (EXISTS (SELECT FROM pgbridge.parameters(p.oid) a WHERE a.name = ''), 'error', 'a parameter has no name',
                format('DROP FUNCTION %s; CREATE FUNCTION it with a name for each parameter', self)),
            (EXISTS (SELECT FROM pgbridge.parameters(p.oid) a JOIN pg_type t ON t.oid = a.type WHERE t.typtype = 'p'), 'error', 'a parameter has a polymorphic or pseudo type',
                format('DROP FUNCTION %s; CREATE FUNCTION it with one concrete type for each parameter', self)),
            (r.typtype = 'p' AND r.typname <> 'void', 'error', 'it returns ' || r.typname || ', which is no concrete type',
                format('DROP FUNCTION %s; CREATE FUNCTION it to return one concrete type, or void', self)),
            (p.provolatile <> 'v', 'error', 'it is not VOLATILE: it cannot write, and the server may run it at another time than it is called',
                format('ALTER FUNCTION %s VOLATILE', self)),
            (octet_length(pgbridge.action_name(p.oid)) > 58, 'error', 'its name with the schema is longer than 58 bytes', format('ALTER FUNCTION %s RENAME TO a shorter name', self)),
            (held.roles IS NOT NULL, 'error', 'others than its owner may execute it: ' || held.roles, CASE WHEN p.prosecdef THEN 'register the owner-only function that it calls; or ' ELSE '' END
                || format('REVOKE EXECUTE ON FUNCTION %s FROM %s', self, held.roles)),
            (volatile.calls IS NOT NULL, 'warning', 'it uses ' || volatile.calls || ': a replay gets another value',
                'take the value as a parameter, and let the public function find it out'),
            (l.lanname = 'plpgsql' AND b.body ~* '\mexception\s+when\M', 'warning', 'it catches exceptions: which way it takes may differ in a replay, and writes that were undone are counted',
                'check before writing instead, or use INSERT … ON CONFLICT'),
            (p.prosqlbody IS NULL AND l.lanname NOT IN ('c', 'internal') AND NOT coalesce(array_to_string(p.proconfig, ',') LIKE '%search_path=%', false), 'warning',
                'it has no search_path of its own: a replay may find other objects', format('ALTER FUNCTION %s SET search_path = %I, pg_temp', self, n.nspname))
        ) AS f(holds, severity, problem, fix)
    WHERE p.oid = $1 AND f.holds
$$;

CREATE FUNCTION pgbridge.rule_faults(function oid, rule json) RETURNS TABLE (severity text, problem text, fix text)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
#variable_conflict use_column
DECLARE
    op    text := rule ->> 'operation';
    rel   oid := to_regclass(rule ->> 'table');
    keys  text[] := pgbridge.key_columns(rel);
    whole boolean := pgbridge.identity_full(rel);
    mend  text := format('ALTER TABLE %s REPLICA IDENTITY FULL', rel::regclass);
    again text := format('SELECT pgbridge.drop_action(%L), then register and map it again', pgbridge.action_name(function));
    pub   name;
BEGIN
    IF rel IS NULL THEN
        RETURN QUERY SELECT 'error', format('table %s is gone', rule ->> 'table'), again;
        RETURN;
    END IF;
    SELECT publication INTO pub FROM pgbridge.database;
    RETURN QUERY
    WITH col AS (
        SELECT a.attname::text AS name, a.atttypid AS type, a.attgenerated <> '' AS generated, a.attidentity <> '' OR
            EXISTS (SELECT FROM pg_attrdef d WHERE d.adrelid = a.attrelid AND d.adnum = a.attnum AND pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%') AS sequence
        FROM pg_attribute a WHERE a.attrelid = rel AND a.attnum > 0 AND NOT a.attisdropped
    ), take AS ( -- what each parameter takes
        SELECT e.key AS param, e.value LIKE 'old.%' AS old, regexp_replace(e.value, '^old\.', '') AS name FROM json_each_text(rule -> 'from') e
    ), named AS ( -- every column that the rule names
        SELECT name FROM take UNION SELECT json_array_elements_text(rule -> 'derived')
        UNION SELECT json_array_elements_text(CASE json_typeof(rule -> 'changed') WHEN 'array' THEN rule -> 'changed' END)
    ), carried AS (
        SELECT name FROM take WHERE NOT old UNION SELECT json_array_elements_text(rule -> 'derived')
    )
    SELECT f.severity, f.problem, f.fix FROM (
        SELECT 1, 'error', 'it is not an ordinary table', 'map a table'
            FROM pg_class WHERE oid = rel AND (relkind NOT IN ('r', 'p') OR relpersistence <> 'p' OR relnamespace = 'pg_catalog'::regnamespace OR relnamespace = 'pgbridge'::regnamespace)
        UNION ALL SELECT 1, 'error', 'it is a partition, and the stream has its rows under ' || pg_partition_root(rel)::text, 'map ' || pg_partition_root(rel)::text
            FROM pg_class WHERE oid = rel AND relispartition
        UNION ALL SELECT 2, 'error', format('it has no column %I', name), 'correct columns, params or derived; or ALTER TABLE … ADD COLUMN'
            FROM named WHERE name NOT IN (SELECT name FROM col)
        UNION ALL SELECT 2, 'error', format('column %I is generated: the stream does not have it', name), 'leave it out of columns, params and derived'
            FROM col WHERE generated AND name IN (SELECT name FROM named)
        UNION ALL SELECT 3, 'error', format('parameter %I takes no column', p.name), 'name its column in params, or give it a default'
            FROM pgbridge.parameters(function) p WHERE NOT p.optional AND p.name NOT IN (SELECT param FROM take)
        UNION ALL SELECT 3, 'error', format('parameters %s take the same value', string_agg(quote_ident(param), ', ' ORDER BY param)), 'one is enough'
            FROM take GROUP BY old, name HAVING count(*) > 1
        UNION ALL SELECT 3, 'error', format('parameter %I is of type %s, column %I of type %s', p.name, format_type(p.type, NULL), col.name, format_type(col.type, NULL)),
                format('make the parameter a %s', format_type(col.type, NULL))
            FROM take JOIN pgbridge.parameters(function) p ON p.name = take.param JOIN col ON col.name = take.name WHERE NOT pgbridge.fits(col.type, p.type)
        UNION ALL SELECT 4, 'error', 'only an update can be of certain columns', 'leave out columns'
            WHERE op <> 'update' AND json_typeof(rule -> 'changed') = 'array'
        UNION ALL SELECT 4, 'error', 'which columns an update changed is known only under REPLICA IDENTITY FULL', mend
            WHERE op = 'update' AND json_typeof(rule -> 'changed') = 'array' AND NOT whole
        UNION ALL SELECT 4, 'error', format('column %I is in columns, but no parameter carries it and it is not derived: the rule would never be used', name),
                'name it in params or in derived'
            FROM json_array_elements_text(CASE json_typeof(rule -> 'changed') WHEN 'array' THEN rule -> 'changed' END) AS c(name) WHERE name NOT IN (SELECT name FROM carried)
        UNION ALL SELECT 5, 'error', 'it has no replica identity: the stream cannot name a row', 'give it a primary key, or ' || mend
            WHERE op <> 'insert' AND keys = '{}' AND NOT whole
        UNION ALL SELECT 5, 'error', format('an insert has no old value of %I', name), 'name the column without old.' FROM take WHERE old AND op = 'insert'
        UNION ALL SELECT 5, 'error', format('the old value of %I is in the stream only under REPLICA IDENTITY FULL', name), mend
            FROM take WHERE old AND op <> 'insert' AND NOT whole AND name <> ALL (keys)
        UNION ALL SELECT 5, 'error', format('no parameter takes the key column %I: a replay would not find the row', name), format('map a parameter to old.%s', name)
            FROM unnest(keys) AS k(name) WHERE op <> 'insert' AND name NOT IN (SELECT name FROM take WHERE old OR op = 'update')
        UNION ALL SELECT 6, 'error', format('publication %I does not have it: the stream has no change of it', pub), 'name it at pgbridge init (--table), or leave that out for all tables'
            FROM pg_publication p WHERE p.pubname = pub AND NOT p.puballtables AND NOT EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = p.oid AND r.prrelid = rel)
        UNION ALL SELECT 6, 'warning', 'there is no publication yet: it must be among the tables of pgbridge init', 'pgbridge init'
            WHERE NOT EXISTS (SELECT FROM pg_publication p WHERE p.pubname = pub)
        UNION ALL SELECT 7, 'warning', format('no parameter carries column %I and it is not derived: the rule is never used', col.name), 'name it in params or in derived'
            FROM col WHERE (op = 'insert' OR op = 'update' AND NOT whole AND json_typeof(rule -> 'changed') = 'null')
                AND NOT col.generated AND col.name NOT IN (SELECT name FROM carried) AND col.name NOT IN (SELECT name FROM take)
        UNION ALL SELECT 7, 'warning', format('key column %I comes from a sequence: two databases would give the same numbers', col.name),
                format('pass the key as a parameter, from pgbridge.new_id(); ALTER TABLE %s ALTER COLUMN %I DROP DEFAULT', rel::regclass, col.name)
            FROM col WHERE col.sequence AND col.name = ANY (keys)
    ) AS f(rank, severity, problem, fix) ORDER BY f.rank, f.problem;
END $$;

-- Says a fault: an error ends the statement.
CREATE FUNCTION pgbridge.say(subject text, severity text, problem text, fix text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF severity = 'error' THEN
        RAISE EXCEPTION USING MESSAGE = concat(subject, ': ', problem), HINT = fix, ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RAISE WARNING USING MESSAGE = concat(subject, ': ', problem), HINT = fix;
END $$;

-- Definitions.

-- Every change of a definition goes through here, into the table and into the
-- stream, where it takes effect at the commit. NULL: the action is no more.
CREATE FUNCTION pgbridge.define(action text, signature text, definition text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF definition IS NULL THEN
        DELETE FROM pgbridge.action a WHERE a.name = $1;
    ELSE
        INSERT INTO pgbridge.action AS a (name, function, definition) VALUES ($1, $2, $3::json)
        ON CONFLICT (name) DO UPDATE SET (function, definition, changed_at) = (excluded.function, excluded.definition, clock_timestamp());
    END IF;
    PERFORM pgbridge.write_mark('d', format('[%s,%s]', to_json(action), coalesce(definition, 'null')));
END $$;

-- The one text of a definition: keys in this order, rules sorted.
CREATE FUNCTION pgbridge.definition(function oid, replay text, rules json[]) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT format('{"action":%s,"function":%s,"params":[%s],"replay":%s,"rules":[%s]}',
        to_json(pgbridge.action_name($1)), to_json(pgbridge.signature($1)),
        (SELECT string_agg(format('{"name":%s,"type":%s}', to_json(name), to_json(format_type(type, NULL))), ',' ORDER BY i) FROM pgbridge.parameters($1)),
        to_json($2),
        (SELECT string_agg(r::text, ',' ORDER BY r ->> 'table' COLLATE "C", r ->> 'operation' COLLATE "C", r ->> 'changed' COLLATE "C" NULLS LAST) FROM unnest($3) AS r))
$$;

-- Lets one session at a time define, and none where definitions come by the stream.
CREATE FUNCTION pgbridge.begin_define() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    LOCK TABLE pgbridge.action IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM pgbridge.database WHERE role = 'follower') THEN
        RAISE EXCEPTION 'this database follows another: actions are defined there' USING ERRCODE = 'object_not_in_prerequisite_state';
    ELSIF EXISTS (SELECT FROM pgbridge.database WHERE stage = 'init') THEN
        RAISE EXCEPTION 'pgbridge init has not finished here: the stream would not have the definition' USING HINT = 'pgbridge init', ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $$;

CREATE FUNCTION pgbridge.require_owner(function oid) RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
DECLARE
    p pg_proc;
BEGIN
    SELECT * INTO p FROM pg_proc WHERE oid = function;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such function' USING ERRCODE = 'undefined_function';
    ELSIF NOT pg_has_role(p.proowner, 'USAGE') THEN
        RAISE EXCEPTION '%: only its owner defines an action', pgbridge.signature(function)
            USING HINT = format('GRANT %s TO %I', p.proowner::regrole, current_user), ERRCODE = 'insufficient_privilege';
    END IF;
END $$;

-- Makes a function an action, or changes how it is replayed; mappings are kept.
CREATE FUNCTION pgbridge.register_action(function regprocedure, replay text DEFAULT 'function') RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    self  text := pgbridge.signature(function);
    known pgbridge.action;
    rules json[] := '{}';
BEGIN
    PERFORM pgbridge.begin_define();
    PERFORM pgbridge.require_owner(function);
    IF replay IS NULL OR replay NOT IN ('function', 'rows') THEN
        RAISE EXCEPTION 'replay is %', coalesce(quote_literal(replay), 'NULL') USING HINT = 'It is ''function'' or ''rows''.', ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pgbridge.say(self, f.severity, f.problem, f.fix)
        FROM (SELECT * FROM pgbridge.function_faults(function) WITH ORDINALITY AS o(severity, problem, fix, i) ORDER BY severity, i OFFSET 0) AS f;
    SELECT * INTO known FROM pgbridge.action a WHERE a.name = pgbridge.action_name($1);
    IF known.function = self THEN
        rules := ARRAY(SELECT json_array_elements(known.definition -> 'rules'));
    ELSIF pgbridge.find_function(known.function) IS NOT NULL THEN
        PERFORM pgbridge.say(self, 'error', format('the name is taken by %s', known.function), format('SELECT pgbridge.drop_action(%L)', known.function));
    ELSIF json_array_length(known.definition -> 'rules') > 0 THEN
        PERFORM pgbridge.say(self, 'warning', format('%s is gone, and its mappings with it', known.function), 'map it again');
    END IF;
    PERFORM pgbridge.define(pgbridge.action_name(function), self, pgbridge.definition(function, replay, rules));
    PERFORM pgbridge.generate(function);
    RETURN pgbridge.action_name(function);
END $$;

-- Names a change of a table's rows: what an insert, update or delete did is
-- published as a call of the function. Replaces the rule for the same table,
-- operation and columns.
CREATE FUNCTION pgbridge.map_action(function regprocedure, relation regclass, operation text, columns text[] DEFAULT NULL,
    params jsonb DEFAULT NULL, derived text[] DEFAULT NULL) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    known pgbridge.action;
    stray text;
    rule  json;
    self  text := pgbridge.signature(function);
BEGIN
    PERFORM pgbridge.begin_define();
    PERFORM pgbridge.require_owner(function);
    SELECT * INTO known FROM pgbridge.action a WHERE a.function = self;
    IF NOT FOUND THEN
        PERFORM pgbridge.say(self, 'error', 'it is not an action', format('SELECT pgbridge.register_action(%L)', self));
    END IF;
    operation := lower(operation);
    IF operation IS NULL OR operation NOT IN ('insert', 'update', 'delete') THEN
        RAISE EXCEPTION 'operation is %', coalesce(quote_literal(operation), 'NULL') USING HINT = 'It is ''insert'', ''update'' or ''delete''.', ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT string_agg(format('%I', k), ', ') INTO stray FROM jsonb_object_keys(params) AS k WHERE k NOT IN (SELECT name FROM pgbridge.parameters(function));
    IF stray IS NOT NULL THEN
        PERFORM pgbridge.say(self, 'error', 'it has no parameter ' || stray, 'params is an object: {"parameter": "column"}');
    END IF;
    rule := pgbridge.rule(function, relation, operation, columns, params, derived);
    PERFORM pgbridge.say(format('%s on %s', self, rule ->> 'table'), f.severity, f.problem, f.fix)
        FROM (SELECT * FROM pgbridge.rule_faults(function, rule) WITH ORDINALITY AS o(severity, problem, fix, i) ORDER BY severity, i OFFSET 0) AS f;
    PERFORM pgbridge.define(known.name, self, pgbridge.definition(function, known.definition ->> 'replay', rule || ARRAY(
        SELECT r FROM json_array_elements(known.definition -> 'rules') AS r
        WHERE (r ->> 'table', r ->> 'operation', r ->> 'changed') IS DISTINCT FROM (rule ->> 'table', rule ->> 'operation', rule ->> 'changed'))));
END $$;

-- The text of a rule. Columns are in the order of the table, parameters in their
-- own. What finds a row is its old value: all that a delete takes, and a key
-- column of an update that takes its old value nowhere else.
CREATE FUNCTION pgbridge.rule(function oid, relation oid, operation text, columns text[], params jsonb, derived text[])
    RETURNS json LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    WITH named AS (
        SELECT list, name, min(a.attnum) AS attnum
        FROM (SELECT 'columns', unnest(columns) UNION ALL SELECT 'derived', unnest(derived)) AS u(list, name)
            LEFT JOIN pg_attribute a ON a.attrelid = relation AND a.attname = u.name AND NOT a.attisdropped
        GROUP BY list, name
    ), take AS (
        SELECT p.i, p.name AS param, CASE WHEN params IS NOT NULL THEN params ->> p.name
            WHEN NOT p.optional OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = p.name AND a.attnum > 0 AND NOT a.attisdropped) THEN p.name END AS name
        FROM pgbridge.parameters(function) p
    ), dated AS (
        SELECT i, param, CASE WHEN name NOT LIKE 'old.%' AND (operation = 'delete' OR operation = 'update'
            AND name = ANY (pgbridge.key_columns(relation)) AND NOT EXISTS (SELECT FROM take o WHERE o.name = 'old.' || t.name)) THEN 'old.' ELSE '' END || name AS name
        FROM take t WHERE name IS NOT NULL
    )
    SELECT format('{"table":%s,"operation":%s,"changed":%s,"from":{%s},"derived":%s}', to_json(pgbridge.table_name(relation)), to_json(operation),
        coalesce((SELECT array_to_json(array_agg(name ORDER BY attnum, name))::text FROM named WHERE list = 'columns'), 'null'),
        (SELECT string_agg(format('%s:%s', to_json(param), to_json(name)), ',' ORDER BY i) FROM dated),
        (SELECT array_to_json(coalesce(array_agg(name ORDER BY attnum, name), '{}'))::text FROM named WHERE list = 'derived'))::json
$$;

-- Ends an action, given its name or the signature of its function.
CREATE FUNCTION pgbridge.drop_action(action text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    known pgbridge.action;
    f     oid;
BEGIN
    PERFORM pgbridge.begin_define();
    SELECT * INTO known FROM pgbridge.action a WHERE action IN (a.name, a.function);
    IF NOT FOUND THEN
        SELECT * INTO known FROM pgbridge.action a WHERE a.function = pgbridge.signature(pgbridge.find_function(action));
    END IF;
    IF known IS NULL THEN
        RAISE EXCEPTION 'there is no action %', action USING HINT = 'TABLE pgbridge.actions', ERRCODE = 'undefined_object';
    END IF;
    f := pgbridge.find_function(known.function);
    IF f IS NOT NULL THEN
        PERFORM pgbridge.require_owner(f);
    END IF;
    PERFORM pgbridge.drop_generated(known.name);
    PERFORM pgbridge.define(known.name, NULL, NULL);
END $$;

CREATE FUNCTION pgbridge.drop_action(function regprocedure) RETURNS void LANGUAGE sql SET search_path = pg_catalog AS $$
    SELECT pgbridge.drop_action(pgbridge.signature($1))
$$;

-- Calls. For each action there are three functions: pgbridge."app.f", which takes
-- what the action takes and puts the marks around it, pgbridge."call app.f", which
-- takes its arguments from a JSON object, and pgbridge."mark app.f", which writes
-- the mark that begins it. The first two run as whoever calls them, who must be the
-- owner of the action: the first thing they need is its function. The third can
-- read the secret, and marks calls of this action only.

CREATE FUNCTION pgbridge.generated(action text) RETURNS text[] LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS $$
    SELECT ARRAY[$1, 'call ' || $1, 'mark ' || $1]
$$;

CREATE FUNCTION pgbridge.drop_generated(action text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    made regprocedure;
BEGIN
    FOR made IN SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'pgbridge'::regnamespace AND p.proname = ANY (pgbridge.generated(action)) LOOP
        EXECUTE format('DROP FUNCTION %s', made);
    END LOOP;
END $$;

-- An expression for the text of parameter i.
CREATE FUNCTION pgbridge.value_sql(i integer, type oid) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT CASE WHEN t.oid = 'timestamptz'::regtype THEN format('pgbridge.printed_time($%s)', $1)
        WHEN NOT pgbridge.plain_type($2) THEN format('pgbridge.printed($%s)', $1)
        WHEN t.oid IN ('text'::regtype, 'varchar'::regtype) THEN format('$%s::pg_catalog.text', $1)
        ELSE format('%I.%I($%s::%s)::pg_catalog.text', n.nspname, o.proname, $1, pgbridge.type_sql(t.oid)) END
    FROM pg_type t JOIN pg_proc o ON o.oid = t.typoutput JOIN pg_namespace n ON n.oid = o.pronamespace WHERE t.oid = pgbridge.base_type($2)
$$;

-- The body of pgbridge."mark app.f", which emits the mark and returns the token for
-- end_mark. $1 is the JSON array of the values. Without SET clauses, which cost
-- more than all the rest: names are qualified.
CREATE FUNCTION pgbridge.marking_sql(function oid) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT format($f$
DECLARE
    token pg_catalog.text;
    lsn   pg_catalog.pg_lsn;
BEGIN
    SELECT pg_catalog.concat(s.secret, ':', pg_catalog.pg_current_xact_id()::pg_catalog.xid, %L) INTO STRICT token FROM pgbridge.secret AS s;
    token := pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(token, 'UTF8')), 'hex');
    lsn := pg_catalog.pg_logical_emit_message(true, 'pgbridge', pg_catalog.convert_to(pg_catalog.concat(token, %L, $1, ']'), 'UTF8'));
    RETURN token;
END $f$, format(':c%s', to_json(pgbridge.action_name($1))),
        format('c[%s,%s,', to_json(pgbridge.action_name($1)), (SELECT array_to_json(coalesce(array_agg(name ORDER BY i), '{}')) FROM pgbridge.parameters($1))))
$$;

-- The body of pgbridge."app.f". To whoever calls it it is one statement, and it
-- catches nothing: no savepoint and no exception can come between the marks. Each
-- line is an expression, which the server evaluates without planning a query.
CREATE FUNCTION pgbridge.marked_sql(function oid) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT format($f$
DECLARE
    token  pg_catalog.text;
    result %s;
    lsn    pg_catalog.pg_lsn;
BEGIN
    token := pgbridge.%I(pg_catalog.json_build_array(%s)::pg_catalog.text);
    %s %I.%I(%s);
    lsn := pgbridge.end_mark(token);
    RETURN%s;
END $f$, CASE WHEN v.void THEN 'pg_catalog.text' ELSE pgbridge.type_sql(pgbridge.base_type(p.prorettype)) END,
        'mark ' || pgbridge.action_name($1), a.texts,
        CASE WHEN v.void THEN 'PERFORM' ELSE 'result :=' END, n.nspname, p.proname, a.numbers, CASE WHEN v.void THEN '' ELSE ' result' END)
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace CROSS JOIN (
        SELECT string_agg('$' || i, ', ' ORDER BY i) AS numbers, string_agg(pgbridge.value_sql(i, type), ', ' ORDER BY i) AS texts
        FROM pgbridge.parameters($1)) AS a CROSS JOIN LATERAL (SELECT p.prorettype = 'void'::regtype AS void) AS v
    WHERE p.oid = $1
$$;

-- A query that calls pgbridge."app.f" with the named parameters from the object $1.
CREATE FUNCTION pgbridge.call_sql(function oid, names text[]) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog AS $$
    SELECT CASE WHEN p.prorettype = 'void'::regtype THEN format('SELECT NULL::pg_catalog.jsonb FROM (SELECT %s %s OFFSET 0) AS v', c.call, c.source)
        ELSE format('SELECT pg_catalog.to_jsonb(%s) %s', c.call, c.source) END
    FROM pg_proc p CROSS JOIN LATERAL (
        SELECT format('pgbridge.%I(%s)', pgbridge.action_name($1), string_agg(format('%I => r.%I', name, name), ', ' ORDER BY i)) AS call,
            'FROM pg_catalog.jsonb_to_record($1) AS r(' || string_agg(format('%I %s', name, pgbridge.type_sql(type)), ', ' ORDER BY i) || ')' AS source
        FROM pgbridge.parameters($1) WHERE name = ANY ($2)) AS c
    WHERE p.oid = $1
$$;

-- The query for a call that does not give exactly all parameters: an error, or
-- the function's defaults do. It only looks, so its rights are those of this schema.
CREATE FUNCTION pgbridge.partial_call(signature text, args jsonb) RETURNS text LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    f       oid := pgbridge.find_function(signature);
    unknown text;
    missing text;
    wrong   text;
    form    text;
BEGIN
    SELECT format('%s(%s)', pgbridge.action_name(f), string_agg(format('%I %s', name, format_type(type, NULL)), ', ' ORDER BY i)),
            string_agg(name, ', ' ORDER BY i) FILTER (WHERE NOT optional AND NOT args ? name)
        INTO form, missing FROM pgbridge.parameters(f);
    IF jsonb_typeof(args) = 'object' THEN
        SELECT string_agg(k, ', ' ORDER BY k COLLATE "C") INTO unknown FROM jsonb_object_keys(args) AS k WHERE k NOT IN (SELECT name FROM pgbridge.parameters(f));
        wrong := coalesce('there is no parameter ' || unknown, 'parameter ' || missing || ' is missing');
    ELSE
        wrong := 'the arguments are no JSON object';
    END IF;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION USING MESSAGE = concat(pgbridge.action_name(f), ': ', wrong), HINT = format('The action is %s. Give null where there is no value.', form),
            ERRCODE = 'invalid_parameter_value', SCHEMA = 'pgbridge';
    END IF;
    RETURN pgbridge.call_sql(f, ARRAY(SELECT jsonb_object_keys(args)));
END $$;

-- Takes every right to a function away from all but its owner: PUBLIC has one by
-- itself, others may have some by ALTER DEFAULT PRIVILEGES.
CREATE FUNCTION pgbridge.close_function(function regprocedure) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    grantee text;
BEGIN
    FOR grantee IN SELECT DISTINCT coalesce(g.oid::regrole::text, 'PUBLIC')
        FROM pg_proc p CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a LEFT JOIN pg_roles g ON g.oid = a.grantee
        WHERE p.oid = function AND a.grantee <> p.proowner
    LOOP
        EXECUTE format('REVOKE ALL ON ROUTINE %s FROM %s CASCADE', function, grantee); -- what they gave others, too
    END LOOP;
END $$;

-- Lets the owner of an action call it, where that is not the owner of this schema.
CREATE FUNCTION pgbridge.admit(role oid) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
BEGIN
    IF NOT pg_has_role(role, (SELECT nspowner FROM pg_namespace WHERE nspname = 'pgbridge'), 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA pgbridge TO %s', role::regrole);
        EXECUTE format('GRANT SELECT (name, statement) ON pgbridge.action TO %s', role::regrole);
        EXECUTE format('GRANT EXECUTE ON FUNCTION pgbridge.call(text, jsonb), pgbridge.partial_call(text, jsonb), pgbridge.end_mark(text),
            pgbridge.printed(anyelement), pgbridge.printed_time(timestamptz), pgbridge.new_id() TO %s', role::regrole);
    END IF;
END $$;

-- Makes the functions of an action, and lets its owner use them.
CREATE FUNCTION pgbridge.generate(function oid) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    action text := pgbridge.action_name(function);
    names  text[] := ARRAY(SELECT name FROM pgbridge.parameters(function) ORDER BY i);
    chief  regrole := (SELECT nspowner FROM pg_namespace WHERE nspname = 'pgbridge');
    p      pg_proc;
    made   regprocedure;
    others text;
BEGIN
    SELECT * INTO p FROM pg_proc WHERE oid = function;
    PERFORM pgbridge.drop_generated(action);
    EXECUTE format('CREATE FUNCTION pgbridge.%I(pg_catalog.text) RETURNS pg_catalog.text LANGUAGE plpgsql SECURITY DEFINER AS %L',
        'mark ' || action, pgbridge.marking_sql(function));
    EXECUTE format('CREATE FUNCTION pgbridge.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L',
        action, pg_get_function_arguments(function), pgbridge.type_sql(p.prorettype), pgbridge.marked_sql(function));
    EXECUTE format('CREATE FUNCTION pgbridge.%I(jsonb) RETURNS jsonb LANGUAGE plpgsql AS %L', 'call ' || action, format($f$
#variable_conflict use_column
DECLARE
    result pg_catalog.jsonb;
BEGIN
    IF pg_catalog.jsonb_typeof($1) OPERATOR(pg_catalog.=) 'object' AND $1 OPERATOR(pg_catalog.?&) %1$L::pg_catalog._text
        AND ($1 OPERATOR(pg_catalog.-) %1$L::pg_catalog._text) OPERATOR(pg_catalog.=) '{}' THEN
        RETURN (%2$s);
    END IF;
    EXECUTE pgbridge.partial_call(%3$L, $1) INTO result USING $1;
    RETURN result;
END $f$, names, pgbridge.call_sql(function, names), pgbridge.signature(function)));
    FOR made IN SELECT oid FROM pg_proc WHERE pronamespace = 'pgbridge'::regnamespace AND proname = ANY (pgbridge.generated(action)) LOOP
        PERFORM pgbridge.close_function(made);
        EXECUTE format('ALTER FUNCTION %s OWNER TO %s', made, chief);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', made, p.proowner::regrole);
    END LOOP;
    UPDATE pgbridge.action a SET statement = format('SELECT pgbridge.%I($1)', 'call ' || action) WHERE a.name = action;
    PERFORM pgbridge.admit(p.proowner);
END $$;

-- Runs an action with its arguments by name, as a JSON object, and returns what
-- its function returns. A string may be any literal of the parameter's type; an
-- array may be a JSON array, a composite a JSON object. JSON null is NULL. What it
-- refuses by itself has schema pgbridge in the error's fields.
CREATE FUNCTION pgbridge.call(action text, args jsonb DEFAULT '{}') RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    query  pg_catalog.text;
    result pg_catalog.jsonb;
BEGIN
    SELECT a.statement INTO query FROM pgbridge.action AS a WHERE a.name OPERATOR(pg_catalog.=) $1;
    IF query IS NULL THEN
        RAISE EXCEPTION USING MESSAGE = pg_catalog.concat('there is no action ', action, ' to call'), ERRCODE = 'undefined_function',
            HINT = 'SELECT name FROM pgbridge.actions WHERE callable shows them.', SCHEMA = 'pgbridge';
    END IF;
    EXECUTE query INTO result USING args;
    RETURN result;
END $$;

-- Views.

CREATE VIEW pgbridge.actions AS
SELECT a.name, a.function,
    (SELECT pg_catalog.string_agg(pg_catalog.concat(p ->> 'name', ' ', p ->> 'type'), ', ') FROM pg_catalog.json_array_elements(a.definition -> 'params') AS p) AS parameters,
    a.definition ->> 'replay' AS replay,
    ARRAY(SELECT pg_catalog.concat(r ->> 'operation',
            ' of (' || (SELECT pg_catalog.string_agg(c, ', ') FROM pg_catalog.json_array_elements_text(CASE pg_catalog.json_typeof(r -> 'changed') WHEN 'array' THEN r -> 'changed' END) AS c) || ')',
            ' on ', r ->> 'table', ': ', (SELECT pg_catalog.string_agg(pg_catalog.concat(f.key, ' = ', f.value), ', ') FROM pg_catalog.json_each_text(r -> 'from') AS f),
            '; derived ' || (SELECT pg_catalog.string_agg(d, ', ') FROM pg_catalog.json_array_elements_text(r -> 'derived') AS d))
        FROM pg_catalog.json_array_elements(a.definition -> 'rules') AS r) AS rules,
    a.statement IS NOT NULL AS callable, a.definition, a.changed_at
FROM pgbridge.action AS a;

CREATE FUNCTION pgbridge.action_faults(action pgbridge.action) RETURNS TABLE (severity text, problem text, fix text)
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
#variable_conflict use_column
DECLARE
    f oid := pgbridge.find_function(action.function);
BEGIN
    IF f IS NULL THEN
        RETURN QUERY SELECT 'error', format('function %s is gone, or has other parameters now', action.function),
            format('SELECT pgbridge.drop_action(%L), and register the function that there is', action.name);
        RETURN;
    END IF;
    IF ARRAY(SELECT p ->> 'name' FROM json_array_elements(action.definition -> 'params') AS p) <> ARRAY(SELECT name FROM pgbridge.parameters(f) ORDER BY i) THEN
        RETURN QUERY SELECT 'error', 'the parameters of its function have other names now',
            format('SELECT pgbridge.drop_action(%L), then register and map it again', action.name);
        RETURN;
    END IF;
    RETURN QUERY
        SELECT 'error', format('what pgbridge.call runs is gone: %s', made), format('SELECT pgbridge.register_action(%L)', action.function)
        FROM unnest(pgbridge.generated(action.name)) AS made
        WHERE action.statement IS NOT NULL AND NOT EXISTS (SELECT FROM pg_proc WHERE pronamespace = 'pgbridge'::regnamespace AND proname = made);
    RETURN QUERY SELECT * FROM pgbridge.function_faults(f);
    RETURN QUERY SELECT r.severity, format('%s on %s: %s', rule ->> 'operation', rule ->> 'table', r.problem), r.fix
        FROM json_array_elements(action.definition -> 'rules') AS rule CROSS JOIN LATERAL pgbridge.rule_faults(f, rule) AS r
        WHERE NOT EXISTS (SELECT FROM pgbridge.database WHERE role = 'follower'); -- rules name changes at the origin
END $$;

-- What is, or has become, wrong with the actions. An error keeps one from being
-- called or replayed; a warning may make a replay differ.
CREATE VIEW pgbridge.action_problems AS
SELECT a.name AS action, f.severity, f.problem, f.fix FROM pgbridge.action AS a CROSS JOIN LATERAL pgbridge.action_faults(a) AS f;

-- Nothing in here is for others, whatever ALTER DEFAULT PRIVILEGES says.
DO $$
DECLARE
    made text;
BEGIN
    PERFORM pgbridge.close_function(oid::pg_catalog.regprocedure) FROM pg_catalog.pg_proc WHERE pronamespace = 'pgbridge'::pg_catalog.regnamespace;
    FOR made IN
        SELECT DISTINCT pg_catalog.format('REVOKE ALL ON pgbridge.%I FROM %s', c.relname, coalesce(g.oid::pg_catalog.regrole::pg_catalog.text, 'PUBLIC'))
        FROM pg_catalog.pg_class c CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS a LEFT JOIN pg_catalog.pg_roles g ON g.oid = a.grantee
        WHERE c.relnamespace = 'pgbridge'::pg_catalog.regnamespace AND c.relkind IN ('r', 'v') AND a.grantee <> c.relowner
    LOOP
        EXECUTE made;
    END LOOP;
END $$;
