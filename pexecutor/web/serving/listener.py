"""Listen on a socket, and serve each connection with an HTTP implementation.

The implementation is Hypercorn (``hypercorn.py``) or the fast listener (``fast/``). Hypercorn can listen by itself, but
has no settings for the following, which both implementations get here:

* The socket is bound before anything else starts, so a port in use is one clear error at the start.
* At most ``connections_max`` connections are open; further ones wait in the kernel's backlog.
* The kernel drops a client that stalls during a reply (``TCP_USER_TIMEOUT``).
* At the end of a stop, the sockets of all remaining connections are closed, whatever the connections wait for.

The tests over real sockets cover this module with both implementations.
"""

from __future__ import annotations

import errno
import math
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

import structlog
import trio

from ...limits import times
from .tls import secure

_log = structlog.get_logger()

BACKLOG: Final = 1024
STOP_SECONDS_MAX: Final = times.LISTENER_STOP_SECONDS_MAX
"""How long connections may take to end once the server stops."""

STALLED_SECONDS_MAX: Final = 30
"""How long sent data may stay without progress before the kernel drops the connection."""


FIRST_REQUEST_SECONDS: Final = times.FIRST_REQUEST_SECONDS
"""How long connections stay open after ``stop_accepting``, so that those just accepted can send their request."""


Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]
"""A connection: plain, or under TLS."""


class Http(Protocol):
    """An HTTP implementation that serves accepted connections."""

    async def speak(self, stream: Stream) -> None:
        """Answer the requests of one connection, until it ends; a client cannot cause an exception."""

    async def run(self) -> None:
        """Run the work that all connections share, if there is any, until cancelled."""

    async def close_after_replies(self) -> None:
        """Close each connection after its next reply, which says so; leave idle ones open until then."""

    async def stop(self) -> None:
        """Close idle connections, and the others after the reply they are sending."""


class ListenError(Exception):
    """The operator gave an address that is in use, not an address of this machine, or not allowed."""


class ListenAddress(NamedTuple):
    """The address of a socket, and what ``socket.socket`` needs to make one for it."""

    family: int
    kind: int
    protocol: int
    sockaddr: tuple[Any, ...]

    @property
    def host(self) -> str:
        """The IP address, as text."""
        return str(self.sockaddr[0])


def address_of(host: str, port: int) -> ListenAddress:
    """Return the address that ``listen`` binds for a host and a port, without opening a socket.

    Raises:
        ListenError: the host has no address; the message says why.
    """
    try:
        [(family, kind, protocol, _, sockaddr), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        raise ListenError(f"cannot listen on {host}: {error.strerror}") from error
    return ListenAddress(family, kind, protocol, sockaddr)


def url_of(host: str, port: int, tls: ssl.SSLContext | None) -> str:
    """Return the URL of a server that listens on an IP address and a port."""
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"{'http' if tls is None else 'https'}://{authority}"


def url_of_socket(listener: socket.socket, tls: ssl.SSLContext | None) -> str:
    """Return the URL of a server on a listening socket, or the path of a Unix socket as ``unix:PATH``."""
    address = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return f"unix:{address if isinstance(address, str) else '@' + os.fsdecode(address[1:])}"
    return url_of(address[0], address[1], tls)


def listen(host: str, port: int) -> socket.socket:
    """Return a bound, listening TCP socket; with port 0 the system chooses the port.

    Raises:
        ListenError: the address cannot be bound; the message says why.
    """
    family, kind, protocol, address = address_of(host, port)
    try:
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ListenError(f"cannot listen on {host}: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        set_options(listener)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        in_use = "; choose another port with --port" if error.errno == errno.EADDRINUSE else ""
        raise ListenError(f"cannot listen on {host} port {port}: {error.strerror}{in_use}") from error
    return listener


def set_options(listener: socket.socket) -> None:
    """Set the options of TCP that accepted connections take over from their listening socket."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_SECONDS_MAX * 1000)


class HttpServer:
    """Serves on a listening socket until ``stop`` is called.

    Parameters:
        http: the HTTP implementation.
        listener: a bound socket; it is closed when ``run`` ends.
        connections_max: how many connections may be open.
        tls: the TLS context, or ``None`` for plain connections.
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
        self._not_accepting = trio.Event()
        self._stopping = trio.Event()
        # Owned by stop_accepting(): when connections may be closed that have sent no request.
        self._may_close_at = -math.inf
        # Only use_certificate() replaces it.
        self._tls = tls
        # Owned by _secured(): the current handshakes.
        self._handshakes: set[trio.CancelScope] = set()
        self.url: str = url_of_socket(listener, tls)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Accept and serve connections; return after ``stop``, when all connections have ended."""
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
                    await self._not_accepting.wait()
                    accepting.cancel_scope.cancel()
                await self._stopping.wait()
                await trio.sleep_until(self._may_close_at)
                for handshake in self._handshakes:
                    handshake.cancel()
                await self._http.stop()
            nursery.cancel_scope.cancel()

    async def stop_accepting(self) -> None:
        """Accept no more connections, and close the others after their next reply, which says so.

        Clients that connect from now on wait in the backlog of the socket, as long as its owner keeps it open.
        """
        self._may_close_at = trio.current_time() + FIRST_REQUEST_SECONDS
        self._not_accepting.set()
        await self._http.close_after_replies()

    def use_certificate(self, tls: ssl.SSLContext) -> None:
        """Use this TLS context for connections from now on; open ones keep theirs."""
        self._tls = tls

    def stop(self) -> None:
        """Accept no more connections; close idle ones at once, and the others after their current reply."""
        self._not_accepting.set()
        self._stopping.set()

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
        """Cancel the remaining connections after the stop's time limit, and close their sockets."""
        try:
            await self._stopping.wait()
            await trio.sleep(STOP_SECONDS_MAX)
            connections.cancel()
        finally:
            # A cancel does not reach a shielded send. A closed socket makes it fail.
            self._listener.close_connections()


class _BoundedListener(trio.abc.Listener[trio.SocketStream]):
    """Accepts connections while fewer than ``connections_max`` are open."""

    def __init__(self, listener: socket.socket, connections_max: int) -> None:
        self._listener = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
        self._free = trio.Semaphore(connections_max)
        # Owned by place_of(): the open connections.
        self._open: set[trio.SocketStream] = set()

    async def accept(self) -> trio.SocketStream:
        await self._free.acquire()
        try:
            return await self._listener.accept()
        except BaseException:  # also when cancelled: no connection came that could free the place
            self._free.release()
            raise

    @contextmanager
    def place_of(self, stream: trio.SocketStream) -> Iterator[None]:
        """Hold the place that ``accept`` took for this connection, and free it on exit."""
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
