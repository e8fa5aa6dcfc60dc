-- Checkpoints that this database has made, and drills that it was restored in.

CREATE TABLE pgbridge.checkpoint (
    number     bigint PRIMARY KEY CHECK (number > 0), -- the record's seq
    epoch      integer NOT NULL,
    digest     text NOT NULL,
    lsn        pg_lsn NOT NULL,
    chain_seq  bigint NOT NULL,  -- of the chain, as the snapshot saw it
    bytes      bigint NOT NULL,  -- of all its chunks, as stored
    fresh      bigint NOT NULL,  -- of those that were new
    item       bytea,            -- the record, wrapped, until every archive has it
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Numbers of chunks up to this one may have been used, whatever became of them.
CREATE TABLE pgbridge.chunk_number (
    epoch      integer PRIMARY KEY,
    given      bigint NOT NULL
);

-- A chunk is found again by the hash of its content, so that no archive is sent it
-- twice.
CREATE TABLE pgbridge.chunk (
    epoch      integer NOT NULL,
    seq        bigint NOT NULL CHECK (seq > 0),
    content    text NOT NULL, -- SHA-256 of those of its rows; of a text that is no rows, its own
    digest     text NOT NULL, -- of the record
    row_count  bigint NOT NULL,
    size       bigint NOT NULL,
    bytes      bigint NOT NULL,
    archives   text[] NOT NULL DEFAULT '{}', -- that have it for good
    PRIMARY KEY (epoch, seq),
    UNIQUE (epoch, content)
);

-- Why the last scheduled checkpoint was not made; no row if it was.
CREATE TABLE pgbridge.checkpoint_failure (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    error    text NOT NULL,
    at       timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Restores into a throw-away server, to see that they work (pgbridge drill).
CREATE TABLE pgbridge.drill (
    at      timestamptz PRIMARY KEY DEFAULT clock_timestamp(), -- when it was over
    ok      boolean NOT NULL,
    person  boolean NOT NULL, -- it failed, and not because something was away
    seconds double precision NOT NULL,
    report  jsonb NOT NULL -- as pgbridge drill --json prints it
);
