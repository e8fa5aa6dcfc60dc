-- Marks say what rows do not. A mark is a transactional logical message: a token, a letter, and a
-- payload in JSON:
--   c ["app.f",["param",...],["text",null,...]]: a call of the action begins; e: it ends
--   d ["app.f",{...}]: the action is defined so from here on; null: dropped
--   k ["7","digest"]: checkpoint 7 was made
-- The token is a hash of the secret, the transaction and the letter, with the name
-- of the action for c; e has that of its c. So the secret itself is never in the
-- WAL, and a token is of no use in another transaction, for another kind of mark,
-- or for another action.

-- A mark of any kind but a call: what it says is executed, or believed, by peers.
-- Only for the owner of this schema. For calls each action has a function of its
-- own (marking_sql).
CREATE OR REPLACE FUNCTION pgbridge.write_mark(letter text, payload text) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    token text;
BEGIN
    SELECT concat(s.secret, ':', pg_current_xact_id()::xid, ':', letter) INTO STRICT token FROM pgbridge.secret AS s;
    token := encode(sha256(convert_to(token, 'UTF8')), 'hex');
    PERFORM pg_logical_emit_message(true, 'pgbridge', convert_to(concat(token, letter, payload), 'UTF8'));
END $$;

-- Ends the call that began with this token.
CREATE OR REPLACE FUNCTION pgbridge.end_mark(token text) RETURNS pg_lsn LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    RETURN pg_catalog.pg_logical_emit_message(true, 'pgbridge', pg_catalog.concat(token, 'e'));
END $$;
