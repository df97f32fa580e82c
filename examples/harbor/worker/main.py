"""Writes a heartbeat to PostgreSQL once a second, which shows that the worker runs."""

import os
import signal
import socket
import threading

import psycopg2

BEAT = 1  # seconds
NAME = socket.gethostname()

stop = threading.Event()


def beat_until_it_breaks():
    connection = psycopg2.connect(os.environ["DATABASE_URL"], connect_timeout=3, tcp_user_timeout=5000)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            print(f"{NAME} beats every {BEAT} s", flush=True)
            while not stop.is_set():
                cursor.execute("INSERT INTO heartbeats (worker) VALUES (%s)", (NAME,))
                cursor.execute("DELETE FROM heartbeats WHERE at < now() - interval '1 hour'")
                stop.wait(BEAT)
    finally:
        connection.close()


def main():
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    while not stop.is_set():
        try:
            beat_until_it_breaks()
        except psycopg2.Error as error:
            print(f"the database is away, trying again: {str(error).strip()}", flush=True)
            stop.wait(BEAT)
    print(f"{NAME} has stopped", flush=True)


if __name__ == "__main__":
    main()
