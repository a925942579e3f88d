"""Stand-ins between a client and a server: a proxy that loses replies, and a server whose replies are scripted."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

SECONDS_MAX: Final = 30
NO_HEADERS: Final[Mapping[str, str]] = {}
HOP_HEADERS: Final = {"connection", "content-length", "transfer-encoding", "host"}


class Seen(NamedTuple):
    """A request that a stand-in got."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Scripted(NamedTuple):
    """A reply of a scripted server; without a status, the connection is closed instead."""

    status: int | None
    body: Any = None
    headers: Mapping[str, str] = NO_HEADERS


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    reply: Callable[[Seen], Scripted]

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        seen = Seen(self.command, self.path, dict(self.headers), self.rfile.read(length))
        scripted = type(self).reply(seen)
        if scripted.status is None:
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            return
        body = scripted.body if isinstance(scripted.body, bytes) else json.dumps(scripted.body).encode()
        self.send_response(scripted.status)
        for name, value in scripted.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = _answer  # noqa: N815 - the names that the base class calls

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _serving(reply: Callable[[Seen], Scripted]) -> Iterator[str]:
    handler = type("Handler", (_Handler,), {"reply": staticmethod(reply)})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(SECONDS_MAX)


@contextmanager
def scripted(*replies: Scripted) -> Iterator[tuple[str, list[Seen]]]:
    """Run a server that gives each reply once, and the last one again and again; yield its URL and its requests."""
    seen: list[Seen] = []

    def reply(request: Seen) -> Scripted:
        seen.append(request)
        return replies[min(len(seen), len(replies)) - 1]

    with _serving(reply) as url:
        yield url, seen


@contextmanager
def losing_replies(url: str, *, every: int) -> Iterator[str]:
    """Run a proxy to a server that closes the connection instead of passing on every n-th reply."""
    target = urlsplit(url).netloc
    lock = threading.Lock()
    passed = 0

    def reply(request: Seen) -> Scripted:
        nonlocal passed
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_HEADERS}
        connection = http.client.HTTPConnection(target, timeout=SECONDS_MAX)
        try:
            connection.request(request.method, request.path, request.body or None, headers)
            answered = connection.getresponse()
            body = answered.read()
        finally:
            connection.close()
        with lock:
            passed += 1
            is_lost = passed % every == 0
        kept = {name: value for name, value in answered.getheaders() if name.lower() not in HOP_HEADERS}
        return Scripted(None) if is_lost else Scripted(answered.status, body, kept)

    with _serving(reply) as address:
        yield address
