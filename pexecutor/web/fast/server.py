"""What all connections of the fast listener share: the app, the hot routes, the rounds, the clock and the stop.

One Trio task watches the times of all connections, so none of them has a timer. Those that wait for a request stand in
line in the order of their deadlines: each has the same time, so the one that began to wait last is the last.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import trio
from hypercorn.typing import ASGIFramework
from hypercorn.utils import parse_socket_addr

from ..listener import Stream
from .connection import FastConnection
from .hot import HotRoutes
from .request import Ends
from .rounds import Rounds
from .transport import transport_of


class FastHttp:
    """Speaks HTTP/1.1.

    Parameters:
        app: what answers.
        hot: what answers before it.
        idle_seconds_max: how long a connection may take to send a request's head, and stay idle between two.
    """

    def __init__(self, app: ASGIFramework, hot: HotRoutes, *, idle_seconds_max: float) -> None:
        self.app = app
        self.hot = hot
        self.rounds = Rounds(self)
        self.stopping = False
        self._idle_seconds_max = idle_seconds_max
        # Owned by waits(), wait_anew() and is_busy(): the deadlines of those that wait for a request's head, in order.
        self._deadlines: dict[FastConnection, float] = {}

    async def speak(self, stream: Stream) -> None:
        """Answer what comes over one connection, to its end."""
        transport = transport_of(stream)
        try:
            ends = _ends(stream)
        except OSError:  # the client is gone already
            transport.close()
        else:
            await FastConnection(self, transport, ends).run()

    async def run(self) -> None:
        """Hold the rounds and keep the time."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.rounds.run)
            nursery.start_soon(self._keep_time)

    async def _keep_time(self) -> None:
        """End connections that take too long for a request's head."""
        while True:
            now = trio.current_time()
            overdue = [connection for connection, deadline in self._deadlines.items() if deadline <= now]
            for connection in overdue:
                connection.end()
                self.is_busy(connection)
            await trio.sleep_until(next(iter(self._deadlines.values()), now + self._idle_seconds_max))

    async def stop(self) -> None:
        """Close idle connections, and the others after the reply they are sending."""
        self.stopping = True
        for connection in self._deadlines:
            connection.end()
        await trio.lowlevel.checkpoint()

    # What connections say

    def waits(self, connection: FastConnection) -> None:
        """It waits for a request's head from now on; the time goes on when it has waited already."""
        if connection not in self._deadlines:
            self._deadlines[connection] = trio.current_time() + self._idle_seconds_max

    def wait_anew(self, connections: Iterable[FastConnection]) -> None:
        """They have been answered, and wait for the next head."""
        deadlines, deadline = self._deadlines, trio.current_time() + self._idle_seconds_max
        for connection in connections:
            deadlines.pop(connection, None)
            deadlines[connection] = deadline

    def is_busy(self, connection: FastConnection) -> None:
        """It does not wait, or is no more."""
        self._deadlines.pop(connection, None)


def _ends(stream: Stream) -> Ends:
    is_secured = isinstance(stream, trio.SSLStream)
    socket: Any = stream.transport_stream.socket if isinstance(stream, trio.SSLStream) else stream.socket
    client, server = socket.getpeername(), socket.getsockname()
    return Ends(
        "https" if is_secured else "http",
        parse_socket_addr(socket.family, client),
        parse_socket_addr(socket.family, server),
    )
