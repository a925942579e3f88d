"""The fast listener: serves connections, runs what they share, and stops."""

from __future__ import annotations

from typing import Any

import trio
from hypercorn.typing import ASGIFramework
from hypercorn.utils import parse_socket_addr

from ..access.proxies import Proxies
from ..serving.idle import IdleConnections
from ..serving.listener import Stream
from .connection import FastConnection
from .prompt import PromptRoutes
from .request import Ends
from .rounds import Rounds
from .shared import Shared
from .submits import Submits
from .transport import transport_of


class FastHttp:
    """Serves HTTP/1.1 with the fast listener.

    Parameters:
        app: the app, which answers the requests that are not prompt.
        prompt: the routes to answer without the app.
        submits: answers submits in the steps of a round.
        proxies: reads the requests before they are routed.
        idle_seconds_max: how long a connection may take to send the head of a request, and stay idle between requests.
    """

    def __init__(
        self,
        app: ASGIFramework,
        prompt: PromptRoutes,
        submits: Submits,
        proxies: Proxies,
        *,
        idle_seconds_max: float,
    ) -> None:
        self._proxies = proxies
        self._idle = IdleConnections(idle_seconds_max)
        self._shared = Shared(app, prompt, submits, self._idle)
        self._rounds = Rounds(self._shared)

    async def speak(self, stream: Stream) -> None:
        """Answer the requests of one connection, until it ends."""
        transport = transport_of(stream)
        try:
            ends = self._ends(stream)
        except OSError:  # a socket whose client is gone has no peer address
            transport.close()
        else:
            await FastConnection(self._shared, self._rounds, transport, ends).run()

    async def run(self) -> None:
        """Run the rounds, and close connections that have been idle for too long."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._rounds.run)
            nursery.start_soon(self._idle.run)

    async def close_after_replies(self) -> None:
        """Close each connection after its next reply, which says so."""
        self._shared.closing = True
        await trio.lowlevel.checkpoint()

    async def stop(self) -> None:
        """Close idle connections at once, and the others after their current reply."""
        self._shared.closing = self._shared.stopping = True
        self._idle.end_all()
        await trio.lowlevel.checkpoint()

    def _ends(self, stream: Stream) -> Ends:
        is_secured = isinstance(stream, trio.SSLStream)
        socket: Any = stream.transport_stream.socket if isinstance(stream, trio.SSLStream) else stream.socket
        client = parse_socket_addr(socket.family, socket.getpeername())
        server = parse_socket_addr(socket.family, socket.getsockname())
        front = self._proxies.front_of(None if client is None else client[0])
        return Ends("https" if is_secured else "http", client, server, front)
