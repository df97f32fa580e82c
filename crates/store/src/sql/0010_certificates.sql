-- Certificates for the host names of apps, and accounts at certificate authorities. The bodies are sealed, because they
-- contain keys.

CREATE TABLE certificates (
    name TEXT PRIMARY KEY NOT NULL,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE acme_accounts (
    directory TEXT PRIMARY KEY NOT NULL,
    body      BLOB NOT NULL
) STRICT;
