-- Tokens of the API beside the admin token, and the audit trail of requests.

CREATE TABLE tokens (
    id   TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL UNIQUE,
    hash TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL
) STRICT;

-- `serial` counts accepted and refused requests separately, so that each kind keeps its own newest rows.
CREATE TABLE audit (
    number   INTEGER PRIMARY KEY,
    accepted INTEGER NOT NULL,
    serial   INTEGER NOT NULL,
    app      TEXT,
    app_name TEXT,
    body     TEXT    NOT NULL,
    UNIQUE (accepted, serial)
) STRICT;
