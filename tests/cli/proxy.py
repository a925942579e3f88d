"""Stand-ins between a client and a server: a proxy whose connections can be cut, and a server that is not pexecutor."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

CHUNK_BYTES: Final = 65536
SECONDS_MAX: Final = 20


class Proxy:
    """A proxy to a server. While the proxy is cut, it accepts no connections."""

    def __init__(self, url: str) -> None:
        self.forward_to(url)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = self._listener.getsockname()
        self.asked = b""
        # Changed by the accepting thread and by cut(); the lock makes the changes visible to both.
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.address[1]}"

    def forward_to(self, url: str) -> None:
        """Forward connections to this server from now on."""
        self._target = ("127.0.0.1", int(url.rsplit(":", 1)[1]))

    def cut(self) -> None:
        """Close all connections and accept no new ones."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(SECONDS_MAX)
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(SECONDS_MAX)

    def mend(self) -> None:
        """Accept connections again, at the same address."""
        self._listener = socket.create_server(self.address)
        self._start()

    def _start(self) -> None:
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, args=[self._listener])
        self._accepting.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                ours, _ = listener.accept()
            except OSError:
                return
            theirs = socket.create_connection(self._target)
            with self._lock:
                self._open += [ours, theirs]
            for source, sink in ((ours, theirs), (theirs, ours)):
                thread = threading.Thread(target=self._pass_on, args=[source, sink, source is ours])
                thread.start()
                self._threads.append(thread)

    def _pass_on(self, source: socket.socket, sink: socket.socket, from_client: bool) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                self.asked += data if from_client else b""
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
        with self._lock:
            source.close()
            self._open.remove(source)


@contextmanager
def proxy_to(url: str) -> Iterator[Proxy]:
    """Start a proxy to a server; cut it at the end."""
    proxy = Proxy(url)
    try:
        yield proxy
    finally:
        proxy.cut()


class Answer:
    """The fixed reply of a foreign server, and the requests that it got."""

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.status = status
        self.body = body
        self.headers = headers
        self.url = ""
        self.authorizations: list[str | None] = []


@contextmanager
def answering(status: int, body: bytes, **headers: str) -> Iterator[Answer]:
    """Run a server that always sends the same reply."""
    answer = Answer(status, body, headers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer.authorizations.append(self.headers["Authorization"])
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        answer.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield answer
        finally:
            server.shutdown()
            thread.join()
