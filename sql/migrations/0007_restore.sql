-- A restore that is under way: what is done of it, so that one
-- that was interrupted goes on.

-- At most one row; none when it is over.
CREATE TABLE pgbridge.restore (
    only_one   boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    number     bigint NOT NULL CHECK (number >= 0), -- of the checkpoint; 0: from the genesis
    epoch      integer NOT NULL,
    digest     text NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
    tables     text[], -- whose rows are wanted; NULL: all
    -- rows: chunks are loaded. made: rows, sequences and definitions are there, and
    -- indexes and constraints are made. tail: the chain after the checkpoint.
    phase      text NOT NULL CHECK (phase IN ('rows', 'made', 'tail')),
    started_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Chunks that are loaded, by their places in the manifest. Written in the
-- transaction that loads them.
CREATE TABLE pgbridge.restore_chunk (
    file      integer NOT NULL,
    chunk     integer NOT NULL,
    row_count bigint NOT NULL,
    sum       text NOT NULL CHECK (sum ~ '^[0-9a-f]{64}$'), -- of the rows, as in a manifest's state
    PRIMARY KEY (file, chunk)
);

-- Statements of the post-data that are done, by their places in the text. Written
-- in the transaction that does them.
CREATE TABLE pgbridge.restore_step (
    step integer PRIMARY KEY
);
