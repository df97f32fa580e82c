"""Serves the harbor's page with visits and notes, which PostgreSQL stores.

`/` always works. Pages that need the database return 503 while it is unavailable.
"""

import os
import socket
from pathlib import Path
from string import Template
from urllib.parse import parse_qs, urlsplit

from database import Away, Database
from serving import Handler, Server

HERE = Path(__file__).parent
PAGE = Template((HERE / "page.html").read_text())
VERSION = (HERE / "version.txt").read_text().strip()
DATABASE = Database(os.environ["DATABASE_URL"])


class Web(Handler):
    def do_GET(self):
        self.answer({"/": self.page, "/health": self.health, "/notes": self.notes, "/heartbeat": self.heartbeat})

    def do_POST(self):
        self.answer({"/notes": self.add_note})

    def answer(self, pages):
        page = pages.get(urlsplit(self.path).path)
        if page is None:
            return self.refuse(404, "nothing is moored here")
        try:
            page()
        except Away as reason:
            print(f"503 {self.command} {self.path}: {reason}", flush=True)
            self.reply(503, {"error": "the database is away, please try again"})

    def page(self):
        try:
            [[visits]] = DATABASE.ask("SELECT nextval('visits')")
        except Away:
            visits = "unknown"
        text = PAGE.substitute(version=VERSION, visits=visits, instance=socket.gethostname())
        self.reply(200, text, kind="text/html; charset=utf-8")

    def health(self):
        # Checks only this process: restarting it would not repair the database.
        self.reply(200, {"status": "ok"})

    def notes(self):
        rows = DATABASE.ask("SELECT id, text, written_at FROM notes ORDER BY id DESC LIMIT 100")
        self.reply(200, [{"id": id, "text": text, "written_at": at.isoformat()} for id, text, at in rows])

    def add_note(self):
        text = self.body()
        if text is None:
            return
        is_form = self.headers.get_content_type() == "application/x-www-form-urlencoded"
        if is_form:
            text = parse_qs(text).get("text", [""])[0]
        text = text.replace("\0", "").strip()
        if not text:
            return self.reply(400, {"error": "an empty note says nothing"})
        [[id]] = DATABASE.ask("INSERT INTO notes (text) VALUES (%s) RETURNING id", text)
        if is_form:
            return self.reply(303, {"id": id}, Location="/")
        self.reply(201, {"id": id, "text": text})

    def heartbeat(self):
        [[beats, age]] = DATABASE.ask("SELECT count(*), extract(epoch FROM now() - max(at))::float FROM heartbeats")
        self.reply(200, {"beats": beats, "seconds_since_the_last": age})


if __name__ == "__main__":
    server = Server(("", int(os.environ.get("PORT", "8080"))), Web)
    print(f"web {VERSION} listens on port {server.server_port}", flush=True)
    server.run_until_told_to_stop()
    print("web has finished its open requests", flush=True)
