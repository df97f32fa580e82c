"""A few PostgreSQL connections, shared by all requests.

A database that is away costs a request an error, never the process: the next question connects again.
"""

import queue
import select
import time

import psycopg2

CONNECTIONS = 4
WAIT_FOR_A_CONNECTION = 2  # seconds
PAUSE_AFTER_A_REFUSAL = 1  # seconds in which we say "away" without asking, so that pages stay quick


class Away(Exception):
    """The database did not answer this question. Ask again later."""


class Database:
    def __init__(self, url):
        self.url = url
        self.away_until = 0.0
        self.slots = queue.LifoQueue()
        for _ in range(CONNECTIONS):
            self.slots.put(None)  # opened when first needed

    def ask(self, sql, *values):
        """The rows of one statement, which is a transaction of its own."""
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
        """PostgreSQL says nothing on an idle connection, unless it ends it."""
        if connection and select.select([connection], [], [], 0)[0]:
            connection.close()
            return None
        return connection
