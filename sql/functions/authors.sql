-- Who runs a statement at a peer, and rights. The mark of a statement (statements.sql) has
-- an object "author" with some of these keys:
--   "user":"alice","session":"bob": the role that ran it, as SQL writes the name, and the
--     role that had logged in, if it is another: what CURRENT_USER and SESSION_USER mean.
--   "role":"alice": the role that runs it at a peer. That is the author. If the author is a
--     superuser, it is the owner of what the statement touched. If that is a superuser, too,
--     there is no role: the peer's own role runs the statement.
--   "object":["table",["app","t"],[]]: an object as pg_get_object_address takes it, if there
--     is no role. The owner that the object has at the peer runs the statement. OWNER TO is
--     for the peer's administrator to do.
--   "unowned":true: owners that the statement gives to objects have marks of their own.
--     A statement that does give one is run without that part, as the owner of "object".
--   "on":["TABLE",["app.t",...]]: rights are given or taken of these objects only, and not
--     of all that the statement names.
-- Rights that never travel: those of objects that are not in the stream, of objects of the
-- server and of extensions, of databases, tablespaces, parameters and large objects, and
-- memberships in roles. Nothing of these but the rights of large objects and of temporary
-- objects fires event triggers. REASSIGN OWNED fires none either: mark_all_owners helps.

-- The role of this oid, if it can run statements at a peer: it is no superuser there, and no
-- role of the server itself.
CREATE OR REPLACE FUNCTION pgbridge.peer_role(role oid) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.rolname::text FROM pg_roles AS r WHERE r.oid = $1 AND NOT r.rolsuper AND left(r.rolname, 3) <> 'pg_'
$$;

-- The same of the role that has run the statement whose event trigger runs now.
CREATE OR REPLACE FUNCTION pgbridge.peer_caller() RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgbridge.peer_role(r.oid) FROM pg_roles AS r WHERE r.rolname = current_setting('pgbridge.caller_role')
$$;

-- The owner of an object, or of the table, type or domain that it is a part of. NULL if it
-- belongs to the superuser of initdb, or to nobody.
CREATE OR REPLACE FUNCTION pgbridge.owner_oid(classid oid, objid oid) RETURNS oid
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        WITH RECURSIVE part (classid, objid) AS (
            SELECT $1, $2
            UNION
            SELECT w.classid, w.objid FROM part AS p CROSS JOIN LATERAL (
                SELECT 'pg_class'::regclass::oid, i.indrelid FROM pg_index AS i
                    WHERE p.classid = 'pg_class'::regclass AND i.indexrelid = p.objid
                UNION ALL
                SELECT 'pg_class'::regclass, t.tgrelid FROM pg_trigger AS t
                    WHERE p.classid = 'pg_trigger'::regclass AND t.oid = p.objid
                UNION ALL
                SELECT 'pg_class'::regclass, y.polrelid FROM pg_policy AS y
                    WHERE p.classid = 'pg_policy'::regclass AND y.oid = p.objid
                UNION ALL
                SELECT 'pg_class'::regclass, r.ev_class FROM pg_rewrite AS r
                    WHERE p.classid = 'pg_rewrite'::regclass AND r.oid = p.objid
                UNION ALL
                SELECT 'pg_class'::regclass, d.adrelid FROM pg_attrdef AS d
                    WHERE p.classid = 'pg_attrdef'::regclass AND d.oid = p.objid
                UNION ALL
                SELECT 'pg_class'::regclass, k.conrelid FROM pg_constraint AS k
                    WHERE p.classid = 'pg_constraint'::regclass AND k.oid = p.objid AND k.conrelid <> 0
                UNION ALL
                SELECT 'pg_type'::regclass, k.contypid FROM pg_constraint AS k
                    WHERE p.classid = 'pg_constraint'::regclass AND k.oid = p.objid AND k.contypid <> 0
                UNION ALL
                SELECT 'pg_class'::regclass, y.typrelid FROM pg_type AS y
                    WHERE p.classid = 'pg_type'::regclass AND y.oid = p.objid AND y.typrelid <> 0
                UNION ALL
                SELECT 'pg_type'::regclass, y.typelem FROM pg_type AS y
                    WHERE p.classid = 'pg_type'::regclass AND y.oid = p.objid AND y.typoutput = 'array_out'::regproc
                UNION ALL
                SELECT 'pg_type'::regclass, u.type
                    FROM pg_cast AS c CROSS JOIN unnest(ARRAY[c.castsource, c.casttarget]) AS u (type)
                    WHERE p.classid = 'pg_cast'::regclass AND c.oid = p.objid
                UNION ALL
                SELECT 'pg_type'::regclass, f.trftype FROM pg_transform AS f
                    WHERE p.classid = 'pg_transform'::regclass AND f.oid = p.objid
            ) AS w (classid, objid)
        )
        SELECT s.refobjid FROM part AS p JOIN pg_shdepend AS s ON s.classid = p.classid AND s.objid = p.objid
        WHERE s.dbid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
            AND s.objsubid = 0 AND s.refclassid = 'pg_authid'::regclass AND s.deptype = 'o'
        LIMIT 1
    );
END $$;

-- The role that is to change a relation at a peer by a statement of pgbridge's own.
CREATE OR REPLACE FUNCTION pgbridge.relation_role(relation oid) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgbridge.peer_role(pgbridge.owner_oid('pg_class'::regclass, $1))
$$;

-- An object as pg_get_object_address takes it.
CREATE OR REPLACE FUNCTION pgbridge.object_address(classid oid, objid oid) RETURNS json
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT json_build_array(a.type, a.object_names, a.object_args)
    FROM pg_identify_object_as_address($1, $2, 0) AS a (type, object_names, object_args)
$$;

-- The words for a type of object in ALTER and DROP.
CREATE OR REPLACE FUNCTION pgbridge.object_kind(type text) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE type WHEN 'statistics object' THEN 'STATISTICS' WHEN 'foreign-data wrapper' THEN 'FOREIGN DATA WRAPPER'
        WHEN 'composite type' THEN 'TYPE' ELSE upper(type) END
$$;

CREATE OR REPLACE FUNCTION pgbridge.author(role text, object json DEFAULT NULL, unowned boolean DEFAULT NULL,
    objects json DEFAULT NULL) RETURNS json
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT json_strip_nulls(json_build_object('user', quote_ident(caller),
        'session', CASE WHEN session_user <> caller THEN quote_ident(session_user) END,
        'role', role, 'object', CASE WHEN role IS NULL OR unowned THEN object END, 'unowned', unowned, 'on', objects))
    FROM current_setting('pgbridge.caller_role') AS caller
$$;

-- Whether an object has an owner of its own, who can be changed.
CREATE OR REPLACE FUNCTION pgbridge.is_owned(classid oid, objid oid) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT CASE WHEN $1 = 'pg_class'::regclass THEN EXISTS (
            SELECT FROM pg_class AS c WHERE c.oid = $2 AND (c.relkind IN ('r', 'p', 'v', 'm', 'f')
                OR c.relkind = 'S' AND NOT EXISTS (
                    SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                        AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i'))))
        ELSE $1 = ANY (ARRAY['pg_proc', 'pg_type', 'pg_namespace', 'pg_operator', 'pg_opclass', 'pg_opfamily',
            'pg_collation', 'pg_conversion', 'pg_language', 'pg_statistic_ext', 'pg_ts_config', 'pg_ts_dict',
            'pg_foreign_data_wrapper', 'pg_foreign_server']::regclass[]) END
    );
END $$;

-- What the statement that ends has made or changed, in order, with the roles that their
-- owners are at a peer. New tables come before those that they inherit from.
CREATE OR REPLACE FUNCTION pgbridge.touched(tag text)
    RETURNS TABLE (place bigint, classid oid, objid oid, identity text, type text, role text, owned boolean)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
        WITH named AS (
            SELECT min(c.ordinality) AS place, c.classid, c.objid
            FROM pg_event_trigger_ddl_commands() WITH ORDINALITY AS c
            WHERE c.classid IS NOT NULL AND NOT c.in_extension
                AND NOT coalesce(pgbridge.is_temporary(c.schema_name), false)
            GROUP BY c.classid, c.objid
        ), every AS (
            SELECT n.*, pgbridge.is_owned(n.classid, n.objid) AS owned FROM named AS n
            UNION ALL
            SELECT n.place, 'pg_class'::regclass, i.inhparent, false FROM named AS n
                JOIN pg_inherits AS i ON n.classid = 'pg_class'::regclass AND i.inhrelid = n.objid
            WHERE tag = 'CREATE TABLE' AND i.inhparent NOT IN (SELECT m.objid FROM named AS m)
        )
        SELECT e.place, e.classid, e.objid, o.identity, o.type,
            pgbridge.peer_role(pgbridge.owner_oid(e.classid, e.objid)), e.owned
        FROM every AS e CROSS JOIN pg_identify_object(e.classid, e.objid, 0) AS o
        ORDER BY e.place, e.owned DESC;
END $$;

-- The author of the statement that ends: at sql_drop one that drops one object.
CREATE OR REPLACE FUNCTION pgbridge.author_of(event text, tag text, statement text) RETURNS json
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    caller  text := pgbridge.peer_caller();
    -- It may be another statement of the same string that changes an owner.
    changes boolean := tag LIKE 'ALTER %' AND statement ~* '\mowner\s*(\mto\M|--|/\*)';
    t       record;
BEGIN
    IF caller IS NOT NULL THEN
        RETURN pgbridge.author(caller, NULL, CASE WHEN changes AND event <> 'sql_drop' THEN
            nullif(EXISTS (SELECT FROM pgbridge.touched(tag) AS o WHERE o.owned AND o.role IS NULL), false) END);
    ELSIF event = 'sql_drop' THEN
        RETURN pgbridge.author(NULL, (SELECT o.address FROM pgbridge.dropped_at_peers() AS o LIMIT 1));
    ELSIF tag = 'CREATE SCHEMA' THEN
        RETURN pgbridge.author(NULL, NULL, true);
    END IF;
    SELECT o.classid, o.objid, o.role INTO t FROM pgbridge.touched(tag) AS o
        ORDER BY o.role IS NULL, o.place, o.owned DESC LIMIT 1;
    IF changes AND t.objid IS NOT NULL THEN
        RETURN pgbridge.author(t.role, pgbridge.object_address(t.classid, t.objid), true);
    END IF;
    RETURN pgbridge.author(t.role);
END $$;

-- Marks the owner of an object. CURRENT_USER is the peer's own role.
CREATE OR REPLACE FUNCTION pgbridge.mark_owner(classid oid, objid oid, type text, identity text, role text)
    RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgbridge.mark_generated(format('ALTER %s %s OWNER TO %s', pgbridge.object_kind(type), identity,
        coalesce(quote_ident(role), 'CURRENT_USER')), 'ALTER ' || pgbridge.object_kind(type), NULL,
        pgbridge.object_address(classid, objid))
$$;

-- Marks the owners of what the statement that ends has touched, where who runs it at a peer
-- leaves them with others.
CREATE OR REPLACE FUNCTION pgbridge.mark_owners(tag text, author json) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgbridge.mark_owner(o.classid, o.objid, o.type, o.identity, o.role) FROM pgbridge.touched(tag) AS o
    WHERE o.owned AND CASE WHEN tag LIKE 'ALTER %' THEN author ->> 'unowned' IS NOT NULL
        ELSE pgbridge.peer_caller() IS NULL AND o.role IS DISTINCT FROM author ->> 'role' END
    ORDER BY o.place
$$;

-- Whether an object is one of the application: not of the server, an extension, pgbridge, or
-- one session.
CREATE OR REPLACE FUNCTION pgbridge.is_shared(classid oid, objid oid) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT CASE WHEN $1 = 'pg_namespace'::regclass OR o.schema IS NOT NULL THEN NOT EXISTS (
                SELECT FROM pg_namespace AS n WHERE CASE $1 WHEN 'pg_namespace'::regclass THEN n.oid = $2
                        ELSE quote_ident(n.nspname) = o.schema END
                    AND (n.nspname IN ('pgbridge', 'information_schema') OR left(n.nspname, 3) = 'pg_'))
                ELSE $2 >= 16384 END
            AND NOT EXISTS (SELECT FROM pg_depend AS d
                WHERE d.classid = $1 AND d.objid = $2 AND d.objsubid = 0 AND d.deptype = 'e')
        FROM pg_identify_object($1, $2, 0) AS o
    );
END $$;

-- Marks the owners of all objects, after something that event triggers are not told of:
-- REASSIGN OWNED. Returns how many.
CREATE OR REPLACE FUNCTION pgbridge.mark_all_owners() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    o record;
    n bigint := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM pgbridge.database WHERE role = 'writer') THEN
        RAISE EXCEPTION 'this database publishes nothing' USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    FOR o IN
        WITH every (classid, objid) AS (
            SELECT 'pg_namespace'::regclass::oid, oid FROM pg_namespace
            UNION ALL SELECT 'pg_class'::regclass, oid FROM pg_class
            UNION ALL SELECT 'pg_proc'::regclass, oid FROM pg_proc
            UNION ALL SELECT 'pg_type'::regclass, t.oid FROM pg_type AS t LEFT JOIN pg_class AS c ON c.oid = t.typrelid
                WHERE coalesce(c.relkind, 'c') = 'c' AND t.typtype <> 'm' AND t.typoutput <> 'array_out'::regproc
            UNION ALL SELECT 'pg_operator'::regclass, oid FROM pg_operator
            UNION ALL SELECT 'pg_opclass'::regclass, oid FROM pg_opclass
            UNION ALL SELECT 'pg_opfamily'::regclass, oid FROM pg_opfamily
            UNION ALL SELECT 'pg_collation'::regclass, oid FROM pg_collation
            UNION ALL SELECT 'pg_conversion'::regclass, oid FROM pg_conversion
            UNION ALL SELECT 'pg_statistic_ext'::regclass, oid FROM pg_statistic_ext
            UNION ALL SELECT 'pg_ts_config'::regclass, oid FROM pg_ts_config
            UNION ALL SELECT 'pg_ts_dict'::regclass, oid FROM pg_ts_dict
            UNION ALL SELECT 'pg_foreign_server'::regclass, oid FROM pg_foreign_server
        )
        SELECT e.classid, e.objid, i.type, i.identity,
            pgbridge.peer_role(pgbridge.owner_oid(e.classid, e.objid)) AS role
        FROM every AS e CROSS JOIN pg_identify_object(e.classid, e.objid, 0) AS i
        -- schema public has an owner of the server's
        WHERE e.objid >= 16384 AND pgbridge.is_owned(e.classid, e.objid) AND pgbridge.is_shared(e.classid, e.objid)
        ORDER BY e.classid, e.objid
    LOOP
        PERFORM pgbridge.mark_owner(o.classid, o.objid, o.type, o.identity, o.role);
        n := n + 1;
    END LOOP;
    RETURN n;
END $$;
