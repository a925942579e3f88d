"""A way to a server that a test can cut."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


class Proxy:
    """Passes bytes between whoever connects and a server, as long as it is let."""

    def __init__(self, server_port: int) -> None:
        self.port = 0
        self._server_port = server_port
        self._passing = trio.Event()
        self._passing.set()
        self._connections: set[trio.CancelScope] = set()
        self._is_refusing = False

    @property
    def url(self) -> str:
        return f"valkey://127.0.0.1:{self.port}/0"

    def stall(self) -> None:
        """Let nothing through any more, without a word to anybody."""
        self._passing = trio.Event()

    def close(self) -> None:
        """End all connections, and each new one at once."""
        self._is_refusing = True
        for connection in self._connections:
            connection.cancel()

    def mend(self) -> None:
        self._is_refusing = False
        self._passing.set()

    async def connect(self, client: trio.SocketStream) -> None:
        """Serve one connection."""
        with trio.CancelScope() as scope:
            self._connections.add(scope)
            try:
                if not self._is_refusing:
                    await self._serve(client)
            finally:
                self._connections.remove(scope)
                await trio.aclose_forcefully(client)

    async def _serve(self, client: trio.SocketStream) -> None:
        await self._passing.wait()
        try:
            server = await trio.open_tcp_stream("127.0.0.1", self._server_port)
        except OSError:
            return
        async with server, trio.open_nursery() as nursery:
            nursery.start_soon(self._pump, client, server, nursery.cancel_scope)
            nursery.start_soon(self._pump, server, client, nursery.cancel_scope)

    async def _pump(self, source: trio.SocketStream, sink: trio.SocketStream, both: trio.CancelScope) -> None:
        try:
            async for some in source:
                await self._passing.wait()
                await sink.send_all(some)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        both.cancel()


@asynccontextmanager
async def proxy_to(server_port: int) -> AsyncIterator[Proxy]:
    """A proxy while in here."""
    proxy = Proxy(server_port)
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        proxy.port = listener.socket.getsockname()[1]
        await nursery.start(trio.serve_listeners, proxy.connect, [listener])
        yield proxy
        nursery.cancel_scope.cancel()
