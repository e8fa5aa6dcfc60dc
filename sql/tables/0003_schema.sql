-- What the event triggers keep.

-- Memory of a session that no rollback touches: currval is its own, whatever
-- others do with the sequence. It holds the time at which the query string came,
-- and how many of its statements have counted.
CREATE SEQUENCE pgbridge.statement;

-- The same once more, for sessions whose sequences were discarded: the string of a session
-- that has counted last. A rollback takes it back, but not that the server has counted a
-- write of this table (pg_stat_get_xact_tuples_inserted), until it reports that when the
-- session is idle. writes is how many it had counted then.
CREATE UNLOGGED TABLE pgbridge.statement_count (
    pid           integer PRIMARY KEY,
    backend_start timestamptz,
    stamp         bigint NOT NULL,
    writes        bigint NOT NULL
);

-- The tables that are published, as init and the triggers made it. What the
-- catalogue has besides, or not, or anew, was done by hand (publication_untouched).
CREATE TABLE pgbridge.published (
    relid      oid PRIMARY KEY,
    membership text NOT NULL -- oid and xmin of the row in pg_publication_rel
);

-- What the event triggers remember until their transaction ends. A rollback to a savepoint
-- takes the rows back, like the change that they are about. Rows of an earlier transaction
-- mean nothing; a later one deletes them. Kinds:
--   string    the mark of this query string (object: its time) has the text
--   counted   so many statements of this inner text (object: its frames) have run
--   rewritten this table (object: its oid) is rewritten, for these reasons
--   quiet     so many levels of statements run that are not marked
--   definition  an object is being made (building.sql)
CREATE UNLOGGED TABLE pgbridge.transaction_note (
    xid    xid8 NOT NULL, -- of the transaction; it is used only once
    kind   text COLLATE "C" NOT NULL CHECK (kind IN ('string', 'counted', 'rewritten', 'quiet', 'definition')),
    object text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    PRIMARY KEY (xid, kind, object)
);

-- By whom functions in SQL were made or changed last (pgbridge.running_body).
CREATE TABLE pgbridge.body (
    function      oid PRIMARY KEY,
    xid           xid8 NOT NULL,
    inside        boolean NOT NULL, -- a function changed it in that transaction
    pid           integer NOT NULL,
    backend_start timestamptz
);

-- Objects outside of pg_temp that depend on a temporary object, such as a function that
-- returns a row of a temporary table. They are dropped when the session ends, and peers do
-- not have them. An object that has the address of a row, and was made by another
-- statement, has deleted the row.
CREATE TABLE pgbridge.session_object (
    classid oid,
    objid   oid,
    PRIMARY KEY (classid, objid)
);

-- Tables that have REPLICA IDENTITY FULL by rule, for want of a key.
CREATE TABLE pgbridge.keyless (relid oid PRIMARY KEY);

-- What there was before a statement that changes rights, of the transaction that runs it:
-- the default privileges. The command number of the row tells what was written after it.
CREATE UNLOGGED TABLE pgbridge.rights_note (
    xid      xid8 NOT NULL,
    defaults jsonb NOT NULL -- role, schema, type, and rights, of each row of pg_default_acl
);
