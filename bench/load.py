"""Generate load: several connections, each with one request in flight until all requests are sent.

The client uses one thread and one selector, so that its own cost affects the figures little. The number of requests
and the time are bounded. A reply that is not a success ends the benchmark.
"""

from __future__ import annotations

import re
import selectors
import socket
import time
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

CONNECTIONS: Final = 32
SECONDS_MAX: Final = 60.0
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


class Load(NamedTuple):
    """The result of a load.

    Parameters:
        answered: the number of successful replies.
        seconds: the time from the first request to the last reply.
        round_trips: the seconds of each request, in the order of the replies.
    """

    answered: int
    seconds: float
    round_trips: list[float]


def post(path: str, body: bytes, token: str | None = None) -> bytes:
    """Return the bytes of a POST request."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    authorization = "" if token is None else f"\r\nAuthorization: Bearer {token}"
    return f"{head}{authorization}\r\n\r\n".encode() + body


def get(path: str) -> bytes:
    """Return the bytes of a GET request."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def load(port: int, requests: Iterable[bytes], connections: int = CONNECTIONS) -> Load:
    """Send all requests and receive all replies.

    Raises:
        SystemExit: a request failed, or the replies took longer than `SECONDS_MAX`.
    """
    waiting = iter(requests)
    round_trips: list[float] = []
    begin = time.perf_counter()
    with selectors.EpollSelector() as selector:
        for _ in range(connections):
            lane = _Lane(port)
            if lane.send_next(waiting):
                selector.register(lane.socket, selectors.EVENT_READ, lane)
        while selector.get_map():
            if time.perf_counter() - begin > SECONDS_MAX:
                raise SystemExit(
                    f"the load did not end within {SECONDS_MAX:g} s; {len(round_trips)} requests were answered"
                )
            for key, _ in selector.select(1.0):
                if (seconds := key.data.receive()) is not None:
                    round_trips.append(seconds)
                    if not key.data.send_next(waiting):
                        selector.unregister(key.fileobj)
                        key.data.socket.close()
    return Load(len(round_trips), time.perf_counter() - begin, round_trips)


class _Lane:
    """One connection, and the part of the current reply that has arrived."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answer = b""
        self._sent_at = 0.0

    def send_next(self, requests: Iterator[bytes]) -> bool:
        """Send the next request; return whether there was one."""
        request = next(requests, None)
        if request is not None:
            self._sent_at = time.perf_counter()
            self.socket.sendall(request)
        return request is not None

    def receive(self) -> float | None:
        """Read from the socket; return the round trip in seconds once the reply is complete, else ``None``."""
        piece = self.socket.recv(262_144)
        self._answer += piece
        head, separator, body = self._answer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n") if separator else None
        if not piece or (separator and (length is None or not self._answer.startswith(b"HTTP/1.1 2"))):
            raise SystemExit(f"a request failed; the reply was: {self._answer[:500].decode(errors='replace')}")
        if length is None or len(body) < int(length[1]):
            return None
        self._answer = b""
        return time.perf_counter() - self._sent_at
