-- Marks are what the stream has besides rows. A mark is a transactional logical message:
-- a token, a letter, and a payload in JSON:
--   c ["app.f",["param",...],["text",null,...]]: a call of the action begins; e: it ends
--   d ["app.f",{...}]: from here on the action has this definition; null: it is dropped
--   k ["7","digest"]: checkpoint 7 was made
-- The letters s, w and v are described in statements.sql.
--
-- The token is a hash of the secret, the transaction, the letter and, of a c, the name of
-- the action; an e has the token of its c. So the secret is never in the WAL, and a token
-- is of no use in another transaction, for another kind of mark, or for another action.

-- Writes a mark of any kind but a call. Peers execute or believe these marks, so only the
-- owner of this schema may write them. Calls are marked by a function of each action
-- (marking_sql).
CREATE OR REPLACE FUNCTION pgbridge.write_mark(letter text, payload text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    token text;
BEGIN
    SELECT concat(s.secret, ':', pg_current_xact_id()::xid, ':', letter) INTO STRICT token FROM pgbridge.secret AS s;
    token := encode(sha256(convert_to(token, 'UTF8')), 'hex');
    PERFORM pg_logical_emit_message(true, 'pgbridge', convert_to(concat(token, letter, payload), 'UTF8'));
END $$;

-- Ends the call that began with this token.
CREATE OR REPLACE FUNCTION pgbridge.end_mark(token text) RETURNS pg_lsn
LANGUAGE plpgsql SECURITY DEFINER
AS $$
BEGIN
    RETURN pg_catalog.pg_logical_emit_message(true, 'pgbridge', pg_catalog.concat(token, 'e'));
END $$;
