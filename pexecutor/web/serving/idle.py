"""Connections that wait for a request: they end when that takes too long, and when the server stops.

One Trio task watches the times of all, so none of them has a timer. They stand in line in the order of their deadlines:
each has the same time, so the one that began to wait last is the last.
"""

from __future__ import annotations

from typing import Protocol

import trio


class Idle(Protocol):
    """A connection that waits."""

    def end(self) -> None:
        """Have it close itself."""


class IdleConnections:
    """Those of one server.

    Parameters:
        seconds_max: how long one may wait.
    """

    def __init__(self, seconds_max: float) -> None:
        self._seconds_max = seconds_max
        # Owned by add(), keep() and discard(): when each is to end, the next one first.
        self._deadlines: dict[Idle, float] = {}

    def add(self, *connections: Idle) -> None:
        """They wait from now on."""
        deadlines, deadline = self._deadlines, trio.current_time() + self._seconds_max
        for connection in connections:
            deadlines.pop(connection, None)
            deadlines[connection] = deadline

    def keep(self, connection: Idle) -> None:
        """It waits; the time goes on when it has waited already."""
        if connection not in self._deadlines:
            self.add(connection)

    def discard(self, connection: Idle) -> None:
        """It does not wait, or is no more."""
        self._deadlines.pop(connection, None)

    async def run(self) -> None:
        """End those that wait for too long, until it is cancelled."""
        while True:
            now = trio.current_time()
            self._end([connection for connection, deadline in self._deadlines.items() if deadline <= now])
            await trio.sleep_until(next(iter(self._deadlines.values()), now + self._seconds_max))

    def end_all(self) -> None:
        """End all that wait now."""
        self._end(list(self._deadlines))

    def _end(self, connections: list[Idle]) -> None:
        for connection in connections:
            self.discard(connection)
            connection.end()
