-- Attempts to get certificates that have not succeeded. The body is sealed, because it contains keys.

CREATE TABLE certificate_attempts (
    name TEXT PRIMARY KEY NOT NULL,
    body BLOB NOT NULL
) STRICT;
