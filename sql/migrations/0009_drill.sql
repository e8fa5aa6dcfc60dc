-- Restores into a throw-away server, to see that they work (pgbridge drill).
CREATE TABLE pgbridge.drill (
    at      timestamptz PRIMARY KEY DEFAULT clock_timestamp(), -- when it was over
    ok      boolean NOT NULL,
    person  boolean NOT NULL, -- it failed, and not because something was away
    seconds double precision NOT NULL,
    report  jsonb NOT NULL -- as pgbridge drill --json prints it
);
REVOKE ALL ON pgbridge.drill FROM PUBLIC;
