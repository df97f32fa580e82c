-- Sessions of the control panel.

CREATE TABLE sessions (
    id   TEXT PRIMARY KEY NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL
) STRICT;
