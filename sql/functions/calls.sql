-- Calls of actions. Each action has three functions:
--   pgbridge."app.f" takes what the action takes, and puts the marks around the call.
--   pgbridge."call app.f" takes the arguments from a JSON object.
--   pgbridge."mark app.f" writes the mark with which a call begins.
-- The first two run as their caller, who must be the owner of the action: they need its
-- function. The third can read the secret, and marks calls of this action only.

CREATE OR REPLACE FUNCTION pgbridge.generated(action text) RETURNS text[]
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ARRAY[$1, 'call ' || $1, 'mark ' || $1]
$$;

CREATE OR REPLACE FUNCTION pgbridge.drop_generated(action text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made regprocedure;
BEGIN
    FOR made IN
        SELECT p.oid FROM pg_proc p
        WHERE p.pronamespace = 'pgbridge'::regnamespace AND p.proname = ANY (pgbridge.generated(action))
    LOOP
        EXECUTE format('DROP FUNCTION %s', made);
    END LOOP;
END $$;

-- An expression for the text of parameter i.
CREATE OR REPLACE FUNCTION pgbridge.value_sql(i integer, type oid) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN t.oid = 'timestamptz'::regtype THEN format('pgbridge.printed_time($%s)', $1)
        WHEN NOT pgbridge.plain_type($2) THEN format('pgbridge.printed($%s)', $1)
        WHEN t.oid IN ('text'::regtype, 'varchar'::regtype) THEN format('$%s::pg_catalog.text', $1)
        ELSE format('%I.%I($%s::%s)::pg_catalog.text', n.nspname, o.proname, $1, pgbridge.type_sql(t.oid)) END
    FROM pg_type t JOIN pg_proc o ON o.oid = t.typoutput JOIN pg_namespace n ON n.oid = o.pronamespace
    WHERE t.oid = pgbridge.base_type($2)
$$;

-- The body of pgbridge."mark app.f", which writes the mark and returns the token for
-- end_mark. $1 is the JSON array of the values. The function has no SET clause, which
-- would cost more than everything else; so all its names are qualified.
CREATE OR REPLACE FUNCTION pgbridge.marking_sql(function oid) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format($f$
DECLARE
    token pg_catalog.text;
    lsn   pg_catalog.pg_lsn;
BEGIN
    SELECT pg_catalog.concat(s.secret, ':', pg_catalog.pg_current_xact_id()::pg_catalog.xid, %L) INTO STRICT token
        FROM pgbridge.secret AS s;
    token := pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(token, 'UTF8')), 'hex');
    lsn := pg_catalog.pg_logical_emit_message(true, 'pgbridge',
        pg_catalog.convert_to(pg_catalog.concat(token, %L, $1, ']'), 'UTF8'));
    RETURN token;
END $f$, format(':c%s', to_json(pgbridge.action_name($1))),
        format('c[%s,%s,', to_json(pgbridge.action_name($1)), (
            SELECT array_to_json(coalesce(array_agg(name ORDER BY i), '{}')) FROM pgbridge.parameters($1))))
$$;

-- The body of pgbridge."app.f". To its caller it is one statement, and it catches nothing,
-- so no savepoint and no exception can come between the marks. Each line is an expression,
-- which the server evaluates without planning a query.
CREATE OR REPLACE FUNCTION pgbridge.marked_sql(function oid) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
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
        CASE WHEN v.void THEN 'PERFORM' ELSE 'result :=' END, n.nspname, p.proname, a.numbers,
        CASE WHEN v.void THEN '' ELSE ' result' END)
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
        CROSS JOIN (
            SELECT string_agg('$' || i, ', ' ORDER BY i) AS numbers,
                string_agg(pgbridge.value_sql(i, type), ', ' ORDER BY i) AS texts
            FROM pgbridge.parameters($1)) AS a
        CROSS JOIN LATERAL (SELECT p.prorettype = 'void'::regtype AS void) AS v
    WHERE p.oid = $1
$$;

-- A query that calls pgbridge."app.f" with the named parameters from the object $1.
CREATE OR REPLACE FUNCTION pgbridge.call_sql(function oid, names text[]) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN p.prorettype = 'void'::regtype
            THEN format('SELECT NULL::pg_catalog.jsonb FROM (SELECT %s %s OFFSET 0) AS v', c.call, c.source)
            ELSE format('SELECT pg_catalog.to_jsonb(%s) %s', c.call, c.source) END
    FROM pg_proc p CROSS JOIN LATERAL (
        SELECT format('pgbridge.%I(%s)', pgbridge.action_name($1),
                string_agg(format('%I => r.%I', name, name), ', ' ORDER BY i)) AS call,
            'FROM pg_catalog.jsonb_to_record($1) AS r('
                || string_agg(format('%I %s', name, pgbridge.type_sql(type)), ', ' ORDER BY i) || ')' AS source
        FROM pgbridge.parameters($1) WHERE name = ANY ($2)) AS c
    WHERE p.oid = $1
$$;

-- The query for a call that does not give exactly all parameters: either it raises an
-- error, or the defaults of the function complete the call. It only reads the catalogue, so
-- it runs with the rights of the owner of this schema.
CREATE OR REPLACE FUNCTION pgbridge.partial_call(signature text, args jsonb) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    f       oid := pgbridge.find_function(signature);
    unknown text;
    missing text;
    wrong   text;
    form    text;
BEGIN
    SELECT format('%s(%s)', pgbridge.action_name(f),
                string_agg(format('%I %s', name, format_type(type, NULL)), ', ' ORDER BY i)),
            string_agg(name, ', ' ORDER BY i) FILTER (WHERE NOT optional AND NOT args ? name)
        INTO form, missing FROM pgbridge.parameters(f);
    IF jsonb_typeof(args) = 'object' THEN
        SELECT string_agg(k, ', ' ORDER BY k COLLATE "C") INTO unknown FROM jsonb_object_keys(args) AS k
            WHERE k NOT IN (SELECT name FROM pgbridge.parameters(f));
        wrong := coalesce('there is no parameter ' || unknown, 'parameter ' || missing || ' is missing');
    ELSE
        wrong := 'the arguments are no JSON object';
    END IF;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION USING MESSAGE = concat(pgbridge.action_name(f), ': ', wrong),
            HINT = format('The action is %s. Give null where there is no value.', form),
            ERRCODE = 'invalid_parameter_value', SCHEMA = 'pgbridge';
    END IF;
    RETURN pgbridge.call_sql(f, ARRAY(SELECT jsonb_object_keys(args)));
END $$;

-- Takes every right to a function away from all but its owner. PUBLIC has one by default,
-- and others may have some by ALTER DEFAULT PRIVILEGES.
CREATE OR REPLACE FUNCTION pgbridge.close_function(function regprocedure) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    grantee text;
BEGIN
    FOR grantee IN
        SELECT DISTINCT coalesce(g.oid::regrole::text, 'PUBLIC')
        FROM pg_proc p CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
            LEFT JOIN pg_roles g ON g.oid = a.grantee
        WHERE p.oid = function AND a.grantee <> p.proowner
    LOOP
        EXECUTE format('REVOKE ALL ON ROUTINE %s FROM %s CASCADE', function, grantee);
    END LOOP;
END $$;

-- Lets the owner of an action call it, where that is not the owner of this schema.
CREATE OR REPLACE FUNCTION pgbridge.admit(role oid) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT pg_has_role(role, (SELECT nspowner FROM pg_namespace WHERE nspname = 'pgbridge'), 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA pgbridge TO %s', role::regrole);
        EXECUTE format('GRANT SELECT (name, statement) ON pgbridge.action TO %s', role::regrole);
        EXECUTE format('GRANT EXECUTE ON FUNCTION pgbridge.call(text, jsonb),
            pgbridge.partial_call(text, jsonb), pgbridge.end_mark(text), pgbridge.printed(anyelement),
            pgbridge.printed_time(timestamptz), pgbridge.new_id() TO %s', role::regrole);
    END IF;
END $$;

-- Makes the functions of an action, and lets its owner use them.
CREATE OR REPLACE FUNCTION pgbridge.generate(function oid) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
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
    EXECUTE format('CREATE FUNCTION pgbridge.%I(pg_catalog.text) RETURNS pg_catalog.text
        LANGUAGE plpgsql SECURITY DEFINER AS %L',
        'mark ' || action, pgbridge.marking_sql(function));
    EXECUTE format('CREATE FUNCTION pgbridge.%I(%s) RETURNS %s LANGUAGE plpgsql AS %L',
        action, pg_get_function_arguments(function), pgbridge.type_sql(p.prorettype),
        pgbridge.marked_sql(function));
    EXECUTE format('CREATE FUNCTION pgbridge.%I(jsonb) RETURNS jsonb LANGUAGE plpgsql AS %L',
        'call ' || action, format($f$
#variable_conflict use_column
DECLARE
    result pg_catalog.jsonb;
BEGIN
    IF pg_catalog.jsonb_typeof($1) OPERATOR(pg_catalog.=) 'object'
        AND $1 OPERATOR(pg_catalog.?&) %1$L::pg_catalog._text
        AND ($1 OPERATOR(pg_catalog.-) %1$L::pg_catalog._text) OPERATOR(pg_catalog.=) '{}' THEN
        RETURN (%2$s);
    END IF;
    EXECUTE pgbridge.partial_call(%3$L, $1) INTO result USING $1;
    RETURN result;
END $f$, names, pgbridge.call_sql(function, names), pgbridge.signature(function)));
    FOR made IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = 'pgbridge'::regnamespace AND proname = ANY (pgbridge.generated(action))
    LOOP
        PERFORM pgbridge.close_function(made);
        EXECUTE format('ALTER FUNCTION %s OWNER TO %s', made, chief);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %s', made, p.proowner::regrole);
    END LOOP;
    UPDATE pgbridge.action a SET statement = format('SELECT pgbridge.%I($1)', 'call ' || action)
        WHERE a.name = action;
    PERFORM pgbridge.admit(p.proowner);
END $$;

-- Runs an action with its arguments by name, as a JSON object, and returns what its
-- function returns. A string may be any literal of the parameter's type, an array a JSON
-- array, a composite value a JSON object; JSON null is NULL. An error that this function
-- raises itself has schema pgbridge in its fields.
CREATE OR REPLACE FUNCTION pgbridge.call(action text, args jsonb DEFAULT '{}') RETURNS jsonb
LANGUAGE plpgsql
AS $$
DECLARE
    query  pg_catalog.text;
    result pg_catalog.jsonb;
BEGIN
    SELECT a.statement INTO query FROM pgbridge.action AS a WHERE a.name OPERATOR(pg_catalog.=) $1;
    IF query IS NULL THEN
        RAISE EXCEPTION USING MESSAGE = pg_catalog.concat('there is no action ', action, ' to call'),
            ERRCODE = 'undefined_function',
            HINT = 'SELECT name FROM pgbridge.actions WHERE callable shows them.', SCHEMA = 'pgbridge';
    END IF;
    EXECUTE query INTO result USING args;
    RETURN result;
END $$;
