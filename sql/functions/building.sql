-- While a superuser loads definitions, a role without rights makes the objects, and owns them
-- until all are made (postgres/builder.go). Code of users that a definition runs, of a domain
-- or a partition key, has the rights of that role then: it must not change what others have
-- defined. So while one object is made no other statement changes the schema.

-- The event trigger at ddl_command_start. It runs as whoever executes the statement.
CREATE OR REPLACE FUNCTION pgbridge.definition_begins() RETURNS event_trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF starts_with(current_user, 'pgbridge_builder_') THEN
        PERFORM pgbridge.begin_definition();
    END IF;
END $$;

CREATE OR REPLACE FUNCTION pgbridge.begin_definition() RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pgbridge.noted('definition', '') IS NOT NULL THEN
        RAISE EXCEPTION 'code in a definition must not change the schema' USING ERRCODE = 'insufficient_privilege';
    END IF;
    PERFORM pgbridge.note('definition', '', 1);
END $$;

CREATE OR REPLACE FUNCTION pgbridge.end_definition() RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    DELETE FROM pgbridge.transaction_note AS n WHERE n.xid = pg_current_xact_id() AND n.kind = 'definition'
$$;
