-- Addresses at which hosts of repositories report pushes, and what they reported.

-- The body is sealed, because it contains the secret.
CREATE TABLE webhooks (
    name TEXT PRIMARY KEY NOT NULL,
    body BLOB NOT NULL
) STRICT;

-- `open`: the result is not known for all apps.
CREATE TABLE webhook_deliveries (
    number  INTEGER PRIMARY KEY,
    webhook TEXT    NOT NULL REFERENCES webhooks (name) ON DELETE CASCADE,
    id      TEXT    NOT NULL,
    open    INTEGER NOT NULL,
    body    TEXT    NOT NULL,
    UNIQUE (webhook, id)
) STRICT;
