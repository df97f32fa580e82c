-- An app that is being deleted no longer holds its name, so another app may have it at once.
-- SQLite cannot drop a UNIQUE constraint, so the table is rebuilt.

CREATE TABLE new_apps (
    id       TEXT    PRIMARY KEY NOT NULL,
    name     TEXT    NOT NULL,
    deleting INTEGER NOT NULL,
    network  INTEGER NOT NULL UNIQUE,
    body     TEXT    NOT NULL
) STRICT;

-- A body that cannot be read keeps its name taken.
INSERT INTO new_apps (id, name, deleting, network, body)
SELECT id, name, CASE WHEN json_valid(body) THEN coalesce(json_extract(body, '$.deleting'), 0) ELSE 0 END, network, body
FROM apps;

DROP TABLE apps;
ALTER TABLE new_apps RENAME TO apps;
CREATE UNIQUE INDEX apps_by_name ON apps (name) WHERE deleting = 0;
