-- What the ingress sent to clients for each app on each day. `ingress` is one ingress process, whose counts only
-- increase: it counted the bytes from `first` to `last` on that day. `day` counts days since 1970-01-01 in UTC.

CREATE TABLE bandwidth (
    app     TEXT    NOT NULL REFERENCES apps (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    day     INTEGER NOT NULL,
    ingress TEXT    NOT NULL,
    first   INTEGER NOT NULL,
    last    INTEGER NOT NULL,
    PRIMARY KEY (app, day, ingress)
) STRICT, WITHOUT ROWID;
