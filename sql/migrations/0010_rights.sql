-- What of owners and privileges this copy was made with, as pg_restore's options
-- of these names say it.
ALTER TABLE pgbridge.database
    ADD COLUMN no_owner boolean NOT NULL DEFAULT false,
    ADD COLUMN no_privileges boolean NOT NULL DEFAULT false;

-- Rights that the owners of tables have until indexes and constraints are made: the
-- statements that take them back.
CREATE TABLE pgbridge.lent (
    statement text PRIMARY KEY
);
REVOKE ALL ON pgbridge.lent FROM PUBLIC;
