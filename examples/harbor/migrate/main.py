"""Creates the tables before the first new instance starts. Running it again changes nothing."""

import os
import sys
import time

import psycopg2

PATIENCE = 30  # seconds to wait for the database
LOCK = 7214  # arbitrary, but the same in every migration of this database

TABLES = """
CREATE SEQUENCE IF NOT EXISTS visits;
CREATE TABLE IF NOT EXISTS notes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    text text NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE IF NOT EXISTS heartbeats (
    worker text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS heartbeats_at ON heartbeats (at);
"""


def connect():
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return psycopg2.connect(os.environ["DATABASE_URL"], connect_timeout=3)
        except psycopg2.OperationalError as error:
            if time.monotonic() > deadline:
                sys.exit(f"the database did not answer within {PATIENCE} s: {str(error).strip()}")
            time.sleep(0.2)


def main():
    connection = connect()
    try:
        with connection, connection.cursor() as cursor:  # one transaction
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            cursor.execute(TABLES)
    finally:
        connection.close()
    print("the tables are there", flush=True)


if __name__ == "__main__":
    main()
