-- Keys are columns, the rest is a JSON body; sealed bodies are blobs. Booleans are 0 and 1.
-- References are checked when a transaction ends, so that the order of changes within one does not matter.

CREATE TABLE installation (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    id        TEXT    NOT NULL,
    key_check BLOB    NOT NULL,
    sequence  INTEGER NOT NULL
) STRICT;

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE apps (
    id      TEXT    PRIMARY KEY NOT NULL,
    name    TEXT    NOT NULL UNIQUE,
    network INTEGER NOT NULL UNIQUE,
    body    TEXT    NOT NULL
) STRICT;

CREATE TABLE deployments (
    id     TEXT    PRIMARY KEY NOT NULL,
    app    TEXT    NOT NULL REFERENCES apps (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    number INTEGER NOT NULL,
    ended  INTEGER NOT NULL,
    body   TEXT    NOT NULL,
    UNIQUE (app, number)
) STRICT;
CREATE INDEX deployments_under_way ON deployments (app) WHERE ended = 0;

CREATE TABLE instances (
    name TEXT PRIMARY KEY NOT NULL,
    app  TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX instances_by_app ON instances (app);

CREATE TABLE revisions (
    app  TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    id   TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (app, id)
) STRICT;

CREATE TABLE job_runs (
    deployment TEXT    NOT NULL,
    job        TEXT    NOT NULL,
    app        TEXT    NOT NULL REFERENCES apps (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    collected  INTEGER NOT NULL,
    body       TEXT    NOT NULL,
    PRIMARY KEY (deployment, job)
) STRICT;
CREATE INDEX job_runs_by_app ON job_runs (app, collected);

CREATE TABLE databases (
    app  TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    name TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (app, name)
) STRICT;

CREATE TABLE built_images (
    identity TEXT PRIMARY KEY NOT NULL,
    app      TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    body     TEXT NOT NULL
) STRICT;
CREATE INDEX built_images_by_app ON built_images (app);

CREATE TABLE idempotency (
    caller     TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    deployment TEXT    NOT NULL REFERENCES deployments (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    created    INTEGER NOT NULL,
    PRIMARY KEY (caller, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (created);
CREATE INDEX idempotency_by_deployment ON idempotency (deployment);
