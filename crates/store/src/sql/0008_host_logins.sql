-- Logins for other hosts: git servers and registries of images. `kind` says what the login is for, and `host` has a port
-- if it is not the usual one.

CREATE TABLE host_logins (
    kind TEXT NOT NULL,
    host TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (kind, host)
) STRICT;
