"""Listening: our own sockets, and on each connection whatever speaks HTTP.

That is Hypercorn (``http1.py``) or our own (``fast/``). Hypercorn can listen by itself; doing it here gives both what
it has no setting for:

* the socket is bound before anything else starts, so a port in use is one clear error at the start;
* at most ``connections_max`` connections are open; the next ones wait in the kernel's backlog;
* a client that stalls while it is sent a reply is dropped by the kernel (``TCP_USER_TIMEOUT``), and at the end of a
  stop every connection that is left is closed under it, whatever it waits for.

The tests over real sockets guard this seam, with either.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, Protocol

import structlog
import trio

from .tls import secure

_log = structlog.get_logger()

BACKLOG: Final = 1024
STOP_SECONDS_MAX: Final = 3.0
"""How long connections have to end once the server stops."""

STALLED_SECONDS_MAX: Final = 30
"""After this long without progress the kernel gives up a connection that has data to send."""


Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]
"""A connection: plain, or under TLS."""


class Http(Protocol):
    """What speaks HTTP on the connections that are accepted."""

    async def speak(self, stream: Stream) -> None:
        """Answer what comes over one connection, to its end; raises nothing that the client can cause."""

    async def run(self) -> None:
        """What runs beside the connections, if anything does."""

    async def stop(self) -> None:
        """Close idle connections, and the others after the reply they are sending."""


class ListenError(Exception):
    """The address cannot be listened on: it is in use, not ours, or not allowed."""


def listen(host: str, port: int) -> socket.socket:
    """A bound, listening TCP socket; port 0 lets the system choose one.

    Raises:
        ListenError: says why not.
    """
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ListenError(f"cannot listen on {host}: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_SECONDS_MAX * 1000)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        in_use = "; another program has it, choose another with --port" if error.errno == errno.EADDRINUSE else ""
        raise ListenError(f"cannot listen on {host} port {port}: {error.strerror}{in_use}") from error
    return listener


class HttpServer:
    """Serves on a listening socket until it is told to stop.

    Parameters:
        http: what answers.
        listener: a bound socket; it is closed when ``run`` ends.
        connections_max: how many connections may be open.
        tls: what connections are secured with; ``None`` for plain ones.
    """

    def __init__(
        self,
        http: Http,
        listener: socket.socket,
        *,
        connections_max: int,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._http = http
        self._listener = _BoundedListener(listener, connections_max)
        self._stopping = trio.Event()
        self._tls = tls
        # Owned by _secured(): the handshakes that are under way.
        self._handshakes: set[trio.CancelScope] = set()
        self.url: str = f"{'http' if tls is None else 'https'}://{self._listener.authority}"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Accept and serve; ends some time after ``stop``, when all connections have ended."""
        async with trio.open_nursery() as nursery:
            async with trio.open_nursery() as connections:
                nursery.start_soon(self._cut_off_stragglers, connections.cancel_scope)
                nursery.start_soon(self._http.run)
                async with trio.open_nursery() as accepting:
                    accepting.start_soon(
                        partial(
                            trio.serve_listeners,
                            self._serve_connection,
                            [self._listener],
                            handler_nursery=connections,
                        )
                    )
                    task_status.started()
                    await self._stopping.wait()
                    accepting.cancel_scope.cancel()
                await self._http.stop()
            nursery.cancel_scope.cancel()

    def stop(self) -> None:
        """Accept no more; idle connections are closed, the others after the reply they are sending."""
        self._stopping.set()
        for scope in self._handshakes:
            scope.cancel()

    async def _serve_connection(self, stream: trio.SocketStream) -> None:
        with self._listener.place_of(stream):
            try:
                ready = stream if self._tls is None else await self._secured(stream, self._tls)
                if ready is not None:
                    await self._http.speak(ready)
            except Exception:
                _log.exception("a connection failed")

    async def _secured(
        self, stream: trio.SocketStream, tls: ssl.SSLContext
    ) -> trio.SSLStream[trio.SocketStream] | None:
        with trio.CancelScope() as scope:
            self._handshakes.add(scope)
            try:
                return await secure(stream, tls)
            finally:
                self._handshakes.discard(scope)
        return None

    async def _cut_off_stragglers(self, connections: trio.CancelScope) -> None:
        """Once the stop has taken its time, or at a cancel: end what no cancel reaches by closing the sockets."""
        try:
            await self._stopping.wait()
            await trio.sleep(STOP_SECONDS_MAX)
            connections.cancel()
        finally:
            self._listener.close_connections()


class _BoundedListener(trio.abc.Listener[trio.SocketStream]):
    """Accepts while fewer than so many connections are open."""

    def __init__(self, listener: socket.socket, connections_max: int) -> None:
        self._listener = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
        self._free = trio.Semaphore(connections_max)
        # Owned by place_of(): the connections that are open.
        self._open: set[trio.SocketStream] = set()

    @property
    def authority(self) -> str:
        host, port = self._listener.socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def accept(self) -> trio.SocketStream:
        await self._free.acquire()
        try:
            return await self._listener.accept()
        except BaseException:
            self._free.release()
            raise

    @contextmanager
    def place_of(self, stream: trio.SocketStream) -> Iterator[None]:
        """What holds the place that ``accept`` took for this connection."""
        self._open.add(stream)
        try:
            yield
        finally:
            self._open.discard(stream)
            self._free.release()

    def close_connections(self) -> None:
        for stream in self._open:
            stream.socket.close()

    async def aclose(self) -> None:
        await self._listener.aclose()
