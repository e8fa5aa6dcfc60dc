-- What the event triggers remember until their transaction ends (pgbridge.transaction_note).
-- No role but the owner of this schema can write or read it. Custom settings would be
-- simpler, but any role can set them.

-- The number that this transaction has noted, or NULL.
CREATE OR REPLACE FUNCTION pgbridge.noted(kind text, object text) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT n.number FROM pgbridge.transaction_note n
        WHERE n.xid = pg_current_xact_id_if_assigned() AND n.kind = $1 AND n.object = $2);
END $$;

-- Notes a number. The first note of a transaction deletes those of earlier transactions,
-- except under a snapshot, where the server would report a conflict with another session
-- that deletes the same.
CREATE OR REPLACE FUNCTION pgbridge.note(kind text, object text, number bigint) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('transaction_isolation') = 'read committed'
        AND NOT EXISTS (SELECT FROM pgbridge.transaction_note n WHERE n.xid = pg_current_xact_id_if_assigned())
    THEN
        DELETE FROM pgbridge.transaction_note WHERE ctid = ANY (ARRAY(
            SELECT n.ctid FROM pgbridge.transaction_note n LIMIT 100 FOR UPDATE SKIP LOCKED));
    END IF;
    INSERT INTO pgbridge.transaction_note AS n VALUES (pg_current_xact_id(), $1, $2, $3)
        ON CONFLICT ON CONSTRAINT transaction_note_pkey DO UPDATE SET number = excluded.number;
END $$;
