"""An HTTP/1.1 server with persistent connections that finishes open requests when it stops."""

import json
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

IDLE = 2  # seconds until a connection without a request is closed
LONGEST_BODY = 64 * 1024


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = False  # server_close() then waits for the open requests
    stopping = False

    def run_until_told_to_stop(self):
        signal.signal(signal.SIGTERM, self.on_term)
        signal.signal(signal.SIGINT, self.on_term)
        self.serve_forever(poll_interval=0.1)
        self.server_close()

    def on_term(self, *_):
        self.stopping = True
        # shutdown() waits for serve_forever(), which runs in this thread.
        threading.Thread(target=self.shutdown).start()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE
    wbufsize = -1  # head and body in one packet

    def parse_request(self):
        self.body_is_read = False
        return super().parse_request()

    def reply(self, status, body, kind="application/json", **headers):
        data = (json.dumps(body) if kind == "application/json" else body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        if self.server.stopping or self.has_unread_body():
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    def has_unread_body(self):
        """An unread body would be parsed as the next request, so the connection must close."""
        announced = self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers
        return announced and not self.body_is_read

    def body(self):
        """Returns the request's text, or None after refusing the request with a response."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            return self.refuse(411, "say how long the body is")
        if int(length) > LONGEST_BODY:
            return self.refuse(413, f"at most {LONGEST_BODY} bytes")
        data = self.rfile.read(int(length))
        self.body_is_read = True
        return data.decode("utf-8", "replace")

    def refuse(self, status, why):
        self.reply(status, {"error": why})

    def log_message(self, *_):
        """Logs nothing: the ingress counts requests."""
