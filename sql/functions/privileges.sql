-- Rights: GRANT, REVOKE, ALTER DEFAULT PRIVILEGES, and what DROP OWNED does to them. The server
-- does not tell event triggers whose rights have changed. So a note is made before the
-- statement: what the same transaction has written into the catalogue after that note was
-- written by the statement.

CREATE OR REPLACE FUNCTION pgbridge.begin_rights() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM pgbridge.database WHERE role = 'writer') AND NOT pgbridge.is_quiet(tg_event, tg_tag) THEN
        PERFORM pgbridge.end_rights(); -- of a statement whose end was not seen
        INSERT INTO pgbridge.rights_note
            SELECT pg_current_xact_id(), coalesce(jsonb_agg(jsonb_build_array(d.defaclrole, d.defaclnamespace,
                d.defaclobjtype, d.defaclacl::text)), '[]') FROM pg_default_acl AS d;
    END IF;
END $$;

-- The objects whose rights the statement has changed, and that peers have: as GRANT names
-- their kind and them, with the role that the owner is at a peer.
CREATE OR REPLACE FUNCTION pgbridge.changed_rights(tag text)
    RETURNS TABLE (classid oid, objid oid, kind text, identity text, role text, shared boolean)
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    WITH since AS (
        SELECT max(n.cmin::text::bigint) AS command FROM pgbridge.rights_note AS n WHERE n.xid = pg_current_xact_id()
    ), entry (classid, objid, written, command) AS (
        SELECT 'pg_class'::regclass::oid, r.oid, r.xmin, r.cmin FROM pg_class AS r
        UNION ALL SELECT 'pg_class'::regclass, r.attrelid, r.xmin, r.cmin FROM pg_attribute AS r
        UNION ALL SELECT 'pg_proc'::regclass, r.oid, r.xmin, r.cmin FROM pg_proc AS r
        UNION ALL SELECT 'pg_namespace'::regclass, r.oid, r.xmin, r.cmin FROM pg_namespace AS r
        UNION ALL SELECT 'pg_type'::regclass, r.oid, r.xmin, r.cmin FROM pg_type AS r
        UNION ALL SELECT 'pg_language'::regclass, r.oid, r.xmin, r.cmin FROM pg_language AS r
        UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, r.oid, r.xmin, r.cmin FROM pg_foreign_data_wrapper AS r
        UNION ALL SELECT 'pg_foreign_server'::regclass, r.oid, r.xmin, r.cmin FROM pg_foreign_server AS r
    ), mine AS (
        SELECT DISTINCT r.classid, r.objid FROM entry AS r, since AS s
        -- Age 0 is that of this transaction, and its parts are younger. A row of another one as young
        -- can be seen only after that has ended.
        WHERE age(r.written) <= 0 AND r.command::text::bigint > s.command AND pg_xact_status(
            (pg_current_xact_id()::text::bigint - age(r.written))::text::xid8) = 'in progress'
    )
    SELECT m.classid, m.objid, CASE WHEN tag <> 'DROP OWNED' THEN
            (SELECT c.object_type FROM pg_event_trigger_ddl_commands() AS c LIMIT 1)
        ELSE CASE m.classid WHEN 'pg_class'::regclass THEN CASE o.type WHEN 'sequence' THEN 'SEQUENCE' ELSE 'TABLE' END
            WHEN 'pg_proc'::regclass THEN 'ROUTINE' WHEN 'pg_namespace'::regclass THEN 'SCHEMA'
            WHEN 'pg_type'::regclass THEN 'TYPE' WHEN 'pg_language'::regclass THEN 'LANGUAGE'
            WHEN 'pg_foreign_data_wrapper'::regclass THEN 'FOREIGN DATA WRAPPER' ELSE 'FOREIGN SERVER' END END,
        o.identity, pgbridge.peer_role(pgbridge.owner_oid(m.classid, m.objid)),
        pgbridge.is_shared(m.classid, m.objid) AND NOT (tag = 'GRANT' AND m.classid = 'pg_proc'::regclass AND EXISTS (
            -- what an action runs stays its owner's alone
            SELECT FROM pgbridge.action AS a WHERE pgbridge.find_function(a.function) = m.objid))
    FROM mine AS m CROSS JOIN pg_identify_object(m.classid, m.objid, 0) AS o
$$;

-- Marks GRANT and REVOKE, and the rights that DROP OWNED takes: as they were written, where
-- one role can run them at a peer. Else, and where the statement means all objects that a schema
-- happens to have, once for the objects of each owner.
CREATE OR REPLACE FUNCTION pgbridge.mark_rights(statement text, place text, number bigint, tag text, stack text)
    RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    path   json := current_setting('pgbridge.caller_path');
    caller text := pgbridge.peer_caller();
    g      record;
BEGIN
    FOR g IN
        WITH changed AS MATERIALIZED (
            SELECT coalesce(caller, c.owner) AS role, c.* FROM pgbridge.changed_rights(tag) AS c
                (classid, objid, kind, identity, owner, shared)
        )
        SELECT c.role, c.kind, json_agg(c.identity ORDER BY c.identity) AS names, w.whole,
            CASE count(*) WHEN 1 THEN min(pgbridge.object_address(c.classid, c.objid)::text)::json END AS object
        FROM changed AS c CROSS JOIN (
            SELECT tag <> 'DROP OWNED' AND statement !~* '\mall\M.*\min\M.*\mschema\M'
                AND bool_and(o.shared) AND count(DISTINCT coalesce(o.role, '')) = 1 FROM changed AS o
        ) AS w (whole)
        WHERE c.shared GROUP BY 1, 2, 4 ORDER BY 1 NULLS FIRST, 2
    LOOP
        PERFORM pgbridge.refuse_in_call(stack);
        PERFORM pgbridge.mark_statement(statement, place, number, tag, path, NULL,
            pgbridge.author(g.role, g.object, NULL, CASE WHEN NOT g.whole THEN json_build_array(g.kind, g.names) END));
    END LOOP;
END $$;

-- What has changed in default privileges, for each role, schema (0: all), type and grantee:
-- the privileges that were taken (REVOKE), that were given (GRANT), with the right to give
-- them on (OPTION), and of which that right alone was taken (ONLY).
CREATE OR REPLACE FUNCTION pgbridge.changed_defaults()
    RETURNS TABLE (role oid, schema oid, type text, grantee oid, change text, privileges text)
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    WITH before AS (
        SELECT (e ->> 0)::oid AS role, (e ->> 1)::oid AS schema, e ->> 2 AS type, (e ->> 3)::aclitem[] AS acl
        FROM pgbridge.rights_note AS n CROSS JOIN jsonb_array_elements(n.defaults) AS e
        WHERE n.xid = pg_current_xact_id()
    ), entry AS (
        SELECT role, schema, type, b.acl AS was, d.defaclacl AS now,
            acldefault(CASE type WHEN 'S' THEN 's' ELSE type END::"char", role) AS usual
        FROM before AS b FULL JOIN (
            SELECT defaclrole, defaclnamespace, defaclobjtype::text, defaclacl FROM pg_default_acl
        ) AS d (role, schema, type, defaclacl) USING (role, schema, type)
        WHERE type <> 'L' AND schema NOT IN (SELECT n.oid FROM pg_namespace AS n WHERE n.nspname = 'pgbridge')
            AND b.acl IS DISTINCT FROM d.defaclacl
            AND EXISTS (SELECT FROM pgbridge.rights_note AS n WHERE n.xid = pg_current_xact_id())
    ), side AS (
        SELECT e.role, e.schema, e.type, a.grantee, a.privilege_type, a.is_grantable AS was, NULL::boolean AS now
        FROM entry AS e CROSS JOIN aclexplode(coalesce(e.was, CASE e.schema WHEN 0 THEN e.usual END)) AS a
        UNION ALL
        SELECT e.role, e.schema, e.type, a.grantee, a.privilege_type, NULL, a.is_grantable
        FROM entry AS e CROSS JOIN aclexplode(coalesce(e.now, CASE e.schema WHEN 0 THEN e.usual END)) AS a
    ), both_sides AS (
        SELECT s.role, s.schema, s.type, s.grantee, s.privilege_type, bool_or(s.was) AS was, bool_or(s.now) AS now
        FROM side AS s GROUP BY 1, 2, 3, 4, 5
    ), changed AS (
        SELECT b.role, b.schema, b.type, b.grantee, CASE WHEN b.now IS NULL THEN 'REVOKE' WHEN b.now THEN 'OPTION'
            WHEN b.was THEN 'ONLY' ELSE 'GRANT' END AS change,
            array_agg(b.privilege_type ORDER BY b.privilege_type) AS privileges
        FROM both_sides AS b WHERE b.was IS DISTINCT FROM b.now GROUP BY 1, 2, 3, 4, 5
    )
    SELECT c.role, c.schema, c.type, c.grantee, c.change, CASE WHEN c.privileges @> ARRAY(
            SELECT a.privilege_type FROM aclexplode(e.usual) AS a WHERE a.grantee = e.role)
        THEN 'ALL' ELSE array_to_string(c.privileges, ', ') END
    FROM changed AS c JOIN entry AS e USING (role, schema, type)
$$;

-- Marks what has changed in default privileges. Those of a superuser, for what superusers
-- make, are those of the peer's own role.
CREATE OR REPLACE FUNCTION pgbridge.mark_defaults(stack text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c record;
BEGIN
    FOR c IN SELECT pgbridge.peer_role(d.role) AS role, n.nspname AS schema, d.change, format('%s ON %s %s %s',
            d.privileges, CASE d.type WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS'
                WHEN 'T' THEN 'TYPES' ELSE 'SCHEMAS' END,
            CASE WHEN d.change IN ('REVOKE', 'ONLY') THEN 'FROM' ELSE 'TO' END,
            coalesce(quote_ident(g.rolname), 'PUBLIC')) AS privileges
        FROM pgbridge.changed_defaults() AS d LEFT JOIN pg_namespace AS n ON n.oid = d.schema
            LEFT JOIN pg_roles AS g ON g.oid = d.grantee
        ORDER BY 1 NULLS FIRST, 2 NULLS FIRST, d.change DESC, 4
    LOOP
        PERFORM pgbridge.refuse_in_call(stack);
        PERFORM pgbridge.mark_generated(concat('ALTER DEFAULT PRIVILEGES', ' FOR ROLE ' || quote_ident(c.role),
                ' IN SCHEMA ' || quote_ident(c.schema), CASE c.change WHEN 'REVOKE' THEN ' REVOKE '
                    WHEN 'ONLY' THEN ' REVOKE GRANT OPTION FOR ' ELSE ' GRANT ' END,
                c.privileges, CASE c.change WHEN 'OPTION' THEN ' WITH GRANT OPTION' END),
            'ALTER DEFAULT PRIVILEGES',
            CASE WHEN c.role IS NOT NULL THEN coalesce(pgbridge.peer_caller(), c.role) END);
    END LOOP;
END $$;

-- Marks the policies that DROP OWNED has taken roles from.
CREATE OR REPLACE FUNCTION pgbridge.mark_policies() RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgbridge.mark_generated(format('ALTER POLICY %I ON %s TO %s', p.polname, pgbridge.table_sql(p.polrelid),
            (SELECT string_agg(coalesce(quote_ident(r.rolname), 'PUBLIC'), ', ' ORDER BY r.rolname)
                FROM unnest(p.polroles) AS u (role) LEFT JOIN pg_roles AS r ON r.oid = u.role)),
        'ALTER POLICY', pgbridge.relation_role(p.polrelid))
    FROM pg_policy AS p WHERE pgbridge.is_recent(p.xmin) AND p.cmin::text::bigint > (
        SELECT max(n.cmin::text::bigint) FROM pgbridge.rights_note AS n WHERE n.xid = pg_current_xact_id())
    ORDER BY p.polrelid, p.polname
$$;

-- Ends what begin_rights has begun.
CREATE OR REPLACE FUNCTION pgbridge.end_rights() RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM pgbridge.rights_note WHERE xid = pg_current_xact_id()
$$;
