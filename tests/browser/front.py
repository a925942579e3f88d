"""A server in front of another one that wants to be signed in to, with one token and one cookie."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "open sesame"
COOKIE = "session=yes"
PASSED_ON = ("Content-Type", "Last-Event-ID")
PASSED_BACK = ("Content-Type", "Content-Security-Policy", "Link", "Date")


class Front(BaseHTTPRequestHandler):
    """Answers one request, or has the server behind answer it."""

    behind: int

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        is_page = self.path == "/" or self.path.startswith("/dashboard")
        if self.path == "/session":
            self.sign_in_or_out(body)
        elif is_page or COOKIE in self.headers.get("Cookie", ""):
            with closing(http.client.HTTPConnection("127.0.0.1", self.behind)) as connection, suppress(OSError):
                self.pass_on(connection, body)
        else:
            self.reply(401)

    def sign_in_or_out(self, body: bytes) -> None:
        if self.command == "DELETE":
            self.reply(204, cookie=f"{COOKIE}; Max-Age=0")
        elif json.loads(body) == {"token": TOKEN}:
            self.reply(204, cookie=COOKIE)
        else:
            self.reply(401)

    def reply(self, status: int, *, cookie: str | None = None) -> None:
        self.send_response(status)
        if cookie is not None:
            self.send_header("Set-Cookie", f"{cookie}; HttpOnly; SameSite=Strict; Path=/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def pass_on(self, connection: http.client.HTTPConnection, body: bytes) -> None:
        headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
        connection.request(self.command, self.path, body, headers)
        reply = connection.getresponse()
        self.send_response_only(reply.status)
        for name in PASSED_BACK:
            if name in reply.headers:
                self.send_header(name, reply.headers[name])
        self.end_headers()
        while data := reply.read1():
            self.wfile.write(data)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  (its name there)
        """Print nothing."""


for method in ("GET", "POST", "PATCH", "DELETE"):
    setattr(Front, f"do_{method}", Front.answer)


@contextmanager
def signing_in(port: int) -> Iterator[str]:
    """The URL at which the server at this port asks for the token; the page itself is for everybody."""
    handler = type("FrontOfOne", (Front,), {"behind": port})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.socket.close()
