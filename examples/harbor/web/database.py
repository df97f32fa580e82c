"""A few PostgreSQL connections, shared by all requests.

If the database is unavailable, a request fails but the process does not: the next query connects again.
"""

import queue
import select
import time

import psycopg2

CONNECTIONS = 4
WAIT_FOR_A_CONNECTION = 2  # seconds
PAUSE_AFTER_A_REFUSAL = 1  # seconds in which queries fail at once, so that pages stay fast


class Away(Exception):
    """The database did not answer this query. Try again later."""


class Database:
    def __init__(self, url):
        self.url = url
        self.away_until = 0.0
        self.slots = queue.LifoQueue()
        for _ in range(CONNECTIONS):
            self.slots.put(None)  # opened on first use

    def ask(self, sql, *values):
        """Runs one statement in a separate transaction and returns its rows."""
        if time.monotonic() < self.away_until:
            raise Away("the database was away a moment ago")
        try:
            connection = self.slots.get(timeout=WAIT_FOR_A_CONNECTION)
        except queue.Empty:
            raise Away("all database connections are busy") from None
        try:
            connection = self.still_open(connection) or self.connect()
            with connection.cursor() as cursor:
                cursor.execute(sql, values)
                return cursor.fetchall() if cursor.description else []
        except psycopg2.Error as error:
            if connection:
                connection.close()
            connection = None
            raise Away(str(error).strip()) from error
        finally:
            self.slots.put(connection)

    def connect(self):
        try:
            connection = psycopg2.connect(
                self.url, connect_timeout=3, tcp_user_timeout=5000, options="-c statement_timeout=5000"
            )
        except psycopg2.Error:
            self.away_until = time.monotonic() + PAUSE_AFTER_A_REFUSAL
            raise
        connection.autocommit = True
        return connection

    @staticmethod
    def still_open(connection):
        """PostgreSQL sends data on an idle connection only when it closes the connection."""
        if connection and select.select([connection], [], [], 0)[0]:
            connection.close()
            return None
        return connection
