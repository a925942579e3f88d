"""``ValkeyLink``: calls of the functions on the server, and its messages.

One line carries everything: the calls of all, pipelined in the order they are made, and what the server tells of its
own accord. When it breaks, a call that has no answer yet is made again on the next connection, with the same arguments:
every verb is written so that a second time finds what the first has done. One that gets no answer in its time raises
``StoreUnavailableError`` with the reason; whether the server has done it is then not known.

Road not taken: a pool of connections. The server runs one call after the other anyway, and that the calls of a node
arrive in the order they are made is worth more than a second socket.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any, Final

import msgspec
import trio
from coredis.connection import TCPConnection
from coredis.exceptions import ConnectionError as BrokenConnectionError
from coredis.exceptions import MovedError, ReadOnlyError, RedisError, ResponseError

from ...errors import StoreUnavailableError, UnusableStoreError
from ..address import ValkeyAddress
from .calls import OtherQueueError
from .line import Line, plain

CALL_SECONDS_MAX: Final = 4.0
"""How long a call may take in all, the way to a new connection included; less than any shield around it."""

START_SECONDS_MAX: Final = 10.0
"""How long to wait for the server at the start."""

FLUSH_MS_MAX: Final = 3500

PARTS: Final = ("book", "steps", "nodes", "running", "submit", "records", "listing", "moves")

_encode = msgspec.msgpack.Encoder().encode


def read_functions() -> tuple[str, str]:
    """The name of the library of functions and its text.

    The name goes with the text, so nodes of two versions can work side by side, each with its own functions.
    """
    folder = resources.files(__package__) / "functions"
    text = "\n".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in PARTS)
    name = "pexecutor_" + hashlib.sha256(text.encode()).hexdigest()[:12]
    return name, f"#!lua name={name}\n" + text.replace("LIBRARY", name)


class ValkeyLink:
    """A way to a queue on a server.

    Parameters:
        address: where the server is.
        queue: the queue's name.
        flushed: whether a submit waits until the server has it on its disk.
    """

    def __init__(self, address: ValkeyAddress, queue: str, *, flushed: bool = False) -> None:
        self.address = address
        self.key = f"pexecutor:{{{queue}}}"
        self._name, self._text = read_functions()
        self._flushed = flushed
        self._hear: Callable[[str], None] = lambda _: None
        self._line = Line(address, prepare=self._prepare, hear=self._sort)
        self._flush_line = Line(address, prepare=self._nothing)
        self._flush_asked = self._flush_done = 0
        self._flushing: trio.Event | None = None

    @property
    def trouble(self) -> str | None:
        """Why the server cannot be asked at present, if so."""
        return self._line.trouble

    @asynccontextmanager
    async def opened(self, hear: Callable[[str], None]) -> AsyncIterator[None]:
        """While in here the server can be called; ``hear`` is told of its messages, '' when some may have been missed.

        Raises:
            UnusableStoreError: there is no server that can be used.
        """
        self._hear = hear
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._line.stay_connected)  # every call waits for its connection
            if self._flushed:
                nursery.start_soon(self._flush_line.stay_connected)
            with trio.move_on_after(START_SECONDS_MAX) as waited:
                await self._line.connection()
            if waited.cancelled_caught:
                raise UnusableStoreError(
                    f"{self.trouble} (waited {START_SECONDS_MAX:g} s): start it, or see to --store"
                )
            yield
            nursery.cancel_scope.cancel()

    async def call(self, verb: str, *arguments: Any) -> bytes:
        """Call a function; its reply.

        Raises:
            StoreUnavailableError: there is no answer, or the server refuses.
        """
        packed = _encode(arguments)
        with trio.move_on_after(CALL_SECONDS_MAX):
            while True:
                if (reply := await self._try(verb, packed)) is not None:
                    return reply
        raise StoreUnavailableError(self.trouble or f"{self.address.shown} did not answer in {CALL_SECONDS_MAX:g} s")

    async def _try(self, verb: str, packed: bytes) -> bytes | None:
        """Call once; ``None`` when another connection may do better."""
        connection = await self._line.connection()
        answered = False
        try:
            reply = await connection.create_request(b"FCALL", f"{self._name}_{verb}", 1, self.key, packed)
            answered = True
            assert isinstance(reply, bytes), "what our functions answer"
            return reply
        except (BrokenConnectionError, ReadOnlyError, MovedError) as error:
            answered = True
            self._line.drop(connection, error)
            await trio.lowlevel.checkpoint()
            return None
        except RedisError as error:
            answered = True
            if "Function not found" in str(error):
                self._line.drop(connection)
                return None
            raise _refusal(error, self.address.shown) from error
        finally:
            if not answered and trio.current_effective_deadline() <= trio.current_time():
                self._line.drop(connection)

    async def settings(self, *names: str) -> Mapping[str, str]:
        """The server's own settings; none where it does not let us see them."""
        connection = await self._line.connection()
        try:
            found = await connection.create_request(b"CONFIG GET", *names, decode=True)
        except ResponseError:
            return {}
        assert isinstance(found, dict), "what RESP3 answers"
        return {str(name): str(value) for name, value in found.items()}

    async def remove(self, queues: str) -> None:
        """Remove everything that is kept of some queues.

        Parameters:
            queues: their names, as a pattern of the server's.
        """
        connection = await self._line.connection()
        cursor: Any = b"0"
        while True:
            pattern = f"pexecutor:{{{queues}}}*"
            reply: Any = await connection.create_request(b"SCAN", cursor, b"MATCH", pattern, b"COUNT", 1000)
            cursor, keys = reply
            if keys:
                await connection.create_request(b"UNLINK", *keys)
            if int(cursor) == 0:
                return

    async def flush(self) -> None:
        """Wait until what was done so far is as durable as was asked; many who wait share one wait.

        Raises:
            StoreUnavailableError: it is not on the server's disk in time.
        """
        if not self._flushed:
            return
        self._flush_asked += 1
        ticket = self._flush_asked
        while self._flush_done < ticket:
            if self._flushing is not None:
                await self._flushing.wait()
                continue
            self._flushing = trio.Event()
            try:
                asked = self._flush_asked
                await self._flush_once()
                self._flush_done = asked
            finally:
                self._flushing.set()
                self._flushing = None

    async def _flush_once(self) -> None:
        """A write of our own, and then what waits for it: all that was written before it is on the disk, too."""
        local = 0
        with trio.move_on_after(CALL_SECONDS_MAX, shield=True):
            connection = await self._flush_line.connection()
            try:
                connection.create_request(b"SET", f"{self.key}:flushed", b"")
                reply = await connection.create_request(b"WAITAOF", 1, 0, FLUSH_MS_MAX)
                assert isinstance(reply, list), "what the command answers"
                local = int(reply[0])
            except RedisError as error:
                raise StoreUnavailableError(
                    f"{self.address.shown} cannot say what is on its disk: {plain(error)}"
                ) from error
        if local < 1:
            raise StoreUnavailableError(f"{self.address.shown} did not have it on its disk in {CALL_SECONDS_MAX:g} s")

    async def _prepare(self, connection: TCPConnection) -> None:
        """Have our functions there, and be told of what happens in the queue."""
        try:
            await connection.create_request(b"FUNCTION LOAD", self._text.encode())
        except ResponseError as error:
            if "already exists" not in str(error):
                raise
        connection.send_command(b"SUBSCRIBE", self.key.encode())

    async def _nothing(self, _: TCPConnection) -> None:
        await trio.lowlevel.checkpoint()

    def _sort(self, push: Sequence[Any]) -> None:
        if push[0] == b"message":
            self._hear(push[2].decode())
        elif push[0] == b"subscribe":
            self._hear("")


def _refusal(error: RedisError, server: str) -> Exception:
    """What a refusal comes to: a store that cannot be used now, or a fault in our functions."""
    reason = str(error)
    if reason.startswith("OTHER"):
        return OtherQueueError(f"{server} has lost the queue, or was given another one; this node joins what is there")
    if "user_function" in reason or "@user_script" in reason:
        return error
    if "maxmemory" in reason:
        return StoreUnavailableError(f"{server} is out of memory (maxmemory)")
    return StoreUnavailableError(f"{server} refuses: {reason}")
