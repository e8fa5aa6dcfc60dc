-- What a follower's session, whose role owns nothing here, asks the owner of this schema to do.

-- Keeps the definition of an action that came by the stream; NULL drops it. The functions by
-- which the application calls the action come and go with it, if its function is here.
CREATE OR REPLACE FUNCTION pgbridge.follow_definition(action text, function text, definition text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found oid;
BEGIN
    IF definition IS NULL THEN
        DELETE FROM pgbridge.action a WHERE a.name = follow_definition.action;
        PERFORM pgbridge.drop_generated(action);
        RETURN;
    END IF;
    INSERT INTO pgbridge.action (name, function, definition)
    VALUES (action, follow_definition.function, follow_definition.definition::json)
    ON CONFLICT (name) DO UPDATE
        SET (function, definition, changed_at) = (excluded.function, excluded.definition, clock_timestamp());
    found := pgbridge.find_function(function);
    IF found IS NOT NULL THEN
        PERFORM pgbridge.generate(found);
        PERFORM pgbridge.close_function(found::regprocedure);
    END IF;
END $$;

-- Takes the right to execute an action from all but its owner, whatever the stream granted.
CREATE OR REPLACE FUNCTION pgbridge.close_actions() RETURNS void
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT pgbridge.close_function(f.oid::regprocedure)
    FROM pgbridge.action AS a CROSS JOIN LATERAL pgbridge.find_function(a.function) AS f (oid)
    WHERE f.oid IS NOT NULL
$$;

-- Lets the session work under a replication origin, by which capture knows an echo, and
-- makes it if it is not there. Origins belong to the cluster: those of pgbridge have its name.
CREATE OR REPLACE FUNCTION pgbridge.open_origin(name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT starts_with(name, 'pgbridge_') THEN
        RAISE EXCEPTION 'origin % is not of pgbridge', name;
    ELSIF NOT EXISTS (SELECT FROM pg_replication_origin AS o WHERE o.roname = name) THEN
        PERFORM pg_replication_origin_create(name);
    END IF;
    PERFORM pg_replication_origin_session_setup(name);
END $$;
