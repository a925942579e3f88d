"""Serve the connections of Hypercorn's own command line in the same way as those of pexecutor's listener.

Hypercorn listens, and calls its class ``TCPServer`` for each connection. While the app runs, this module replaces that
class:

* **HTTP/1** is served by ``Http1Server``. So replies to half-closed clients, empty lines around a request, reason
  phrases and errors do not depend on how the server was launched.
* **HTTP/2** is left to Hypercorn. It is used only if the TLS handshake has agreed on it (ALPN).
* **Settings of Hypercorn** stay in force: the timeouts for a handshake, between requests and for a read, the number of
  requests on a connection, and the settings of TLS and of the access log.
* **An exception in a connection** ends that connection only. Otherwise it would end Hypercorn's worker.
* **A client that does not read** is disconnected by the kernel, and does not delay the stop.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import hypercorn.trio.run
import structlog
import trio
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ConnectionState

from ...errors import first_cause
from .hypercorn import Http1Server
from .idle import IdleConnections
from .listener import STALLED_SECONDS_MAX, Stream
from .tls import shake_hands

_log = structlog.get_logger()


class HostedConnections:
    """The connections of the Hypercorn that runs the app; its settings are known from the first connection on."""

    def __init__(self) -> None:
        self._begun = trio.Event()
        # Owned by _begin().
        self._idle: IdleConnections
        self._config: Config
        self._context: WorkerContext
        # Owned by _open().
        self._sockets: set[trio.socket.SocketType] = set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve what Hypercorn accepts, and close idle connections, until it is cancelled."""
        with self._replacing_tcp_server():
            task_status.started()
            await self._begun.wait()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._idle.run)
                await self._context.terminated.wait()
                self._idle.end_all()
                await trio.sleep(self._config.graceful_timeout)
                # Hypercorn cancels the connections now, but a stalled reply is shielded, so close the sockets under it.
                for connection in self._sockets:
                    connection.close()

    @contextmanager
    def _replacing_tcp_server(self) -> Iterator[None]:
        module: Any = hypercorn.trio.run
        module.TCPServer = self._serve
        try:
            yield
        finally:
            # Two apps in one process may end in any order, so neither brings back the function of the other.
            if module.TCPServer == self._serve:
                module.TCPServer = TCPServer

    async def _serve(
        self, app: AppWrapper, config: Config, context: WorkerContext, state: ConnectionState, stream: Any
    ) -> None:
        """Serve one connection, with the parameters of Hypercorn's class."""
        self._begin(config, context)
        try:
            with self._open(stream):
                match await _agreed_protocol(stream, config.ssl_handshake_timeout):
                    case "http/1.1":
                        await Http1Server(app, config, context, stream, self._idle, state).run()
                    case "h2":
                        await TCPServer(app, config, context, state, stream).run()
        except* Exception as group:
            _log.warning("a connection failed", error=repr(first_cause(group)))

    def _begin(self, config: Config, context: WorkerContext) -> None:
        if not self._begun.is_set():
            self._idle = IdleConnections(config.keep_alive_timeout)
            self._config, self._context = config, context
            self._begun.set()

    @contextmanager
    def _open(self, stream: Stream) -> Iterator[None]:
        plain = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
        with suppress(OSError):  # a Unix socket does not have this option
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_SECONDS_MAX * 1000)
        self._sockets.add(plain.socket)
        try:
            yield
        finally:
            self._sockets.discard(plain.socket)


async def _agreed_protocol(stream: Stream, seconds_max: float) -> str | None:
    """Return the protocol that the client has agreed to, or ``None`` if the TLS handshake has failed."""
    if not isinstance(stream, trio.SSLStream):
        return "http/1.1"
    if not await shake_hands(stream, seconds_max):
        return None
    return stream.selected_alpn_protocol() or "http/1.1"
