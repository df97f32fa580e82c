-- Where the alerts of an app would be sent. The alerts themselves are in the app's spec.

CREATE TABLE alert_destinations (
    app   TEXT NOT NULL REFERENCES apps (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    alert TEXT NOT NULL,
    body  BLOB NOT NULL,
    PRIMARY KEY (app, alert)
) STRICT;
