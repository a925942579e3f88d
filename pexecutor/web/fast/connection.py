"""One connection: requests in, replies out in their order, and its end.

While it waits for a request, ``rounds.py`` reads for it, and answers what is plain. All else is done by its own Trio
task. What came together is answered together, with one write, unless there is much to write or one of the requests has
to go to the app. Nothing is read while a reply waits to be sent, so a client that does not read is not read either.

It ends when the client is gone or asked for it, after a reply that cannot have another behind it, after a refusal, when
it has been idle for too long or took too long for a head, and at the stop.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from ..serving import quart_app as exchanges
from ..serving.half_closed import ClientInput, wait_for_reset
from .exchange import Exchange
from .hot import Hot
from .parser import Parser, Refusal
from .request import CutOffError, Ends, Request
from .response import refused, written
from .transport import GONE, Transport

if TYPE_CHECKING:
    from .server import FastHttp

BYTES_TO_SEND_AT_ONCE: Final = 16 * 1024
"""When so much waits to be sent, it is sent: some thirty replies to submits, or a page of a listing."""


class FastConnection:
    """Serves one connection.

    Parameters:
        http: what all connections share.
        transport: what it goes over.
        ends: its two ends.
    """

    def __init__(self, http: FastHttp, transport: Transport, ends: Ends) -> None:
        self._http = http
        self._transport = transport
        self.parser: Parser = Parser(ends, self._read_on)
        """What has come and is not answered; fed here, and in the rounds while this waits."""
        self.input: ClientInput = ClientInput()
        self.is_ending: bool = False
        """Whether it was told to end."""
        self._scope = trio.CancelScope()
        # Replies that have yet to be sent: added by _wait() and _answer_hot(), sent by _flush().
        self._out: list[bytes] = []
        self._out_bytes = 0

    async def run(self) -> None:
        """Serve; returns when the connection has ended, whoever ended it."""
        with self._scope, suppress(CutOffError, *GONE):
            try:
                await self._serve()
            finally:
                self._http.idle.discard(self)
                self._transport.close()

    async def _serve(self) -> None:
        keep = True
        while keep:
            request = await self._next()
            if request is None:
                return
            keep = await self._answer(request)
        await self._flush()

    async def _next(self) -> Request | None:
        """The next request, or ``None`` when there is none and the connection is to end."""
        parser = self.parser
        while not parser.requests:
            await self._flush()
            if parser.refusal is not None:
                await self._refuse(parser.refusal)
                return None
            if self._http.stopping:
                return None
            self._http.idle.keep(self)
            if not await self._wait():
                return None
        self._http.idle.discard(self)
        return parser.requests.popleft()

    async def _wait(self) -> bool:
        """Wait for more, in the rounds where that can be; whether the client is still there."""
        fd = self._transport.fd
        if fd is None:
            data = await self._transport.receive()
            self.parser.feed(data)
            return bool(data)
        wait = await self._http.rounds.wait(self, fd)
        if wait.unsent:
            self._out.append(wait.unsent)
        return wait.is_open

    async def _answer(self, request: Request) -> bool:
        """Answer; whether another request may follow."""
        hot = self._http.hot.find(request)
        try:
            if hot is not None:
                await self._answer_hot(request, hot)
            else:
                await self._flush()
                await self._ask_app(request)
        except CutOffError:
            if self.parser.refusal is None:
                raise
            await self._flush()
            await self._refuse(self.parser.refusal)
            return False
        return request.keep_alive and request.chunks.ended and not self._http.stopping

    async def _answer_hot(self, request: Request, hot: Hot) -> None:
        reply = await self._http.hot.answer(request, hot)
        if not request.chunks.ended:
            await self._linger(request)
        if self._http.stopping or not request.chunks.ended:
            request.keep_alive = False
        data = written(reply, request.id, keep_alive=request.keep_alive)
        self._out.append(data)
        self._out_bytes += len(data)
        if self._out_bytes > BYTES_TO_SEND_AT_ONCE:
            await self._flush()

    async def _ask_app(self, request: Request) -> None:
        exchange = Exchange(self, request)
        await exchange.run(self._http.app)
        if exchange.ended:
            if not (request.chunks.ended or request.expects_continue):
                await self._linger(request)
            return
        request.keep_alive = False
        if self.parser.refusal is not None and not exchange.begun:
            raise CutOffError

    async def _linger(self, request: Request) -> None:
        """A client that is still sending would meet a reset connection, and may never see the reply."""
        with trio.move_on_after(exchanges.LINGER_SECONDS_MAX):
            await request.chunks.drop()

    async def _refuse(self, refusal: Refusal) -> None:
        await self._transport.send(refused(refusal))
        self._transport.end_sending()
        with trio.move_on_after(exchanges.LINGER_SECONDS_MAX):
            while await self._transport.receive():
                pass

    # What others call

    def end(self) -> None:
        """Have it end, in its own Trio task."""
        self.is_ending = True
        self._scope.cancel()

    async def send(self, data: bytes) -> None:
        """Send a part of a reply."""
        await self._transport.send(data)

    async def left(self, otherwise: trio.Event) -> None:
        """Wait until the client has gone, or until something else says so. What it sends ahead is parsed.

        The end of its input is not its leaving: the request that is under way is whole (see ``half_closed.py``).
        """
        while not self.parser.requests and self.parser.refusal is None:
            data = await self._transport.receive()
            if not data:
                self.input.end()
                await wait_for_reset(self._transport.socket)
                return
            self.parser.feed(data)
        await otherwise.wait()

    async def _read_on(self) -> None:
        """Read more of the body of a request."""
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
        """Send what waits to be sent; others have their turn first."""
        if self._out:
            await trio.lowlevel.cancel_shielded_checkpoint()
            data = b"".join(self._out) if len(self._out) > 1 else self._out[0]
            self._out, self._out_bytes = [], 0
            await self._transport.send(data)
