-- Roles that statements of the stream may run as here.

-- A role that the administrator has admitted (admit_author). Both numbers and names are
-- compared: a role that has another name now, or another number, must be admitted again.
CREATE TABLE pgbridge.author (
    role        oid PRIMARY KEY,
    name        name NOT NULL UNIQUE,
    admitted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Rights that the owners of tables have until indexes and constraints are made: the
-- statements that take them back.
CREATE TABLE pgbridge.lent (
    statement text PRIMARY KEY
);
