"""One connection: reads requests, sends replies in the order of the requests, and ends.

While a connection waits for a request, ``rounds.py`` reads from it and answers plain submits. The connection's own Trio
task does all other work. Requests that arrive together are answered with one write, unless the replies are large or a
request has to go to the app. Nothing is read while a reply waits to be sent, so a client cannot send requests without
reading replies.

A connection ends when the client closes it or asks to close it, after a reply that must be the last one, after a
refusal, after too much time without a request or for a head, and at the stop.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import trio

from ..api.client_input import ClientInput
from ..api.request import CutOffError
from ..api.route import Route
from ..serving import quart_app as exchanges
from ..serving.half_closed import wait_for_reset
from ..serving.idle import has_unread_input
from .exchange import Exchange
from .parser import Parser, Refusal
from .request import Ends, Request
from .response import encode_refusal, encode_reply
from .rounds import Rounds
from .shared import Shared
from .transport import GONE, Transport

BYTES_TO_SEND_AT_ONCE: Final = 16 * 1024
"""How many bytes of replies are held back at most: about thirty replies to submits, or a page of a listing."""


class FastConnection:
    """Serves one connection.

    Parameters:
        shared: what all connections share.
        rounds: read from the connection while it waits for a request.
        transport: the socket.
        ends: the addresses of the client and the server.
    """

    def __init__(self, shared: Shared, rounds: Rounds, transport: Transport, ends: Ends) -> None:
        self._shared = shared
        self._rounds = rounds
        self._transport = transport
        self.parser: Parser = Parser(ends, self._read_on)
        """Holds the requests that are not answered. Fed by this connection, and by the rounds while this waits."""
        self.input: ClientInput = ClientInput()
        self.is_ending: bool = False
        """Whether ``end`` was called."""
        self._scope = trio.CancelScope()
        # Replies that have not been sent: added by _wait() and _answer_promptly(), sent by _flush().
        self._out: list[bytes] = []
        self._out_bytes = 0

    async def run(self) -> None:
        """Serve until the client or the server has ended the connection."""
        with self._scope, suppress(CutOffError, *GONE):
            try:
                await self._serve()
            finally:
                self._shared.idle.discard(self)
                self._transport.close()

    async def _serve(self) -> None:
        keep = True
        while keep:
            request = await self._next()
            if request is None:
                return
            keep = await self._answer(request)
        await self._flush()
        if self.is_closing and (self.has_unread_input() or self.parser.requests or not self.parser.is_between):
            await self._let_client_read()

    async def _let_client_read(self) -> None:
        """Read and drop input for a moment: closing the connection with unread input would reset it."""
        self._transport.end_sending()
        with trio.move_on_after(exchanges.LINGER_SECONDS_MAX):
            while await self._transport.receive():
                pass

    async def _next(self) -> Request | None:
        """Return the next request, or ``None`` if the connection has to end."""
        parser = self.parser
        while not parser.requests:
            await self._flush()
            if parser.refusal is not None:
                await self._refuse(parser.refusal)
                return None
            if self._shared.stopping:
                return None
            self._shared.idle.keep(self)
            if not await self._wait():
                return None
        self._shared.idle.discard(self)
        return parser.requests.popleft()

    async def _wait(self) -> bool:
        """Wait for more input, in the rounds if the transport allows it; return whether the client is still there."""
        fd = self._transport.fd
        if fd is None:
            data = await self._transport.receive()
            self.parser.feed(data)
            return bool(data)
        wait = await self._rounds.wait(self, fd)
        if wait.unsent:
            self._out.append(wait.unsent)
        return wait.is_open

    async def _answer(self, request: Request) -> bool:
        """Answer a request; return whether another request may follow on this connection."""
        route = self._shared.prompt.find(request)
        try:
            if route is not None:
                await self._answer_promptly(request, route)
            else:
                await self._flush()
                await self._ask_app(request)
        except CutOffError:
            if self.parser.refusal is None:
                raise
            # The body holds invalid HTTP, but the client is still there to read the refusal.
            await self._flush()
            await self._refuse(self.parser.refusal)
            return False
        return request.keep_alive and request.chunks.ended and not self.is_closing

    async def _answer_promptly(self, request: Request, route: Route) -> None:
        reply = await self._shared.prompt.answer(request, route)
        if not request.chunks.ended:
            await self._linger(request)
        if self.is_closing or not request.chunks.ended:
            request.keep_alive = False
        data = encode_reply(reply, request.id, keep_alive=request.keep_alive)
        self._out.append(data)
        self._out_bytes += len(data)
        if self._out_bytes > BYTES_TO_SEND_AT_ONCE:
            await self._flush()

    async def _ask_app(self, request: Request) -> None:
        exchange = Exchange(self, request)
        await exchange.run(self._shared.app)
        if exchange.ended:
            if not (request.chunks.ended or request.expects_continue):
                await self._linger(request)
            return
        request.keep_alive = False
        # Without a part of a reply on the wire, the client can still be sent the refusal (see _answer()).
        if self.parser.refusal is not None and not exchange.begun:
            raise CutOffError

    async def _linger(self, request: Request) -> None:
        """Read and drop the body for a moment: a client that still sends would see a reset instead of the reply."""
        with trio.move_on_after(exchanges.LINGER_SECONDS_MAX):
            await request.chunks.drop()

    async def _refuse(self, refusal: Refusal) -> None:
        await self._transport.send(encode_refusal(refusal))
        await self._let_client_read()

    # Called by the rounds, by IdleConnections and by Exchange

    def end(self) -> None:
        """Make the connection's own Trio task end it."""
        self.is_ending = True
        self._scope.cancel()

    def has_unread_input(self) -> bool:
        """Return whether the client has sent something, or closed the connection, and nobody has read it."""
        return has_unread_input(self._transport.socket.fileno())

    @property
    def is_closing(self) -> bool:
        """Return whether the connection ends after the next reply."""
        return self._shared.closing

    async def send(self, data: bytes) -> None:
        """Send a part of a reply."""
        await self._transport.send(data)

    async def wait_until_gone(self, unsendable: trio.Event) -> None:
        """Wait until the client is gone, or, once it has sent another request, until a reply cannot be sent.

        The end of the client's input does not mean that it is gone: it may still read (see ``half_closed.py``).
        """
        while not self.parser.requests and self.parser.refusal is None:
            data = await self._transport.receive()
            if not data:
                self.input.end()
                await wait_for_reset(self._transport.socket)
                return
            self.parser.feed(data)
        # A whole request waits, so nothing more is read: only a failed send can now show that the client is gone.
        await unsendable.wait()

    async def _read_on(self) -> None:
        """Read more of the body of a request.

        Raises:
            CutOffError: the client is gone, or sent invalid HTTP.
        """
        if self.parser.refusal is not None:
            raise CutOffError
        try:
            await self._flush()
            data = await self._transport.receive()
        except GONE as error:
            raise CutOffError from error
        if not data:
            raise CutOffError
        self.parser.feed(data)

    async def _flush(self) -> None:
        """Send the replies that are held back; other Trio tasks run first."""
        if self._out:
            await trio.lowlevel.cancel_shielded_checkpoint()
            data = b"".join(self._out) if len(self._out) > 1 else self._out[0]
            self._out, self._out_bytes = [], 0
            await self._transport.send(data)
