-- What the event triggers keep.

-- Memory of a session that no rollback touches: currval is its own, whatever
-- others do with the sequence. It holds the time at which the query string came,
-- and how many of its statements have counted.
CREATE SEQUENCE pgbridge.statement;

-- The tables that are published, as init and the triggers made it. What the
-- catalogue has besides, or not, or anew, was done by hand (publication_untouched).
CREATE TABLE pgbridge.published (
    relid      oid PRIMARY KEY,
    membership text NOT NULL -- oid and xmin of the row in pg_publication_rel
);

-- Tables that have REPLICA IDENTITY FULL by rule, for want of a key.
CREATE TABLE pgbridge.keyless (relid oid PRIMARY KEY);
