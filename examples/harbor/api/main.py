"""Serves the harbor's tide table as JSON, without a database.

The service has the route /api. The ingress removes this prefix, so /api/tides arrives as /tides.
"""

import json
import math
import os
import signal
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

TIDE = 12.42 * 3600  # seconds from one high water to the next
MEAN, SWING = 4.0, 2.5  # metres


def height(at):
    return round(MEAN + SWING * math.cos(2 * math.pi * at / TIDE), 2)


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 5  # seconds until an idle connection is closed
    wbufsize = -1  # head and body in one packet

    def do_GET(self):
        now = time.time()
        match urlsplit(self.path).path:
            case "/health":
                self.reply(200, {"status": "ok"})
            case "/" | "":
                self.reply(200, {"metres": height(now), "instance": socket.gethostname()})
            case "/tides":
                self.reply(200, [{"in_hours": hour, "metres": height(now + hour * 3600)} for hour in range(24)])
            case _:
                self.reply(404, {"error": "no such table"})

    def reply(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if self.server.stopping or self.headers.get("Content-Length") or "Transfer-Encoding" in self.headers:
            # The server is stopping, or the request has a body, which this handler does not read.
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        """Logs nothing: the ingress counts requests."""


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = False  # server_close() then waits for the open requests
    stopping = False

    def on_term(self, *_):
        self.stopping = True
        # shutdown() waits for serve_forever(), which runs in this thread.
        threading.Thread(target=self.shutdown).start()


if __name__ == "__main__":
    server = Server(("", int(os.environ.get("PORT", "8080"))), Api)
    signal.signal(signal.SIGTERM, server.on_term)
    print(f"api listens on port {server.server_port}", flush=True)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
