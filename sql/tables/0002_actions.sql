-- Named actions: functions that only their owner may execute, whose calls the stream
-- carries by name and parameters.

-- What makes a mark in the WAL count: any role can emit a logical message. One row.
CREATE TABLE pgbridge.secret (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    secret   text NOT NULL CHECK (length(secret) >= 64)
);
INSERT INTO pgbridge.secret (secret)
SELECT replace(concat(gen_random_uuid(), gen_random_uuid(), gen_random_uuid()), '-', '');

-- The actions as defined here, or at the writer that this database follows.
CREATE TABLE pgbridge.action (
    name       text COLLATE "C" PRIMARY KEY, -- as records write it: app.create_post_owner
    function   text NOT NULL,                -- app.create_post_owner(uuid,text)
    definition json NOT NULL,                -- exactly the text that the stream has
    statement  text,                         -- what pgbridge.call runs; none where the function is not here
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The actions of other systems that were replayed into this database (pgbridge
-- import). A row is written in the transaction of its action, so no run, also
-- one that was killed, makes another import it again.
CREATE TABLE pgbridge.imported (
    source text NOT NULL, -- kwil: and the id of the database there
    id     text NOT NULL, -- of the action there
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (source, id)
);
