"""A receiver of notifications on the loopback address. It is slow, unwilling or down at times, until it is steady."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any, Final, NamedTuple

SLOW_SECONDS: Final = (0.1, 0.5)
MOODS: Final = {"prompt": 16, "slow": 2, "unwilling": 1, "silent": 1}
"""What the receiver does with a request, and how often: it replies at once or later, replies 503, or takes the
notification and closes the connection without a reply."""


class Notification(NamedTuple):
    """A notification that the receiver has taken."""

    webhook_id: str
    body: bytes


class Receiver:
    """Takes notifications in threads of its own, and keeps all that it has taken.

    Parameters:
        chance: decides what the receiver does with each request.
    """

    def __init__(self, chance: Random) -> None:
        self.taken: list[Notification] = []
        self.refused = 0
        self.is_steady = False
        self._chance = chance
        # This socket does not listen. It keeps the port for the receiver while the receiver is down.
        self._port_holder = socket.socket()
        self._port_holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._port_holder.bind(("127.0.0.1", 0))
        self.port: int = self._port_holder.getsockname()[1]

    @contextmanager
    def opened(self) -> Iterator[Receiver]:
        """Keep the port of the receiver in this context."""
        with self._port_holder:
            yield self

    @contextmanager
    def up(self) -> Iterator[None]:
        """Take notifications in this context; outside of it, connections are refused."""
        server = _Server(("127.0.0.1", self.port), _handler_of(self))
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def take(self, notification: Notification) -> int | None:
        """Decide about a request: return the status of the reply, or ``None`` for no reply."""
        [mood] = ["prompt"] if self.is_steady else self._chance.choices([*MOODS], [*MOODS.values()])
        if mood == "unwilling":
            self.refused += 1
            return 503
        self.taken.append(notification)
        if mood == "slow":
            time.sleep(self._chance.uniform(*SLOW_SECONDS))
        return None if mood == "silent" else 204


class _Server(ThreadingHTTPServer):
    allow_reuse_port = True
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore the connections of killed servers."""


def _handler_of(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            body = self.rfile.read(length)
            if len(body) < length:  # the server was killed while it sent the request
                return
            status = receiver.take(Notification(self.headers["webhook-id"], body))
            if status is not None:
                self.send_response(status)
                self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Write no access log."""

    return Handler
