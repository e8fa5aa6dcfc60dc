-- The publication: which tables are in it, and whether anybody but pgbridge changed it.

-- A text that differs after any change to the publication, also after one that was undone.
-- The list of tables is not in it: it is in pgbridge.published.
CREATE OR REPLACE FUNCTION pgbridge.publication_mark() RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    pub     record;
    schemas text;
BEGIN
    SELECT p.oid, p.xmin INTO pub FROM pg_publication p JOIN pgbridge.database d ON p.pubname = d.publication;
    IF to_regclass('pg_catalog.pg_publication_namespace') IS NOT NULL THEN -- since 15
        SELECT string_agg(concat_ws('.', oid, xmin), ' ' ORDER BY oid) INTO schemas
            FROM pg_catalog.pg_publication_namespace WHERE pnpubid = pub.oid;
    END IF;
    RETURN md5(concat_ws('/', pub.oid, pub.xmin, schemas));
END $$;

-- The tables in the publication, each with a text that identifies its row in the catalogue.
CREATE OR REPLACE FUNCTION pgbridge.memberships() RETURNS TABLE (relid oid, membership text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT r.prrelid, concat_ws('.', r.oid, r.xmin)
    FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
        JOIN pgbridge.database d ON d.publication = p.pubname
$$;

-- Remembers the publication as it is now.
CREATE OR REPLACE FUNCTION pgbridge.mark_publication() RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM pgbridge.published;
    INSERT INTO pgbridge.published SELECT relid, membership FROM pgbridge.memberships();
    UPDATE pgbridge.database SET publication_mark = pgbridge.publication_mark()
$$;

-- Whether only the triggers changed the publication since mark_publication. A change that
-- was undone counts: the server left out what was written meanwhile, without a sign. The
-- function sees everything in one snapshot.
CREATE OR REPLACE FUNCTION pgbridge.publication_untouched() RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce(d.publication_mark = pgbridge.publication_mark(), false) AND NOT EXISTS (
        SELECT FROM pgbridge.published p FULL JOIN pgbridge.memberships() m ON m.relid = p.relid
        WHERE m.membership IS DISTINCT FROM p.membership)
    FROM pgbridge.database d
$$;

-- Forgets tables and functions that were dropped. A table that somebody took out of the publication
-- before keeps its row in pgbridge.published, so that the guard sees the change.
CREATE OR REPLACE FUNCTION pgbridge.forget_dropped() RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM pgbridge.published p USING pg_event_trigger_dropped_objects() o
        WHERE o.classid = 'pg_publication_rel'::regclass AND split_part(p.membership, '.', 1)::oid = o.objid;
    DELETE FROM pgbridge.keyless k USING pg_event_trigger_dropped_objects() o
        WHERE o.classid = 'pg_class'::regclass AND o.objsubid = 0 AND o.objid = k.relid;
    DELETE FROM pgbridge.body b USING pg_event_trigger_dropped_objects() o
        WHERE o.classid = 'pg_proc'::regclass AND o.objid = b.function
$$;

-- Adds tables to the publication or drops them from it. From 15 on that locks the
-- publication until the transaction ends, so of two transactions that make tables the
-- second waits for the first.
CREATE OR REPLACE FUNCTION pgbridge.alter_publication(publication oid, change text, tables oid[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgbridge.quietly(format('ALTER PUBLICATION %I %s TABLE %s',
        (SELECT pubname FROM pg_publication WHERE oid = publication), change,
        (SELECT string_agg('ONLY ' || pgbridge.table_sql(u), ', ') FROM unnest(tables) AS u)));
    DELETE FROM pgbridge.published WHERE relid = ANY (tables);
    INSERT INTO pgbridge.published
        SELECT relid, membership FROM pgbridge.memberships() WHERE relid = ANY (tables);
    IF (SELECT count(*) FROM pgbridge.published WHERE relid = ANY (tables))
            <> (CASE change WHEN 'ADD' THEN cardinality(tables) ELSE 0 END) THEN
        RAISE EXCEPTION 'the schema of a new table was renamed meanwhile'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
END $$;

-- Takes tables that have become partitions out of the publication, because their root
-- publishes their rows, and returns them. Where all tables are to be published, adds new
-- tables.
CREATE OR REPLACE FUNCTION pgbridge.settle_publication() RETURNS oid[]
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    pub  oid;
    gone oid[];
    new  oid[];
BEGIN
    SELECT p.oid INTO pub FROM pg_publication p JOIN pgbridge.database d ON d.publication = p.pubname;
    IF NOT FOUND THEN
        RETURN '{}';
    END IF;
    SELECT coalesce(array_agg(p.relid), '{}') INTO gone
        FROM pgbridge.published p
            JOIN pgbridge.memberships() m ON m.relid = p.relid AND m.membership = p.membership
            JOIN pg_class c ON c.oid = p.relid
        WHERE c.relispartition AND pgbridge.root_of(c.oid) IN (SELECT relid FROM pgbridge.published);
    IF gone <> '{}' THEN
        PERFORM pgbridge.alter_publication(pub, 'DROP', gone);
    END IF;
    SELECT coalesce(array_agg(c.oid ORDER BY c.oid), '{}') INTO new
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE (SELECT scope FROM pgbridge.database) = 'all' AND pgbridge.is_recent(c.xmin)
            AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
            AND left(n.nspname, 3) <> 'pg_' AND n.nspname NOT IN ('information_schema', 'pgbridge')
            AND NOT EXISTS (
                SELECT FROM pg_depend d
                WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
            AND c.oid NOT IN (SELECT relid FROM pgbridge.published)
            AND c.oid NOT IN (SELECT relid FROM pgbridge.memberships());
    IF new <> '{}' THEN
        PERFORM pgbridge.alter_publication(pub, 'ADD', new);
    END IF;
    RETURN gone;
END $$;
