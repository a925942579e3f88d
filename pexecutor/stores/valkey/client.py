"""``ValkeyLink``: calls of the functions on the server, and the server's messages.

One connection carries both: the calls of all callers, pipelined in order, and the messages. When the connection breaks,
a call without a reply is repeated on the next connection, with the same arguments: every verb recognizes a repeated
call and replies as to the first one. A call that gets no reply in time raises ``StoreUnavailableError`` with the
reason; whether the server has executed it is then unknown.

Road not taken: a pool of connections. The server executes one call at a time anyway, and the order of a node's calls is
worth more than a second socket.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import trio
from coredis.connection import TCPConnection
from coredis.exceptions import RedisError, ResponseError

from ...errors import StoreUnavailableError, UnusableStoreError
from ...limits.times import LINK_CALL_SECONDS_MAX
from ..address import ValkeyAddress
from .calls import DamagedQueueError, OtherQueueError
from .connection import ELSEWHERE, Line, reason
from .flush import Flusher, life_of
from .library import read_functions
from .protocol import RefusalCode

START_SECONDS_MAX: Final = 10.0
"""How long to wait for the server at the start, in seconds."""

_encode = msgspec.msgpack.Encoder().encode


class ValkeyLink:
    """A client for a queue on a server.

    Parameters:
        address: the server.
        queue: the name of the queue.
        flushed: whether a submit waits until its tasks are on the server's disk.
        patience_seconds: how long a call may take, including the wait for a new connection.
    """

    def __init__(
        self,
        address: ValkeyAddress,
        queue: str,
        *,
        flushed: bool = False,
        patience_seconds: float = LINK_CALL_SECONDS_MAX,
    ) -> None:
        self.address = address
        self.key: str = f"pexecutor:{{{queue}}}"
        self._name, self._text = read_functions()
        self._patience_seconds = patience_seconds
        self.life: bytes = b""
        """Identifies the server since its last start."""
        self._hear: Callable[[str], None] = lambda _: None
        self._line = Line(address, prepare=self._prepare, hear=self._sort)
        self._flusher = Flusher(address, f"{self.key}:flushed", patience_seconds=patience_seconds) if flushed else None

    @property
    def trouble(self) -> str | None:
        """The reason why the server cannot be reached at present, or ``None``."""
        return self._line.trouble

    @asynccontextmanager
    async def opened(self, hear: Callable[[str], None]) -> AsyncIterator[None]:
        """Connect, for calls in this context; ``hear`` gets each message, and ``''`` when messages may have been lost.

        Raises:
            UnusableStoreError: no usable server was found.
        """
        self._hear = hear
        outliving = trio.CancelScope(shield=True)  # so that the body can still call the server while it is cancelled
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._stay_connected, outliving)  # every call waits for its connection
            if self._flusher is not None:
                nursery.start_soon(self._flusher.keep_flushing)
            try:
                with trio.move_on_after(START_SECONDS_MAX) as waited:
                    await self._line.connection()
                if waited.cancelled_caught:
                    raise UnusableStoreError(
                        f"{self.trouble} (waited {START_SECONDS_MAX:g} s): start the server, or check --store"
                    )
                yield
            finally:
                outliving.cancel()
            nursery.cancel_scope.cancel()

    async def _stay_connected(self, outliving: trio.CancelScope) -> None:
        with outliving:
            await self._line.stay_connected()

    async def call(self, verb: str, *arguments: Any) -> bytes:
        """Call a function and return its reply.

        Raises:
            StoreUnavailableError: the server did not reply, or refused the call.
        """
        packed = _encode(arguments)
        sent = False
        with trio.move_on_after(self._patience_seconds):
            while True:
                connection = await self._line.connection()
                sent = True
                if (reply := await self._try(connection, verb, packed)) is not None:
                    return reply
        trouble = self.trouble or f"{self.address.shown} did not answer in {self._patience_seconds:g} s"
        done = "the server may have executed the call" if sent else "nothing was sent"
        raise StoreUnavailableError(f"{trouble}; {done}: try again")

    async def _try(self, connection: TCPConnection, verb: str, packed: bytes) -> bytes | None:
        """Call once; return ``None`` if the call should be repeated on another connection."""
        answered = False
        try:
            reply = await connection.create_request(b"FCALL", f"{self._name}_{verb}", 1, self.key, packed)
            answered = True
            assert isinstance(reply, bytes), "our functions reply with bytes"
            return reply
        except RedisError as error:
            answered = True
            if not (isinstance(error, ELSEWHERE) or "Function not found" in str(error)):
                raise _refusal(error, self.address.shown) from error
            self._line.drop(connection, error)
            await trio.lowlevel.checkpoint()
            return None
        finally:
            if not answered and trio.current_effective_deadline() <= trio.current_time():  # not a cancel of the caller
                self._line.drop(connection, trio.TooSlowError())

    async def settings(self, *names: str) -> Mapping[str, str]:
        """Return settings of the server, or an empty mapping if the server does not show them.

        Raises:
            StoreUnavailableError: the server did not reply.
        """
        with trio.move_on_after(self._patience_seconds):
            while True:
                connection = await self._line.connection()
                try:
                    found = await connection.create_request(b"CONFIG GET", *names, decode=True)
                except ELSEWHERE as error:
                    self._line.drop(connection, error)
                    await trio.lowlevel.checkpoint()
                    continue
                except ResponseError:
                    return {}
                assert isinstance(found, dict), "RESP3 replies with a map"
                return {str(name): str(value) for name, value in found.items()}
        raise StoreUnavailableError(self.trouble or f"{self.address.shown} does not respond: try again")

    async def remove(self) -> None:
        """Remove every key of the queue.

        Raises:
            StoreUnavailableError: the server cannot be reached.
        """
        await self.call("marks")  # in a cluster, this connects to the node that has the queue's keys
        connection = await self._line.connection()
        cursor: Any = b"0"
        while True:
            reply: Any = await connection.create_request(b"SCAN", cursor, b"MATCH", f"{self.key}*", b"COUNT", 1000)
            cursor, keys = reply
            if keys:
                await connection.create_request(b"UNLINK", *keys)
            if int(cursor) == 0:
                return

    async def flush(self) -> None:
        """Wait until all replies so far are as durable as requested. Call this directly after a reply.

        Raises:
            StoreUnavailableError: the data did not reach the server's disk in time.
        """
        if self._flusher is not None:
            await self._flusher.flush(self.life)

    async def _prepare(self, connection: TCPConnection) -> None:
        """Load our functions, and subscribe to the messages of the queue."""
        self.life = await life_of(connection)
        refusal: ResponseError | None = None
        try:
            await connection.create_request(b"FUNCTION LOAD", self._text.encode())
        except ResponseError as error:
            refusal = error
        if refusal is not None and not await self._are_there(connection, refusal):
            raise refusal
        connection.send_command(b"SUBSCRIBE", self.key.encode())

    async def _are_there(self, connection: TCPConnection, refusal: ResponseError) -> bool:
        """Return whether our functions are loaded; a server that is out of memory refuses without saying so."""
        if "maxmemory" not in str(refusal):
            await trio.lowlevel.checkpoint()
            return "already exists" in str(refusal)
        return bool(await connection.create_request(b"FUNCTION LIST", b"LIBRARYNAME", self._name))

    def _sort(self, push: Sequence[Any]) -> None:
        if push[0] == b"message":
            self._hear(push[2].decode(errors="replace"))
        elif push[0] == b"subscribe":
            self._hear("")


def _refusal(error: RedisError, server: str) -> Exception:
    """Return the error for a refused call: a store that cannot be used at present, or damage in the queue."""
    text = str(error)
    if text.startswith(RefusalCode.SEALED):
        return StoreUnavailableError(f"{server} refused the call: {text.removeprefix(RefusalCode.SEALED).strip()}")
    if text.startswith(RefusalCode.OTHER):
        return OtherQueueError(f"{server} has lost the queue, or has another one now; this node joins that queue")
    if text.startswith(RefusalCode.MENDING):
        return StoreUnavailableError(f"{server} is restoring keys that it has lost: try again soon")
    if "user_function" in text and "maxmemory" not in text:
        return DamagedQueueError(f"the queue on {server} is damaged: {text}")
    return StoreUnavailableError(reason(error, server))
