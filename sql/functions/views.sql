-- Views.

CREATE OR REPLACE VIEW pgbridge.actions AS
SELECT a.name, a.function,
    (SELECT pg_catalog.string_agg(pg_catalog.concat(p ->> 'name', ' ', p ->> 'type'), ', ')
        FROM pg_catalog.json_array_elements(a.definition -> 'params') AS p) AS parameters,
    a.definition ->> 'replay' AS replay,
    ARRAY(SELECT pg_catalog.concat(r ->> 'operation',
            ' of (' || (SELECT pg_catalog.string_agg(c, ', ') FROM pg_catalog.json_array_elements_text(
                CASE pg_catalog.json_typeof(r -> 'changed') WHEN 'array' THEN r -> 'changed' END) AS c) || ')',
            ' on ', r ->> 'table', ': ',
            (SELECT pg_catalog.string_agg(pg_catalog.concat(f.key, ' = ', f.value), ', ')
                FROM pg_catalog.json_each_text(r -> 'from') AS f),
            '; derived ' || (SELECT pg_catalog.string_agg(d, ', ')
                FROM pg_catalog.json_array_elements_text(r -> 'derived') AS d))
        FROM pg_catalog.json_array_elements(a.definition -> 'rules') AS r) AS rules,
    a.statement IS NOT NULL AS callable, a.definition, a.changed_at
FROM pgbridge.action AS a;

-- The faults that actions have now. An error prevents calls and replays of the action; a
-- warning says that a replay may differ.
CREATE OR REPLACE VIEW pgbridge.action_problems AS
SELECT a.name AS action, f.severity, f.problem, f.fix
FROM pgbridge.action AS a CROSS JOIN LATERAL pgbridge.action_faults(a) AS f;

-- The replica identities by which the server finds the rows of a table with an index all
-- of whose columns are in the stream.
CREATE OR REPLACE VIEW pgbridge.usable_key AS
SELECT i.indrelid AS relid, k.identity
FROM pg_catalog.pg_index i
    JOIN (VALUES ('d'::pg_catalog."char"), ('i')) AS k(identity)
        ON CASE k.identity WHEN 'd' THEN i.indisprimary ELSE i.indisreplident END
WHERE i.indisvalid AND i.indimmediate AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = i.indrelid AND a.attgenerated <> ''
        AND a.attnum = ANY ((i.indkey::pg_catalog.int2[])[0:i.indnkeyatts - 1]));

-- The tables as they are: names, types and NOT NULL of their columns.
CREATE OR REPLACE VIEW pgbridge.shape AS
SELECT pgbridge.name_of(n.nspname, c.relname) COLLATE "C" AS table_name,
    pg_catalog.md5(coalesce((
        SELECT pg_catalog.json_agg(pg_catalog.json_build_array(a.attname,
            pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull) ORDER BY a.attnum)
        FROM pg_catalog.pg_attribute a
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)::pg_catalog.text, 'no columns')) AS digest
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    AND n.nspname NOT IN ('pgbridge', 'pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_%'
    AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.deptype = 'e');
