-- Locks between the processes of pgbridge. A session has a lock until it ends. Advisory locks
-- would do that too, but any role can take them.

-- Whether the session of a row in pgbridge.session_lock has not ended. A role that may not see
-- when another session began takes a live process id for the same session.
CREATE OR REPLACE FUNCTION pgbridge.is_alive(pid integer, backend_start timestamptz) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pg_stat_get_activity($1) AS a WHERE (a.backend_start = $2) IS NOT FALSE)
$$;

-- Takes a lock for this session, and returns false if another session has it. Sessions that
-- share a lock do not exclude each other.
CREATE OR REPLACE FUNCTION pgbridge.take_lock(name text, shared boolean) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    LOCK TABLE pgbridge.session_lock IN SHARE ROW EXCLUSIVE MODE;
    DELETE FROM pgbridge.session_lock l WHERE NOT pgbridge.is_alive(l.pid, l.backend_start);
    IF EXISTS (
        SELECT FROM pgbridge.session_lock l
        WHERE l.name = $1 AND l.pid <> pg_backend_pid() AND NOT (l.shared AND $2))
    THEN
        RETURN false;
    END IF;
    INSERT INTO pgbridge.session_lock AS l
        SELECT $1, $2, a.pid, a.backend_start FROM pg_stat_get_activity(pg_backend_pid()) AS a
        ON CONFLICT ON CONSTRAINT session_lock_pkey DO UPDATE SET shared = l.shared AND excluded.shared;
    RETURN true;
END $$;

-- Whether any session has a lock.
CREATE OR REPLACE FUNCTION pgbridge.is_locked(name text) RETURNS boolean
LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pgbridge.session_lock l WHERE l.name = $1 AND pgbridge.is_alive(l.pid, l.backend_start))
$$;
