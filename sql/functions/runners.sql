-- Runners. A statement of the stream runs at a peer with the rights of its author and with no
-- other rights. The runner of a role is the function pgbridge."run as OID": SECURITY DEFINER,
-- owned by the role. In such a function the server refuses SET ROLE and SET SESSION
-- AUTHORIZATION, so the statement, and code that it calls, cannot become another role.
--
-- A role owns its runner, so it can alter it: make it SECURITY INVOKER, or give it settings.
-- It cannot replace the body, for that takes CREATE on schema pgbridge. Therefore the body
-- names everything with its schema, and first checks whom it runs as; and runners are called
-- by run_as only, which is SECURITY DEFINER too: there a setting of role is refused as well.

-- Why a role cannot be admitted as an author here, with what mends it; NULL where it can.
CREATE OR REPLACE FUNCTION pgbridge.author_bar(author name) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    chief oid := (SELECT nspowner FROM pg_namespace WHERE nspname = 'pgbridge');
    role  pg_roles;
    high  name;
BEGIN
    SELECT * INTO role FROM pg_roles WHERE rolname = author;
    IF NOT FOUND THEN
        RETURN format('role %1$I does not exist here: CREATE ROLE %1$I; SELECT pgbridge.admit_author(%1$L)', author);
    ELSIF role.rolsuper OR author ~ '^pg_' THEN
        RETURN format('role %I is a superuser or a role of the server itself, which no statement may run as', author);
    END IF;
    SELECT r.rolname INTO high FROM pg_roles r
    WHERE (r.rolsuper OR r.oid = chief OR r.rolname = session_user) AND pg_has_role(role.oid, r.oid, 'MEMBER')
    LIMIT 1;
    IF FOUND THEN
        RETURN format('role %1$I is a member of %2$I, whose rights no statement may have: REVOKE %2$I FROM %1$I',
            author, high);
    END IF;
    RETURN NULL;
END $$;

-- Why no statement can run as a role here, with what mends it; NULL where one can.
CREATE OR REPLACE FUNCTION pgbridge.author_fault(author name) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(pgbridge.author_bar(author), (
        SELECT format('role %1$I is not admitted: SELECT pgbridge.admit_author(%1$L)', author)
        WHERE NOT EXISTS (SELECT FROM pgbridge.author a JOIN pg_roles r ON r.oid = a.role AND r.rolname = a.name
            WHERE a.name = author)
            AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = session_user))) -- who needs no admission
$$;

-- The body of the runner of a role.
CREATE OR REPLACE FUNCTION pgbridge.runner_body(author name) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format($f$
DECLARE
    n      pg_catalog.int8;
    answer pg_catalog.text;
BEGIN
    IF (CURRENT_USER OPERATOR(pg_catalog.=) %L::pg_catalog.name) IS NOT TRUE THEN
        RAISE EXCEPTION 'the runner of this role was altered';
    END IF;
    IF asks THEN
        EXECUTE statement INTO STRICT answer USING args;
        RETURN answer;
    END IF;
    EXECUTE statement USING args;
    GET DIAGNOSTICS n = ROW_COUNT;
    RETURN n;
END $f$, author)
$$;

-- Makes the runner of an admitted role, or makes it anew where it was altered, and returns the
-- statement that calls it.
CREATE OR REPLACE FUNCTION pgbridge.make_runner(author name) RETURNS text
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    fault  text := pgbridge.author_fault(author);
    id     oid := (SELECT oid FROM pg_roles WHERE rolname = author);
    called text := format('SELECT pgbridge.%I($1, $2, $3)', concat('run as ', id));
    made   text := format('pgbridge.%I(text, text[], boolean)', concat('run as ', id));
BEGIN
    IF fault IS NOT NULL THEN
        RAISE EXCEPTION '%', fault USING ERRCODE = 'invalid_role_specification';
    ELSIF pgbridge.runner_is_sound(id, author) THEN
        RETURN called;
    END IF;
    PERFORM FROM pgbridge.author a WHERE a.role = id FOR UPDATE; -- one session makes it
    IF pgbridge.runner_is_sound(id, author) THEN
        RETURN called;
    END IF;
    IF to_regprocedure(made) IS NOT NULL THEN
        EXECUTE format('DROP FUNCTION %s', made);
    END IF;
    EXECUTE format('CREATE FUNCTION pgbridge.%I(statement text, args text[], asks boolean) RETURNS text'
        ' LANGUAGE plpgsql SECURITY DEFINER AS %L', concat('run as ', id), pgbridge.runner_body(author));
    PERFORM pgbridge.close_function(made::regprocedure);
    EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO CURRENT_USER', made);
    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        EXECUTE format('ALTER FUNCTION %s OWNER TO %I', made, author);
    ELSE -- the server asks for CREATE of the new owner, who keeps it no longer than this transaction
        EXECUTE format('GRANT CREATE ON SCHEMA pgbridge TO %I', author);
        EXECUTE format('ALTER FUNCTION %s OWNER TO %I', made, author);
        EXECUTE format('REVOKE CREATE ON SCHEMA pgbridge FROM %I', author);
    END IF;
    RETURN called;
END $$;

-- Whether the runner of a role is there as it was made.
CREATE OR REPLACE FUNCTION pgbridge.runner_is_sound(role oid, author name) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pg_proc p
        WHERE p.pronamespace = 'pgbridge'::regnamespace AND p.proname = concat('run as ', role)
            AND p.proowner = role AND p.prosecdef AND p.proconfig IS NULL AND p.prosrc = pgbridge.runner_body(author)
            AND p.provolatile = 'v' AND NOT p.proisstrict AND p.proparallel = 'u'
            AND has_function_privilege(p.oid, 'EXECUTE'))
$$;

-- Admits a role: statements of the stream may run as it. For administrators.
CREATE OR REPLACE FUNCTION pgbridge.admit_author(author name) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM pgbridge.author a WHERE a.name = author OR a.role = (SELECT oid FROM pg_roles WHERE rolname = author);
    INSERT INTO pgbridge.author (role, name) SELECT oid, rolname FROM pg_roles WHERE rolname = author;
    PERFORM pgbridge.make_runner(author);
END $$;

-- Admits those of the roles that can be.
CREATE OR REPLACE FUNCTION pgbridge.admit_authors(authors text[]) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgbridge.admit_author(u.author::name) FROM unnest(authors) AS u (author)
    WHERE pgbridge.author_bar(u.author::name) IS NULL
$$;

-- A right that is lent, as GRANT and REVOKE name it. NULL where the object is gone.
CREATE OR REPLACE FUNCTION pgbridge.lent_right(privilege text, class oid, object oid) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT $1 || ' ON ' || CASE class
        WHEN 'pg_namespace'::regclass THEN (SELECT format('SCHEMA %I', nspname) FROM pg_namespace WHERE oid = object)
        WHEN 'pg_class'::regclass THEN 'TABLE ' || (SELECT pgbridge.table_sql(oid) FROM pg_class WHERE oid = object)
        WHEN 'pg_proc'::regclass THEN 'FUNCTION ' || (SELECT oid::regprocedure FROM pg_proc WHERE oid = object)
        END
$$;

-- Lends a role a right until return_rights.
CREATE OR REPLACE FUNCTION pgbridge.lend(privilege text, class oid, object oid, role oid) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO pgbridge.lent (privilege, classid, objid, role) VALUES ($1, $2, $3, $4);
    EXECUTE format('GRANT %s TO %I', pgbridge.lent_right($1, $2, $3), pg_get_userbyid($4));
END $$;

-- Lends the role of the session CREATE on all schemas until return_rights, in the same
-- transaction. A statement without an author was a superuser's, who could make something in
-- any schema.
CREATE OR REPLACE FUNCTION pgbridge.lend_schemas() RETURNS void
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgbridge.lend('CREATE', 'pg_namespace'::regclass, n.oid, r.oid)
    FROM pg_namespace AS n JOIN pg_roles AS r ON r.rolname = session_user
    WHERE left(n.nspname, 3) <> 'pg_' AND n.nspname NOT IN ('information_schema', 'pgbridge')
        AND NOT has_schema_privilege(session_user, n.oid, 'CREATE')
$$;

-- Takes back what was lent. What was dropped meanwhile, and rights of a role that was, are gone.
CREATE OR REPLACE FUNCTION pgbridge.return_rights() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    back text;
BEGIN
    FOR back IN
        WITH was AS (DELETE FROM pgbridge.lent RETURNING *)
        SELECT format('REVOKE %s FROM %I', l.what, r.rolname)
        FROM was JOIN pg_roles AS r ON r.oid = was.role
            CROSS JOIN LATERAL pgbridge.lent_right(was.privilege, was.classid, was.objid) AS l (what)
        WHERE l.what IS NOT NULL
    LOOP
        EXECUTE back;
    END LOOP;
END $$;

-- Takes the admission back, and drops the runner: the role can be dropped then.
CREATE OR REPLACE FUNCTION pgbridge.dismiss_author(author name) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    gone oid;
BEGIN
    DELETE FROM pgbridge.author a WHERE a.name = author RETURNING a.role INTO gone;
    IF FOUND THEN
        EXECUTE format('DROP FUNCTION IF EXISTS pgbridge.%I(text, text[], boolean)', concat('run as ', gone));
    END IF;
END $$;

-- Executes a statement as an admitted role. $1 in the statement is args. It returns the number
-- of rows that the statement touched or, where it asks, the one text that it answers. No
-- search_path is set here: the statement has that of the session. Every name has its schema.
CREATE OR REPLACE FUNCTION pgbridge.run_as(author name, statement text, args text[], asks boolean) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
AS $$
DECLARE
    answer pg_catalog.text;
BEGIN
    -- The end of the block, a subtransaction, takes back what else ends with the transaction
    -- only: that it became read only.
    BEGIN
        EXECUTE pgbridge.make_runner(author) INTO STRICT answer USING statement, args, asks;
    EXCEPTION WHEN assert_failure THEN RAISE;
    END;
    -- The session cleans up after the statement, and must have the time to.
    PERFORM pg_catalog.set_config('statement_timeout', '0', false),
        pg_catalog.set_config('idle_in_transaction_session_timeout', '0', false);
    IF pg_catalog.current_setting('transaction_timeout', true) IS NOT NULL THEN -- from 17 on
        PERFORM pg_catalog.set_config('transaction_timeout', '0', false);
    END IF;
    RETURN answer;
END $$;

-- Sets session_replication_role in the session. Before 15 only a superuser may do that.
CREATE OR REPLACE FUNCTION pgbridge.replica_role(mode text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF mode = ANY (ARRAY['replica', 'origin']) IS NOT TRUE THEN
        RAISE EXCEPTION 'session_replication_role is set to replica or origin here, not to %', mode;
    END IF;
    PERFORM set_config('session_replication_role', mode, false);
END $$;

-- The tables that this transaction has touched and that have deferrable triggers with code of
-- users. Such a trigger may wait for the commit. A deferrable constraint with an expression
-- counts too: its trigger evaluates the expression.
CREATE OR REPLACE FUNCTION pgbridge.deferrable_touched() RETURNS SETOF oid
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT DISTINCT t.tgrelid
    FROM pg_locks l JOIN pg_trigger t ON t.tgrelid = l.relation LEFT JOIN pg_index i ON i.indexrelid = t.tgconstrindid
    WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND t.tgdeferrable
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (NOT t.tgisinternal OR i.indexprs IS NOT NULL OR i.indpred IS NOT NULL)
$$;

-- Fails while a deferred trigger with code of a user waits for the commit: before 18 it would
-- run as the role of the session. ALTER TABLE fails on a table that has one. What it resets is
-- an option that no table has.
CREATE OR REPLACE FUNCTION pgbridge.refuse_pending() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    touched oid;
    before  tid;
BEGIN
    FOR touched IN SELECT pgbridge.deferrable_touched() LOOP
        before := (SELECT ctid FROM pg_class WHERE oid = touched);
        EXECUTE format('ALTER TABLE ONLY %s RESET (pgbridge_pending)', pgbridge.table_sql(touched));
        IF (SELECT ctid FROM pg_class WHERE oid = touched) = before THEN -- its name was another table's meanwhile
            RAISE EXCEPTION 'a schema was renamed while %s was looked at', touched::regclass
                USING ERRCODE = 'serialization_failure';
        END IF;
    END LOOP;
END $$;
