"""Serve one connection with Hypercorn, restricted to HTTP/1 and with pexecutor's error replies.

This changes the following behaviour of Hypercorn:

* **A closed connection is released at once.** In Hypercorn, a connection that its client has closed stays open for the
  rest of its idle time, so a thousand short connections would reach the limit.
* **Only HTTP/1.1 and 1.0 are accepted.** Hypercorn also accepts HTTP/2 and WebSockets on a plain socket, where neither
  its idle timer nor the limit on connections applies. An offer to upgrade is ignored, as RFC 9110 (section 7.8) allows.
* **Invalid HTTP is answered with problem details that the client can read.** A client that is still sending would see a
  reset connection instead of the reply, so its input is read and dropped for a moment before the connection is closed.
  That also lets a reply finish if invalid data follows its request.
* **Each request costs less.** For each wait for a request, Hypercorn starts a Trio task as a timer; here one Trio task
  watches all connections (``idle.py``). Hypercorn sends the head and the body of a reply separately, each with a lock,
  a shield and a turn of Trio; here data that the socket can take is written at once.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final, cast

import h11
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import Response
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ASGIFramework, ConnectionState, H11SendableEvent
from hypercorn.utils import parse_socket_addr

from ..api.client_input import ClientInput
from ..api.reply import PROBLEM_TYPE, problem
from .half_closed import wait_for_reset
from .idle import IdleConnections, has_unread_input
from .listener import Stream
from .quart_app import LAST_EVENT_SECONDS_MAX, LINGER_SECONDS_MAX, REQUEST_ID_HEADER, new_request_id

BYTES_READ_AT_ONCE: Final = 65536
NO_STATE: Final[Mapping[str, Any]] = {}

_EMPTY_LINES: Final = re.compile(rb"\A(?:\r?\n)+")
_REASONS: Final = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}
"""Reason phrases. HTTP/1.1 allows an empty phrase, but some clients treat a reply without one as a failure."""

_DETAIL: Final = {
    431: "the headers of the request are too large: send fewer or shorter headers",
    501: "unsupported Transfer-Encoding: send Content-Length, or use chunked",
}


class Hypercorn:
    """Serves HTTP with Hypercorn.

    Parameters:
        app: the app that answers requests.
        idle_seconds_max: how long a connection may take to send the head of a request, and stay idle between requests.
    """

    def __init__(self, app: ASGIFramework, *, idle_seconds_max: float) -> None:
        self._app = ASGIWrapper(app)
        self._context = WorkerContext(None)
        self._config = Config()
        self._config.keep_alive_max_requests = 1_000_000_000
        self._config.include_server_header = False
        self._config.errorlog = None
        self._idle = IdleConnections(idle_seconds_max)
        self._closing = False

    async def speak(self, stream: Stream) -> None:
        """Answer the requests of one connection, until it ends."""
        ready: Any = stream  # Hypercorn annotates its parameter as TLS, but also accepts a plain stream
        parts = self._app, self._config, self._context, ready, self._idle
        await Http1Server(*parts, is_closing=lambda: self._closing).run()

    async def run(self) -> None:
        """Close connections that have been idle for too long."""
        await self._idle.run()

    async def close_after_replies(self) -> None:
        """Close each connection after its next reply, which says so."""
        self._closing = True
        await trio.lowlevel.checkpoint()

    async def stop(self) -> None:
        """Close idle connections, and the others after the reply they are sending."""
        self._closing = True
        await self._context.terminated.set()
        self._idle.end_all()


class Http1Server(TCPServer):
    """Serves one connection to its end.

    Parameters:
        app, config, context: shared by all connections.
        stream: the connection.
        idle: the connections that wait for a request; replaces Hypercorn's timers, each of which is a Trio task.
        state: the state that the app's lifespan passes to requests.
        is_closing: returns whether the connection has to end after its next reply; by default, when the server stops.
    """

    def __init__(
        self,
        app: AppWrapper,
        config: Config,
        context: WorkerContext,
        stream: Any,
        idle: IdleConnections,
        state: Mapping[str, Any] = NO_STATE,
        is_closing: Callable[[], bool] | None = None,
    ) -> None:
        self._input = ClientInput()
        super().__init__(app, config, context, ConnectionState({**state, "input": self._input}), stream)
        self._idle = idle
        self._answered = trio.Event()
        self._client_gone = False
        self._dropping = False
        self._input_ended = trio.Event()
        self.is_closing = is_closing or context.terminated.is_set

    async def run(self) -> None:
        """Serve until the client or the server has ended the connection."""
        if self.context.terminated.is_set():
            self.socket.close()
            return
        try:
            async with TaskGroup() as task_group:
                self._task_group = task_group
                self._http = _Http1(self, task_group)
                # Hypercorn's wrapper would choose the protocol by the HTTP version, so this one takes its place.
                self.protocol: ProtocolWrapper = cast(ProtocolWrapper, self._http)
                self._idle.add(self)
                await self._read_data()
                self._client_gone = True
                self._idle.discard(self)
        except* OSError:
            pass  # the client is gone
        finally:
            self._idle.discard(self)
            self.socket.close()

    async def _read_data(self) -> None:
        """Read until the client is gone; after the end of its input, answer its complete requests first."""
        with suppress(trio.ClosedResourceError, trio.BrokenResourceError, trio.TooSlowError):
            await self._read_requests()
            self._client_gone = True
            self._input.end()
            await self.protocol.handle(RawData(b""))
            await self._wait_until_answered()
        await self.protocol.handle(Closed())

    async def _read_requests(self) -> None:
        """Read to the end of the input; input after the last reply is dropped."""
        try:
            while data := await self._receive():
                if not self._dropping:
                    await self.protocol.handle(RawData(bytes(data)))
        finally:
            self._input_ended.set()

    async def _receive(self) -> bytes | bytearray:
        if self.config.read_timeout is None:
            return await self.stream.receive_some(BYTES_READ_AT_ONCE)
        with trio.fail_after(self.config.read_timeout):
            return await self.stream.receive_some(BYTES_READ_AT_ONCE)

    async def _wait_until_answered(self) -> None:
        """Wait until the current request is answered, or the client is gone."""
        if self._http.stream is None:
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_at_reset, self.socket, nursery.cancel_scope)
            await self._answered.wait()
            nursery.cancel_scope.cancel()

    def end(self) -> None:
        """Close the connection while it waits for a request."""
        self._task_group.spawn(self._end)

    def has_unread_input(self) -> bool:
        """Return whether the client has sent something, or closed the connection, and nobody has read it."""
        return has_unread_input(self.socket.fileno())

    async def _end(self) -> None:
        with trio.move_on_after(LAST_EVENT_SECONDS_MAX, shield=True):
            await self._initiate_server_close()

    @property
    def is_secured(self) -> bool:
        """Return whether the connection uses TLS; Hypercorn's annotation of ``stream`` says so in any case."""
        return isinstance(self.stream, trio.SSLStream)

    @property
    def socket(self) -> trio.socket.SocketType:
        """Return the socket of the connection."""
        return self.stream.transport_stream.socket if self.is_secured else cast(trio.SocketStream, self.stream).socket

    async def protocol_send(self, event: Event) -> None:
        """Handle an event of the protocol: send data, note idleness, or close.

        Before the connection is closed because of invalid input, further input is read and dropped.
        """
        match event:
            case Updated(idle):
                self._note_idle(idle=idle)
            case RawData(data):
                if left := self._send_at_once(data):
                    await super().protocol_send(RawData(left))
            case Closed():
                self._answered.set()
                if self._http.connection.their_state is h11.ERROR and not self._dropping:
                    self._dropping = True
                    await self._drop_the_rest()
                elif self.is_closing() and not self._dropping and self._has_more_input():
                    self._dropping = self._http.connection.is_over = True
                    await self._let_client_read()
                await super().protocol_send(event)

    def _send_at_once(self, data: bytes) -> bytes:
        """Send as much as the socket takes without waiting, which costs no turn of Trio; return the rest."""
        if self.is_secured or self.send_lock.locked():
            return data
        try:
            return data[os.write(self.socket.fileno(), data) :]
        except OSError:  # the socket is full or broken; the send that waits finds out which
            return data

    def _note_idle(self, *, idle: bool) -> None:
        """Note whether the connection waits for a request; if the client is gone, let the connection end instead."""
        if not idle:
            self._idle.discard(self)
        elif self._client_gone:
            self._answered.set()
        else:
            self._idle.add(self)

    def _has_more_input(self) -> bool:
        """Return whether the client has sent something after its last request."""
        return self.has_unread_input() or bool(self._http.connection.trailing_data[0])

    async def _let_client_read(self) -> None:
        """Read and drop further requests for a moment: closing the connection with unread input would reset it."""
        await self.end_sending()
        with trio.move_on_after(LINGER_SECONDS_MAX):
            await self._input_ended.wait()

    async def _drop_the_rest(self) -> None:
        with trio.move_on_after(LINGER_SECONDS_MAX), suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while await self.stream.receive_some(BYTES_READ_AT_ONCE):
                pass

    async def end_sending(self) -> None:
        """End the sending side, so that the client sees the end of the reply. TLS cannot half-close a connection."""
        if self.is_secured:
            return
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async with self.send_lock:
                await cast(trio.SocketStream, self.stream).send_eof()


async def _cancel_at_reset(socket: trio.socket.SocketType, scope: trio.CancelScope) -> None:
    await wait_for_reset(socket)
    scope.cancel()


class _Connection(h11.Connection):
    """An h11 connection that ignores empty lines before and after a request (RFC 9112, section 2.2).

    Old clients send an empty line after a body, which h11 would take for a request line.
    """

    is_over = False
    """Whether the last reply was sent. Without this, Hypercorn would wait forever to read a request after it."""

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        if self.is_over:
            return h11.NEED_DATA
        if self.their_state is not h11.SEND_BODY and self._drop_empty_lines():
            return h11.NEED_DATA
        return super().next_event()

    def _drop_empty_lines(self) -> bool:
        """Drop received empty lines; return whether only the first half of an empty line is left."""
        came, is_all = self.trailing_data
        left = _EMPTY_LINES.sub(b"", came, 1)
        if len(left) < len(came):
            self._receive_buffer.maybe_extract_at_most(len(came) - len(left))
        return left == b"\r" and not is_all


class _Http1(H11Protocol):
    """The HTTP/1 protocol of one connection: its requests and replies."""

    def __init__(self, server: Http1Server, task_group: TaskGroup) -> None:
        socket = server.socket
        super().__init__(
            server.app,
            server.config,
            server.context,
            task_group,
            ConnectionState(server.state),
            server.is_secured,
            parse_socket_addr(socket.family, socket.getpeername()),
            parse_socket_addr(socket.family, socket.getsockname()),
            server.protocol_send,
        )
        self._server = server
        self.connection: _Connection = _Connection(
            h11.SERVER, max_incomplete_event_size=server.config.h11_max_incomplete_size
        )
        # The head of a reply of known length, held back until the next part, so that both are sent together. The head
        # of a stream is sent at once: its next part may come much later.
        self._unsent = b""

    async def stream_send(self, event: StreamEvent) -> None:
        """Send a part of a reply."""
        if isinstance(event, Response):
            headers = [*event.headers, *self.config.response_headers("h11")]
            if self.keep_alive_requests >= self.config.keep_alive_max_requests or self._server.is_closing():
                headers.append((b"connection", b"close"))
            status, reason = event.status_code, _REASONS.get(event.status_code, b"")
            await self._send_h11_event(h11.Response(status_code=status, headers=headers, reason=reason))
        else:
            await super().stream_send(event)

    async def _send_h11_event(self, event: H11SendableEvent) -> None:
        """Send an event; the head of a reply of known length is sent together with the event after it."""
        if isinstance(event, h11.InformationalResponse):
            status = event.status_code
            event = h11.InformationalResponse(status_code=status, headers=event.headers, reason=_REASONS[status])
        try:
            self._unsent += self.connection.send(event) or b""
        except h11.LocalProtocolError:
            if self.connection.their_state is not h11.ERROR:
                raise
        is_held = isinstance(event, h11.Response) and any(name == b"content-length" for name, _ in event.headers)
        if self._unsent and not is_held:
            data, self._unsent = self._unsent, b""
            await self.send(RawData(data))

    async def _check_protocol(self, event: h11.Request) -> None:
        """Stay with HTTP/1, also when the client offers another protocol."""

    async def _create_stream(self, request: h11.Request) -> None:
        headers = [(name, value) for name, value in request.headers if name != b"upgrade"]
        if len(headers) < len(request.headers):
            version = request.http_version
            request = h11.Request(method=request.method, target=request.target, headers=headers, http_version=version)
        await super()._create_stream(request)

    async def _send_error_response(self, status_code: int) -> None:
        body = problem(status_code, _DETAIL.get(status_code, "the request is not valid HTTP/1.1"))
        headers = [
            (b"content-type", PROBLEM_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
            (REQUEST_ID_HEADER, new_request_id().encode()),
            *self.config.response_headers("h11"),
        ]
        head = h11.Response(status_code=status_code, headers=headers, reason=_REASONS[status_code])
        reply = head, h11.Data(data=body), h11.EndOfMessage()
        with suppress(h11.LocalProtocolError):  # a reply has begun, or may have no body: then only close the connection
            await self.send(RawData(b"".join(self.connection.send(event) or b"" for event in reply)))
        await self._server.end_sending()
