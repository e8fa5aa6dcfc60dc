-- Frames are what the server says of the functions that are running (PG_CONTEXT). A frame
-- is text for people, and part of it is text of users: a statement, or the name of a
-- function. So a frame alone never decides.

-- The statement that a function runs, given the frames around it: the text, where the text
-- is from, and the number of the statement in it (0 if it is the only one).
CREATE OR REPLACE FUNCTION pgbridge.inner_statement(stack text, tag text,
    OUT statement text, OUT place text, OUT number bigint)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    frame text[] := regexp_match(stack, '^SQL function "([^\n]+)" statement (\d+)(?:\n|$)');
BEGIN
    IF frame IS NOT NULL THEN
        place := 'body';
        number := frame[2];
        statement := pgbridge.running_body(frame[1], stack, tag);
        RETURN;
    END IF;
    statement := pgbridge.first_statement(stack);
    IF statement IS NULL THEN
        RAISE EXCEPTION 'cannot tell which statement changed the schema'
            USING DETAIL = stack, ERRCODE = 'feature_not_supported';
    END IF;
    number := 0;
    IF statement ~ ';.*\S' THEN -- there may be several
        place := 'text';
        number := coalesce(pgbridge.noted('counted', md5(stack)), 0) + 1;
    END IF;
END $$;

-- The body of the function in SQL of this name that is running. The server does not say
-- which body that is: it read the function when the call began, and the catalogue has what
-- is there now. So the function must be the only one of its name, and older than the call.
CREATE OR REPLACE FUNCTION pgbridge.running_body(name text, stack text, tag text) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    f record;
BEGIN
    BEGIN
        SELECT p.oid, p.xmin AS version, p.prosrc INTO STRICT f
            FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
            WHERE l.lanname = 'sql' AND p.proname = name AND p.prosqlbody IS NULL
                AND p.prosrc ~* split_part(tag, ' ', 1);
    EXCEPTION WHEN no_data_found OR too_many_rows THEN
        RAISE EXCEPTION USING MESSAGE = format('cannot tell which function named %s changed the schema', name),
            HINT = 'Give the function another name, or write it in PL/pgSQL.',
            ERRCODE = 'feature_not_supported';
    END;
    -- A name with a line break can look like the frame of another function.
    IF EXISTS (SELECT FROM pg_proc WHERE proname LIKE E'%\n%') THEN
        RAISE EXCEPTION USING MESSAGE = format('cannot tell whether function %s changed the schema', name),
            HINT = 'Rename the functions whose names have a line break.', ERRCODE = 'feature_not_supported';
    END IF;
    -- A call by PL/pgSQL without a query of its own may run what was read at an earlier call.
    IF stack ~ '^[^\n]*\nPL/' OR NOT pgbridge.is_settled(f.oid, f.version) THEN
        RAISE EXCEPTION USING MESSAGE = format('cannot tell what function %s did: it may have been replaced'
                ' since it was called', name),
            HINT = 'Call it by SELECT when transactions older than its definition have ended,'
                ' or write it in PL/pgSQL.',
            ERRCODE = 'feature_not_supported';
    END IF;
    RETURN f.prosrc;
END $$;

-- Whether a function in SQL, whose row in pg_proc has this xmin, is the one that was there
-- when the statement of the client began: this transaction has changed it outside of any
-- function, or this session has in an earlier transaction, or a transaction that had ended
-- when the snapshot of that statement was taken.
CREATE OR REPLACE FUNCTION pgbridge.is_settled(function oid, version xid) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known pgbridge.body;
    self  record;
BEGIN
    SELECT * INTO known FROM pgbridge.body b WHERE b.function = $1;
    SELECT * INTO self FROM pg_stat_get_activity(pg_backend_pid());
    IF known.xid = pg_current_xact_id_if_assigned() THEN
        RETURN NOT known.inside;
    END IF;
    RETURN coalesce(known.pid = self.pid AND known.backend_start = self.backend_start, false)
        OR coalesce(age(version) > age(self.backend_xmin), false);
END $$;

-- Notes who has made or changed functions in SQL, for is_settled.
CREATE OR REPLACE FUNCTION pgbridge.note_bodies(inside boolean) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    INSERT INTO pgbridge.body AS b
        SELECT DISTINCT p.oid, pg_current_xact_id(), inside, a.pid, a.backend_start
        FROM pg_event_trigger_ddl_commands() c JOIN pg_proc p ON p.oid = c.objid
            JOIN pg_language l ON l.oid = p.prolang
            CROSS JOIN pg_stat_get_activity(pg_backend_pid()) AS a
        WHERE c.classid = 'pg_proc'::regclass AND l.lanname = 'sql'
    ON CONFLICT (function) DO UPDATE SET
        (xid, inside, pid, backend_start) = (excluded.xid,
            excluded.inside OR b.xid = excluded.xid AND b.inside, excluded.pid, excluded.backend_start)
$$;

-- The text of the statement in the first frame. A text is followed by a quote, a line break
-- and the next frame, and may itself have all of these, in a string, a name or a comment. So
-- it ends at the first such place where it is complete. A name with a line break can look
-- like frames; then there seem to be too many of them behind that place, and the result is
-- NULL.
CREATE OR REPLACE FUNCTION pgbridge.first_statement(stack text) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parts     text[] := regexp_split_to_array(substring(stack FROM '^SQL statement "(.*)$'),
        '"\n(?=PL/\w+ (?:function|anonymous)|SQL (?:function|statement) "|COPY [^\n]*, line \d|extension script'
        '|unnamed portal|portal ")');
    statement text;
BEGIN
    IF cardinality(parts) = 1 THEN
        RETURN substring(parts[1] FROM '^(.*)"$'); -- there is no other frame
    ELSIF cardinality(parts) = 2 THEN
        RETURN parts[1];
    END IF;
    FOR i IN 1 .. cardinality(parts) - 1 LOOP
        statement := concat(statement || E'"\n', parts[i]);
        IF pgbridge.is_complete(statement) THEN
            RETURN CASE WHEN NOT pgbridge.has_false_frames(array_to_string(parts[i + 1 :], E'\n')) THEN statement END;
        END IF;
    END LOOP;
    RETURN NULL;
END $$;

-- Whether more lines look like frames of procedural languages than there are calls of their
-- functions: each has one connection to the executor (SPI), and that has a memory context.
-- Three are of the functions that lead here.
CREATE OR REPLACE FUNCTION pgbridge.has_false_frames(frames text) RETURNS boolean
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (SELECT count(*) FROM regexp_matches(frames, '^PL/\w+ (?:function|anonymous)', 'gn'))
        > (SELECT count(*) FROM pg_backend_memory_contexts WHERE name = 'SPI Proc') - 3
$$;

-- Whether each string, name and comment that begins in a text also ends in it.
CREATE OR REPLACE FUNCTION pgbridge.is_complete(statement text) RETURNS boolean
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgbridge.code_of(statement, coalesce(current_setting('pgbridge.caller_strings', true), 'on') = 'off')
        IS NOT NULL
$$;

-- A text without what stands in quotes and comments, by the rules of the server's scan.l;
-- NULL where a quote or comment is not closed. With escapes plain strings have backslashes
-- (standard_conforming_strings = off).
CREATE OR REPLACE FUNCTION pgbridge.code_of(statement text, escapes boolean) RETURNS text
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- what stands between two parts of a string that goes on
    gap    CONSTANT text := '(?:[ \t\f\v]|--[^\n\r]*)*[\n\r](?:[ \t\f\v\n\r]|--[^\n\r]*[\n\r])*''';
    rest   text := statement;
    code   text := '';
    before text;
    token  text;
    skip   integer;
    depth  integer;
BEGIN
    LOOP
        SELECT m[1], m[2] INTO before, token
            FROM regexp_match(rest, '^(.*?)(''|"|--|/\*|(?<![\w$])\$(?:[^\W\d]\w*)?\$)') AS m;
        IF token IS NULL THEN
            RETURN code || rest;
        END IF;
        code := concat(code, before, ' ');
        rest := substr(rest, length(before) + length(token) + 1);
        IF token = '/*' THEN
            depth := 1;
            WHILE depth > 0 LOOP
                token := substring(rest FROM '/\*|\*/');
                IF token IS NULL THEN
                    RETURN NULL;
                END IF;
                depth := depth + CASE token WHEN '/*' THEN 1 ELSE -1 END;
                rest := substr(rest, strpos(rest, token) + 2);
            END LOOP;
            CONTINUE;
        ELSIF token = '--' THEN
            skip := length(substring(rest FROM '^[^\n\r]*[\n\r]'));
            IF skip IS NULL THEN
                RETURN code;
            END IF;
        ELSIF token = '''' AND (before ~ '(?<![\w$])[eE]$' OR escapes AND before !~ '(?<![\w$])[bxBX]$') THEN
            skip := length(substring(rest FROM
                '^(?:[^''\\]|\\.|''''|''' || gap || ')*''(?!''|' || gap || ')'));
        ELSIF strpos(rest, token) > 0 THEN
            skip := strpos(rest, token) + length(token) - 1;
        ELSE
            skip := NULL;
        END IF;
        IF skip IS NULL THEN
            RETURN NULL;
        END IF;
        rest := substr(rest, skip + 1);
    END LOOP;
END $$;

-- Refuses a text of which it depends on standard_conforming_strings what is a statement in it
-- and what a string. Of several statements one may have changed the setting, and the mark of
-- the others does not say how the server has read the text.
CREATE OR REPLACE FUNCTION pgbridge.refuse_two_readings(statement text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF strpos(statement, '\''') > 0 AND (statement ~ ';.*\S' OR current_setting('pgbridge.caller_strings') = 'off')
        AND pgbridge.code_of(statement, false) IS DISTINCT FROM pgbridge.code_of(statement, true)
    THEN
        RAISE EXCEPTION USING MESSAGE = 'a backslash before a quote: where a statement ends in this text'
                ' depends on standard_conforming_strings',
            HINT = 'Send the statement alone, with standard_conforming_strings = on, or write the string as E''...''.',
            ERRCODE = 'feature_not_supported';
    END IF;
END $$;

-- Refuses a schema change inside an action: the effect of an action is rows, and the
-- change could not be replayed. Only the owner of this schema can rename the functions of an
-- action, so its frame is there. A text that looks like one is refused too: that is an error
-- of the role that wrote the text.
CREATE OR REPLACE FUNCTION pgbridge.refuse_in_call(stack text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    action text;
BEGIN
    SELECT a.name INTO action FROM pgbridge.action a
        WHERE strpos(E'\n' || stack, format(E'\nPL/pgSQL function pgbridge.%I(', a.name)) > 0
            OR strpos(E'\n' || stack, format(E'\nPL/pgSQL function %I(', a.name)) > 0;
    IF FOUND THEN
        RAISE EXCEPTION 'action % changes the schema', action
            USING HINT = 'Change the schema outside of actions. Temporary objects are allowed.',
                ERRCODE = 'feature_not_supported';
    END IF;
END $$;
