"""What all connections of the fast listener share: the app, the hot routes, the rounds, the clock and the stop."""

from __future__ import annotations

from typing import Any

import trio
from hypercorn.typing import ASGIFramework
from hypercorn.utils import parse_socket_addr

from ..serving.idle import IdleConnections
from ..serving.listener import Stream
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
        self.rounds: Rounds = Rounds(self)
        self.stopping: bool = False
        self.idle: IdleConnections = IdleConnections(idle_seconds_max)
        """Those that wait for a request's head."""

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
            nursery.start_soon(self.idle.run)

    async def stop(self) -> None:
        """Close idle connections, and the others after the reply they are sending."""
        self.stopping = True
        self.idle.end_all()
        await trio.lowlevel.checkpoint()


def _ends(stream: Stream) -> Ends:
    is_secured = isinstance(stream, trio.SSLStream)
    socket: Any = stream.transport_stream.socket if isinstance(stream, trio.SSLStream) else stream.socket
    client, server = socket.getpeername(), socket.getsockname()
    return Ends(
        "https" if is_secured else "http",
        parse_socket_addr(socket.family, client),
        parse_socket_addr(socket.family, server),
    )
