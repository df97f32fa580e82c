-- Tokens of the API beside the admin token, and the audit trail of requests.

CREATE TABLE tokens (
    id   TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL UNIQUE,
    hash TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL
) STRICT;

-- `actor` is the id of a token, and empty for the admin token. `serial` counts the accepted and the refused requests of
-- each token separately, so that no token pushes out rows of another one.
CREATE TABLE audit (
    number   INTEGER PRIMARY KEY,
    actor    TEXT    NOT NULL,
    accepted INTEGER NOT NULL,
    serial   INTEGER NOT NULL,
    app      TEXT,
    app_name TEXT,
    body     TEXT    NOT NULL,
    UNIQUE (actor, accepted, serial)
) STRICT;
