-- Roles that statements of the stream may run as here.

-- A role that the administrator has admitted (admit_author). Both numbers and names are
-- compared: a role that has another name now, or another number, must be admitted again.
CREATE TABLE pgbridge.author (
    role        oid PRIMARY KEY,
    name        name NOT NULL UNIQUE,
    admitted_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Rights that roles have for a time: the service role for a statement, the owners of tables
-- until indexes and constraints are made.
CREATE TABLE pgbridge.lent (
    privilege text CHECK (privilege IN ('CREATE', 'USAGE', 'REFERENCES', 'EXECUTE')),
    classid   oid, -- pg_namespace, pg_class or pg_proc
    objid     oid,
    role      oid,
    PRIMARY KEY (privilege, classid, objid, role)
);
