-- Definitions of actions. The owner of a function may define it as an action; peers get
-- definitions by the stream.

-- Writes a change of a definition into the table and into the stream, where it takes
-- effect at the commit. A NULL definition drops the action.
CREATE OR REPLACE FUNCTION pgbridge.define(action text, signature text, definition text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF definition IS NULL THEN
        DELETE FROM pgbridge.action a WHERE a.name = $1;
    ELSE
        INSERT INTO pgbridge.action AS a (name, function, definition) VALUES ($1, $2, $3::json)
        ON CONFLICT (name) DO UPDATE
            SET (function, definition, changed_at) = (excluded.function, excluded.definition, clock_timestamp());
    END IF;
    PERFORM pgbridge.write_mark('d', format('[%s,%s]', to_json(action), coalesce(definition, 'null')));
END $$;

-- The text of a definition: keys in this order, rules sorted.
CREATE OR REPLACE FUNCTION pgbridge.definition(function oid, replay text, rules json[]) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('{"action":%s,"function":%s,"params":[%s],"replay":%s,"rules":[%s]}',
        to_json(pgbridge.action_name($1)), to_json(pgbridge.signature($1)),
        (SELECT string_agg(format('{"name":%s,"type":%s}', to_json(name), to_json(format_type(type, NULL))),
                ',' ORDER BY i)
            FROM pgbridge.parameters($1)),
        to_json($2),
        (SELECT string_agg(r::text, ',' ORDER BY r ->> 'table' COLLATE "C", r ->> 'operation' COLLATE "C",
                r ->> 'changed' COLLATE "C" NULLS LAST)
            FROM unnest($3) AS r))
$$;

-- Lets one session at a time define, and none where definitions come by the stream.
CREATE OR REPLACE FUNCTION pgbridge.begin_define() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    LOCK TABLE pgbridge.action IN SHARE ROW EXCLUSIVE MODE;
    IF EXISTS (SELECT FROM pgbridge.database WHERE role = 'follower') THEN
        RAISE EXCEPTION 'this database follows another: actions are defined there'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    ELSIF EXISTS (SELECT FROM pgbridge.database WHERE stage = 'init') THEN
        RAISE EXCEPTION 'pgbridge init has not finished here: the stream would not have the definition'
            USING HINT = 'pgbridge init', ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $$;

CREATE OR REPLACE FUNCTION pgbridge.require_owner(function oid) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    p pg_proc;
BEGIN
    SELECT * INTO p FROM pg_proc WHERE oid = function;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such function' USING ERRCODE = 'undefined_function';
    ELSIF NOT pg_has_role(p.proowner, 'USAGE') THEN
        RAISE EXCEPTION '%: only its owner defines an action', pgbridge.signature(function)
            USING HINT = format('GRANT %s TO %I', p.proowner::regrole, current_user),
                ERRCODE = 'insufficient_privilege';
    END IF;
END $$;

-- Makes a function an action, or changes how it is replayed and keeps its mappings.
CREATE OR REPLACE FUNCTION pgbridge.register_action(function regprocedure, replay text DEFAULT 'function')
RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    self  text := pgbridge.signature(function);
    known pgbridge.action;
    rules json[] := '{}';
BEGIN
    PERFORM pgbridge.begin_define();
    PERFORM pgbridge.require_owner(function);
    IF replay IS NULL OR replay NOT IN ('function', 'rows') THEN
        RAISE EXCEPTION 'replay is %', coalesce(quote_literal(replay), 'NULL')
            USING HINT = 'It is ''function'' or ''rows''.', ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pgbridge.say(self, f.severity, f.problem, f.fix) FROM (
        SELECT * FROM pgbridge.function_faults(function) WITH ORDINALITY AS o(severity, problem, fix, i)
        ORDER BY severity, i OFFSET 0) AS f;
    SELECT * INTO known FROM pgbridge.action a WHERE a.name = pgbridge.action_name($1);
    IF known.function = self THEN
        rules := ARRAY(SELECT json_array_elements(known.definition -> 'rules'));
    ELSIF pgbridge.find_function(known.function) IS NOT NULL THEN
        PERFORM pgbridge.say(self, 'error', format('the name is taken by %s', known.function),
            format('SELECT pgbridge.drop_action(%L)', known.function));
    ELSIF json_array_length(known.definition -> 'rules') > 0 THEN
        PERFORM pgbridge.say(self, 'warning', format('%s is gone, and its mappings with it', known.function),
            'map it again');
    END IF;
    PERFORM pgbridge.define(pgbridge.action_name(function), self, pgbridge.definition(function, replay, rules));
    PERFORM pgbridge.generate(function);
    RETURN pgbridge.action_name(function);
END $$;

-- Names a change of a table's rows: what an insert, update or delete did is published as
-- a call of the function. Replaces the rule for the same table, operation and columns.
CREATE OR REPLACE FUNCTION pgbridge.map_action(function regprocedure, relation regclass, operation text,
    columns text[] DEFAULT NULL, params jsonb DEFAULT NULL, derived text[] DEFAULT NULL) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
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
        PERFORM pgbridge.say(self, 'error', 'it is not an action',
            format('SELECT pgbridge.register_action(%L)', self));
    END IF;
    operation := lower(operation);
    IF operation IS NULL OR operation NOT IN ('insert', 'update', 'delete') THEN
        RAISE EXCEPTION 'operation is %', coalesce(quote_literal(operation), 'NULL')
            USING HINT = 'It is ''insert'', ''update'' or ''delete''.', ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT string_agg(format('%I', k), ', ') INTO stray FROM jsonb_object_keys(params) AS k
        WHERE k NOT IN (SELECT name FROM pgbridge.parameters(function));
    IF stray IS NOT NULL THEN
        PERFORM pgbridge.say(self, 'error', 'it has no parameter ' || stray,
            'params is an object: {"parameter": "column"}');
    END IF;
    rule := pgbridge.rule(function, relation, operation, columns, params, derived);
    PERFORM pgbridge.say(format('%s on %s', self, rule ->> 'table'), f.severity, f.problem, f.fix) FROM (
        SELECT * FROM pgbridge.rule_faults(function, rule) WITH ORDINALITY AS o(severity, problem, fix, i)
        ORDER BY severity, i OFFSET 0) AS f;
    PERFORM pgbridge.define(known.name, self, pgbridge.definition(function, known.definition ->> 'replay',
        rule || ARRAY(
            SELECT r FROM json_array_elements(known.definition -> 'rules') AS r
            WHERE (r ->> 'table', r ->> 'operation', r ->> 'changed')
                IS DISTINCT FROM (rule ->> 'table', rule ->> 'operation', rule ->> 'changed'))));
END $$;

-- The text of a rule. Columns are in the order of the table, parameters in the order of
-- the function. A row is found by old values: a delete takes only these, and an update
-- takes that of a key column unless another parameter takes it.
CREATE OR REPLACE FUNCTION pgbridge.rule(function oid, relation oid, operation text, columns text[],
    params jsonb, derived text[]) RETURNS json
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH named AS (
        SELECT list, name, min(a.attnum) AS attnum
        FROM (SELECT 'columns', unnest(columns) UNION ALL SELECT 'derived', unnest(derived)) AS u(list, name)
            LEFT JOIN pg_attribute a ON a.attrelid = relation AND a.attname = u.name AND NOT a.attisdropped
        GROUP BY list, name
    ), take AS (
        SELECT p.i, p.name AS param, CASE WHEN params IS NOT NULL THEN params ->> p.name
            WHEN NOT p.optional OR EXISTS (
                SELECT FROM pg_attribute a
                WHERE a.attrelid = relation AND a.attname = p.name AND a.attnum > 0 AND NOT a.attisdropped)
            THEN p.name END AS name
        FROM pgbridge.parameters(function) p
    ), dated AS (
        SELECT i, param, CASE WHEN name NOT LIKE 'old.%' AND (operation = 'delete' OR operation = 'update'
                AND name = ANY (pgbridge.key_columns(relation))
                AND NOT EXISTS (SELECT FROM take o WHERE o.name = 'old.' || t.name))
            THEN 'old.' ELSE '' END || name AS name
        FROM take t WHERE name IS NOT NULL
    )
    SELECT format('{"table":%s,"operation":%s,"changed":%s,"from":{%s},"derived":%s}',
        to_json(pgbridge.table_name(relation)), to_json(operation),
        coalesce((SELECT array_to_json(array_agg(name ORDER BY attnum, name))::text
            FROM named WHERE list = 'columns'), 'null'),
        (SELECT string_agg(format('%s:%s', to_json(param), to_json(name)), ',' ORDER BY i) FROM dated),
        (SELECT array_to_json(coalesce(array_agg(name ORDER BY attnum, name), '{}'))::text
            FROM named WHERE list = 'derived'))::json
$$;

-- Drops an action, given its name or the signature of its function.
CREATE OR REPLACE FUNCTION pgbridge.drop_action(action text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known pgbridge.action;
    f     oid;
BEGIN
    PERFORM pgbridge.begin_define();
    SELECT * INTO known FROM pgbridge.action a WHERE action IN (a.name, a.function);
    IF NOT FOUND THEN
        SELECT * INTO known FROM pgbridge.action a
            WHERE a.function = pgbridge.signature(pgbridge.find_function(action));
    END IF;
    IF known IS NULL THEN
        RAISE EXCEPTION 'there is no action %', action
            USING HINT = 'TABLE pgbridge.actions', ERRCODE = 'undefined_object';
    END IF;
    f := pgbridge.find_function(known.function);
    IF f IS NOT NULL THEN
        PERFORM pgbridge.require_owner(f);
    END IF;
    PERFORM pgbridge.drop_generated(known.name);
    PERFORM pgbridge.define(known.name, NULL, NULL);
END $$;

CREATE OR REPLACE FUNCTION pgbridge.drop_action(function regprocedure) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgbridge.drop_action(pgbridge.signature($1))
$$;
