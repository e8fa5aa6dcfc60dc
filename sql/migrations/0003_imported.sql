-- The actions of other systems that were replayed into this database (pgbridge
-- import). A row is written in the transaction of its action, so no run, also
-- one that was killed, makes another import it again.
CREATE TABLE pgbridge.imported (
    source text NOT NULL, -- kwil: and the id of the database there
    id     text NOT NULL, -- of the action there
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (source, id)
);
