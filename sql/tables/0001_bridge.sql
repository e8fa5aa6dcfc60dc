-- Everything that pgbridge keeps in a database lies in this schema. The bridge
-- itself is stateless: whoever holds the database holds its state.

CREATE SCHEMA pgbridge;

-- The version of this schema. One row.
CREATE TABLE pgbridge.installed (
    only_one   boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    revision   integer NOT NULL, -- of the functions
    tables     integer NOT NULL, -- how many migrations were applied
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The role as which the service connects; NULL: only the owner of this schema may.
    -- An oid, so that a role that is renamed stays the service role.
    service    regrole
);
INSERT INTO pgbridge.installed (revision, tables) VALUES (0, 0);

-- The files of functions that were applied.
CREATE TABLE pgbridge.function_file (
    name   text COLLATE "C" PRIMARY KEY,
    digest text NOT NULL -- SHA-256 of its text
);

-- The locks of the sessions of pgbridge (pgbridge.take_lock). A session that has ended has
-- none: its rows mean nothing.
CREATE UNLOGGED TABLE pgbridge.session_lock (
    name          text COLLATE "C",
    shared        boolean NOT NULL,
    pid           integer,
    backend_start timestamptz, -- NULL: the owner of this schema may not see it
    PRIMARY KEY (name, pid)
);

-- The replication origins under which records are applied here. Rows that come under one of
-- them are not of this database: its own stream leaves them out.
CREATE TABLE pgbridge.origin (
    name text PRIMARY KEY
);

-- What this database is a copy of. One row.
CREATE TABLE pgbridge.database (
    only_one    boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    role        text NOT NULL CHECK (role IN ('writer', 'follower')),
    -- init: a writer's init is under way, the next init undoes it and begins again.
    -- copy: a follower that has tables but no indexes and not all of the initial rows.
    -- restore: a follower that is being restored, and is nothing else until then.
    -- ready: everything is in place.
    stage       text NOT NULL CHECK (stage IN ('init', 'copy', 'restore', 'ready')),
    name        text NOT NULL,
    db_id       text CHECK (db_id ~ '^[0-9a-f]{64}$'),
    genesis     bytea, -- the genesis record, as stored in the archive
    publication text NOT NULL DEFAULT 'pgbridge',
    slot        text NOT NULL DEFAULT 'pgbridge',
    publication_mark text, -- of a writer: publication_mark() as init left it
    -- Which tables are published: all, also those made later, or those listed at init.
    scope       text NOT NULL DEFAULT 'listed' CHECK (scope IN ('all', 'listed')),
    -- What of owners and privileges a copy was made without, as pg_restore's options of
    -- these names say it.
    no_owner      boolean NOT NULL DEFAULT false,
    no_privileges boolean NOT NULL DEFAULT false,
    CHECK (stage = 'init' OR (db_id IS NOT NULL AND genesis IS NOT NULL))
);

-- The head of the chain that this database writes: what the next record follows.
-- Changed in the transaction that puts the record into the outbox.
CREATE TABLE pgbridge.chain (
    writer      text PRIMARY KEY CHECK (writer ~ '^[0-9a-f]{64}$'),
    epoch       integer NOT NULL CHECK (epoch > 0),
    seq         bigint NOT NULL CHECK (seq > 0),
    digest      text NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
    -- Every transaction that ends at or before this position is in the chain.
    end_lsn     pg_lsn NOT NULL,
    -- A huge transaction that is in the chain in part: the position of its
    -- commit, how many parts, and how many of its changes.
    part_lsn    pg_lsn,
    parts       integer NOT NULL DEFAULT 0,
    part_rows   bigint NOT NULL DEFAULT 0,
    clock       text NOT NULL, -- hybrid logical clock of the last transaction
    system      text NOT NULL, -- pg_control_system().system_identifier
    timeline    integer NOT NULL,
    definitions jsonb NOT NULL DEFAULT '{}', -- in force at end_lsn: action -> definition
    forged      bigint NOT NULL DEFAULT 0,   -- marks that did not count
    -- The digest of the schema that the next record is written against: that of the
    -- genesis (NULL), then moved by every statement that changes the schema.
    schema      text CHECK (schema ~ '^[0-9a-f]{64}$')
);

-- Signed, wrapped records until every archive has them for good.
CREATE TABLE pgbridge.outbox (
    epoch      integer NOT NULL,
    seq        bigint NOT NULL,
    digest     text NOT NULL,
    item_id    text NOT NULL,
    item       bytea NOT NULL,
    txs        integer NOT NULL,
    end_lsn    pg_lsn NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (epoch, seq)
);
ALTER TABLE pgbridge.outbox ALTER COLUMN item SET STORAGE EXTERNAL; -- compressed already

-- Where each archive stands with each record of the outbox.
CREATE TABLE pgbridge.delivery (
    archive    text NOT NULL,
    epoch      integer NOT NULL,
    seq        bigint NOT NULL,
    state      text NOT NULL CHECK (state IN ('spooled', 'accepted', 'confirmed', 'parked')),
    item_id    text NOT NULL,
    receipt    jsonb,
    attempts   integer NOT NULL DEFAULT 0,
    error      text,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (archive, epoch, seq)
);

-- How far each writer was applied here. Changed in the transaction that applies, so a
-- crash repeats nothing and skips nothing.
CREATE TABLE pgbridge.progress (
    writer     text PRIMARY KEY CHECK (writer ~ '^[0-9a-f]{64}$'),
    epoch      integer NOT NULL,
    seq        bigint NOT NULL,          -- last record of which something was applied
    digest     text NOT NULL,            -- of that record
    txs        integer NOT NULL,         -- how many of its transactions
    complete   boolean NOT NULL,         -- all of them
    lsn        pg_lsn NOT NULL,          -- commit position of the last transaction, at its writer
    clock      text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    schema     text CHECK (schema ~ '^[0-9a-f]{64}$'), -- as in chain
    skip       pg_lsn -- transactions before this position came with a checkpoint
);

-- What could not be applied, with the full story, and what a person decided.
CREATE TABLE pgbridge.quarantine (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    writer     text NOT NULL,
    epoch      integer NOT NULL,
    seq        bigint NOT NULL,
    tx         integer NOT NULL,         -- index in the record, from 0
    sqlstate   text,
    error      text NOT NULL,
    found_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    detail     json, -- the row that differs: table, key, want, got
    decision   text CHECK (decision IN ('skip', 'use-rows')),
    reason     text,
    UNIQUE (writer, epoch, seq, tx)
);

-- The tables of a follower as the stream left them, so that one which somebody
-- else has changed is seen before anything is applied to it.
CREATE TABLE pgbridge.fingerprint (
    table_name text COLLATE "C" PRIMARY KEY, -- as records write it
    digest     text -- NULL: whatever it is, until the next statement of the stream
);

-- What is done of a restore that is under way, so that one that was interrupted goes
-- on. At most one row; none when it is over.
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
