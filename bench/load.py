"""Load: so many connections, each with a request under way at all times, as long as there are requests.

One thread and one selector: what a client costs is not to be what is measured. Bounded by its list of requests and by
a time; an answer that is no success ends the benchmark.
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
    """What became of the requests.

    Parameters:
        answered: how many succeeded.
        seconds: from the first one to the last answer.
        round_trips: the seconds of each, in the order of the answers.
    """

    answered: int
    seconds: float
    round_trips: list[float]


def post(path: str, body: bytes, token: str | None = None) -> bytes:
    """A request as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    shown = "" if token is None else f"\r\nAuthorization: Bearer {token}"
    return f"{head}{shown}\r\n\r\n".encode() + body


def get(path: str) -> bytes:
    """A request as it goes over the wire."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def load(port: int, requests: Iterable[bytes], connections: int = CONNECTIONS) -> Load:
    """Send all requests and take all answers."""
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
                raise SystemExit(f"{len(round_trips)} requests were answered in {SECONDS_MAX:g} s, and not all")
            for key, _ in selector.select(1.0):
                if (seconds := key.data.receive()) is not None:
                    round_trips.append(seconds)
                    if not key.data.send_next(waiting):
                        selector.unregister(key.fileobj)
                        key.data.socket.close()
    return Load(len(round_trips), time.perf_counter() - begin, round_trips)


class _Lane:
    """One connection, and what has come of its answer."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answer = b""
        self._sent_at = 0.0

    def send_next(self, requests: Iterator[bytes]) -> bool:
        """Send a request if there is one more."""
        request = next(requests, None)
        if request is not None:
            self._sent_at = time.perf_counter()
            self.socket.sendall(request)
        return request is not None

    def receive(self) -> float | None:
        """Take what has come; the seconds that the answer took, once it is whole."""
        piece = self.socket.recv(262_144)
        self._answer += piece
        head, separator, body = self._answer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head + b"\r\n") if separator else None
        if not piece or (separator and (length is None or not self._answer.startswith(b"HTTP/1.1 2"))):
            raise SystemExit(f"a request was answered {self._answer[:500].decode(errors='replace')}")
        if length is None or len(body) < int(length[1]):
            return None
        self._answer = b""
        return time.perf_counter() - self._sent_at
