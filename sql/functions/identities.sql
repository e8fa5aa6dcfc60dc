-- Replica identities: by which columns the server finds the rows of a table.

CREATE OR REPLACE FUNCTION pgbridge.set_identity(relation oid, identity text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    statement text := format('ALTER TABLE %s REPLICA IDENTITY %s', pgbridge.table_sql(relation), identity);
BEGIN
    PERFORM pgbridge.quietly(statement);
    IF (SELECT relreplident FROM pg_class WHERE oid = relation) <> left(lower(identity), 1)::"char" THEN
        RAISE EXCEPTION 'the schema of table % was renamed meanwhile', pgbridge.table_sql(relation)
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    PERFORM pgbridge.mark_generated(statement, 'ALTER TABLE', pgbridge.relation_role(relation));
    DELETE FROM pgbridge.keyless WHERE relid = relation;
    IF identity = 'FULL' THEN
        INSERT INTO pgbridge.keyless VALUES (relation);
    END IF;
END $$;

-- Gives each published table an identity by which its rows are found: FULL where it has
-- no key, DEFAULT again when it has got one. Partitions have the identity of their root.
-- The server refuses UPDATE and DELETE of a published table that has no identity.
CREATE OR REPLACE FUNCTION pgbridge.settle_identities() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    t record;
BEGIN
    FOR t IN
        SELECT c.oid, c.relreplident = 'f' AS whole
        FROM pg_class c JOIN pgbridge.published p ON p.relid = c.oid
            LEFT JOIN pgbridge.keyless l ON l.relid = c.oid
            LEFT JOIN pgbridge.usable_key k ON k.relid = c.oid
                AND k.identity = CASE c.relreplident WHEN 'f' THEN 'd' ELSE c.relreplident END
        WHERE c.relreplident IN ('d', 'i') AND k.relid IS NULL
            OR c.relreplident = 'f' AND l.relid IS NOT NULL AND k.relid IS NOT NULL
        ORDER BY c.oid
    LOOP
        PERFORM pgbridge.set_identity(t.oid, CASE WHEN t.whole THEN 'DEFAULT' ELSE 'FULL' END);
    END LOOP;
    -- pg_partition_tree would lock the tables, which other sessions may be changing.
    FOR t IN
        WITH RECURSIVE leaf (root, relid) AS (
            SELECT r.oid, r.oid
            FROM pgbridge.published p JOIN pg_class r ON r.oid = p.relid AND r.relkind = 'p'
            UNION ALL
            SELECT leaf.root, i.inhrelid FROM leaf JOIN pg_inherits i ON i.inhparent = leaf.relid)
        SELECT c.oid, c.relreplident = 'f' AS whole
        FROM leaf JOIN pg_class r ON r.oid = leaf.root
            JOIN pg_class c ON c.oid = leaf.relid AND c.relkind = 'r' AND c.relpersistence = 'p'
            LEFT JOIN pgbridge.usable_key k ON k.relid = c.oid
                AND k.identity = CASE c.relreplident WHEN 'f' THEN 'd' ELSE c.relreplident END
        WHERE CASE r.relreplident WHEN 'f' THEN c.relreplident <> 'f'
            WHEN 'd' THEN c.relreplident = 'f' AND k.relid IS NOT NULL
            ELSE c.relreplident IN ('d', 'i') AND k.relid IS NULL END
        ORDER BY c.oid
    LOOP
        PERFORM pgbridge.set_identity(t.oid, CASE WHEN t.whole THEN 'DEFAULT' ELSE 'FULL' END);
    END LOOP;
END $$;
