-- The tables of a follower as the stream left them, so that one which somebody
-- else has changed is seen before anything is applied to it.

CREATE TABLE pgbridge.fingerprint (
    table_name text COLLATE "C" PRIMARY KEY, -- as records write it
    digest     text -- NULL: whatever it is, until the next statement of the stream
);

-- The tables as they are: names, types and NOT NULL of their columns.
CREATE VIEW pgbridge.shape AS
SELECT pgbridge.name_of(n.nspname, c.relname) COLLATE "C" AS table_name,
    pg_catalog.md5(coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_array(a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull) ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)::pg_catalog.text, 'no columns')) AS digest
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname NOT IN ('pgbridge', 'pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_%'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e');

REVOKE ALL ON pgbridge.fingerprint, pgbridge.shape FROM PUBLIC;
