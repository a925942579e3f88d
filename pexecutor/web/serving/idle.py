"""Connections that wait for a request: they are closed after a time limit, and when the server stops.

One Trio task watches all of them, so no connection has its own timer. Every connection has the same time limit, so the
order in which they began to wait is the order of their deadlines.
"""

from __future__ import annotations

import select
from typing import Protocol

import trio


class Idle(Protocol):
    """A connection that waits for a request."""

    def end(self) -> None:
        """Make the connection close itself."""

    def has_unread_input(self) -> bool:
        """Return whether the client has sent something, or closed the connection, and nobody has read it."""


class IdleConnections:
    """The waiting connections of one server.

    Parameters:
        seconds_max: how long a connection may wait.
    """

    def __init__(self, seconds_max: float) -> None:
        self._seconds_max = seconds_max
        # Owned by add(), keep() and discard(): the deadline of each connection, the earliest first.
        self._deadlines: dict[Idle, float] = {}

    def add(self, *connections: Idle) -> None:
        """Add connections whose time begins now, even if they have waited before."""
        deadlines, deadline = self._deadlines, trio.current_time() + self._seconds_max
        for connection in connections:
            deadlines.pop(connection, None)
            deadlines[connection] = deadline

    def keep(self, connection: Idle) -> None:
        """Add a connection; if it waits already, its deadline stays."""
        if connection not in self._deadlines:
            self.add(connection)

    def discard(self, connection: Idle) -> None:
        """Remove a connection that no longer waits, or has ended."""
        self._deadlines.pop(connection, None)

    async def run(self) -> None:
        """End connections whose deadline has passed, until cancelled."""
        while True:
            now = trio.current_time()
            self._end([connection for connection, deadline in self._deadlines.items() if deadline <= now])
            await trio.sleep_until(next(iter(self._deadlines.values()), now + self._seconds_max))

    def end_all(self) -> None:
        """End all waiting connections, except those whose next request has arrived: they end after their reply."""
        self._end([connection for connection in self._deadlines if not connection.has_unread_input()])

    def _end(self, connections: list[Idle]) -> None:
        for connection in connections:
            self.discard(connection)
            connection.end()


def has_unread_input(fd: int) -> bool:
    """Return whether a read from this socket would not block."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))
