-- What a person decided on a transaction that could not be applied, and how a
-- replayed action differs from what its record says.

ALTER TABLE pgbridge.quarantine
    ADD COLUMN detail   json, -- the row that differs: table, key, want, got
    ADD COLUMN decision text CHECK (decision IN ('skip', 'use-rows')),
    ADD COLUMN reason   text;
