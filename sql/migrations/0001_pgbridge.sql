-- Everything pgbridge keeps in a database lives in this schema. The bridge
-- itself is stateless: whoever holds the database holds its state.

CREATE SCHEMA pgbridge;
REVOKE ALL ON SCHEMA pgbridge FROM PUBLIC;

CREATE TABLE pgbridge.migration (
    version    integer PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
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
    CHECK (stage = 'init' OR (db_id IS NOT NULL AND genesis IS NOT NULL))
);

-- A text that any change to the publication changes, also one that is undone
-- again, but for that of its list of tables, which has its own (pgbridge.published).
CREATE FUNCTION pgbridge.publication_mark() RETURNS text LANGUAGE plpgsql STABLE SET search_path = pg_catalog AS $$
DECLARE
    pub     record;
    schemas text;
BEGIN
    SELECT p.oid, p.xmin INTO pub FROM pg_publication p JOIN pgbridge.database d ON p.pubname = d.publication;
    IF to_regclass('pg_publication_namespace') IS NOT NULL THEN -- since 15
        SELECT string_agg(concat_ws('.', oid, xmin), ' ' ORDER BY oid) INTO schemas FROM pg_publication_namespace WHERE pnpubid = pub.oid;
    END IF;
    RETURN md5(concat_ws('/', pub.oid, pub.xmin, schemas));
END $$;

-- The head of the chain this database writes: what the next record follows.
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
    timeline    integer NOT NULL
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

-- How far each writer has been applied here. Changed in the transaction that
-- applies, so a crash repeats nothing and skips nothing.
CREATE TABLE pgbridge.progress (
    writer     text PRIMARY KEY CHECK (writer ~ '^[0-9a-f]{64}$'),
    epoch      integer NOT NULL,
    seq        bigint NOT NULL,          -- last record of which something was applied
    digest     text NOT NULL,            -- of that record
    txs        integer NOT NULL,         -- how many of its transactions
    complete   boolean NOT NULL,         -- all of them
    lsn        pg_lsn NOT NULL,          -- commit position of the last transaction, at its writer
    clock      text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What could not be applied, with the full story.
CREATE TABLE pgbridge.quarantine (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    writer     text NOT NULL,
    epoch      integer NOT NULL,
    seq        bigint NOT NULL,
    tx         integer NOT NULL,         -- index in the record, from 0
    sqlstate   text,
    error      text NOT NULL,
    found_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (writer, epoch, seq, tx)
);
