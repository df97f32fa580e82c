-- What happened to instances while a deployment was rolled out. `number` orders the rows of a deployment. A transition
-- that is recorded again after a crash has the same `since`: the beginning of the phase in which it happened.

CREATE TABLE transitions (
    number     INTEGER PRIMARY KEY,
    deployment TEXT    NOT NULL REFERENCES deployments (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    instance   TEXT    NOT NULL,
    transition TEXT    NOT NULL,
    since      INTEGER NOT NULL,
    body       TEXT    NOT NULL,
    UNIQUE (deployment, instance, transition, since)
) STRICT;
