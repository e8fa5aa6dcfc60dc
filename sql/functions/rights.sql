-- Rights. Whatever ALTER DEFAULT PRIVILEGES says, only the owner of schema pgbridge has
-- rights to what is in it. The owner of an action also has those that a call needs.

REVOKE ALL ON SCHEMA pgbridge FROM PUBLIC;

DO $$
DECLARE
    made text;
BEGIN
    PERFORM pgbridge.close_function(p.oid::pg_catalog.regprocedure) FROM pg_catalog.pg_proc AS p
        WHERE p.pronamespace = 'pgbridge'::pg_catalog.regnamespace
            AND p.proname NOT LIKE 'run as %' AND NOT EXISTS (
            SELECT FROM pgbridge.action AS a WHERE p.proname = ANY (pgbridge.generated(a.name)));
    FOR made IN
        SELECT DISTINCT pg_catalog.format('REVOKE ALL ON pgbridge.%I FROM %s', c.relname,
            coalesce(g.oid::pg_catalog.regrole::pg_catalog.text, 'PUBLIC'))
        FROM pg_catalog.pg_class AS c CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS a
            LEFT JOIN pg_catalog.pg_roles AS g ON g.oid = a.grantee
        WHERE c.relnamespace = 'pgbridge'::pg_catalog.regnamespace AND c.relkind IN ('r', 'v', 'S')
            AND a.grantee <> c.relowner
    LOOP
        EXECUTE made;
    END LOOP;
    PERFORM pgbridge.admit(p.proowner) FROM pgbridge.action AS a
        JOIN pg_catalog.pg_proc AS p ON p.oid = pgbridge.find_function(a.function)
        WHERE a.statement IS NOT NULL;
END $$;
