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
from coredis.exceptions import RedisError, ResponseError

from ...errors import StoreUnavailableError, UnusableStoreError
from ..address import ValkeyAddress
from .calls import DamagedQueueError, OtherQueueError
from .connection import ELSEWHERE, Line, reason
from .flush import Flusher, life_of

CALL_SECONDS_MAX: Final = 4.0
"""How long a call may take; less than any shield around it."""

START_SECONDS_MAX: Final = 10.0
"""How long to wait for the server at the start."""

PARTS: Final = (
    "book",
    "writing",
    "damage",
    "steps",
    "nodes",
    "running",
    "submit",
    "records",
    "listing",
    "moves",
    "mending",
    "upgrade",
)

_LEAVES: Final = ("running", "submit", "records", "listing")
"""Parts that no other part uses: their locals end with them, as Lua has room for 200 at once."""

_encode = msgspec.msgpack.Encoder().encode


def read_functions() -> tuple[str, str]:
    """The name of the library of functions and its text.

    The name goes with the text, so nodes of two versions can work side by side, each with its own functions.
    """
    folder = resources.files(__package__) / "functions"
    texts = {part: (folder / f"{part}.lua").read_text(encoding="utf-8") for part in PARTS}
    text = "\n".join(f"do\n{texts[part]}end\n" if part in _LEAVES else texts[part] for part in PARTS)
    name = "pexecutor_" + hashlib.sha256(text.encode()).hexdigest()[:12]
    return name, f"#!lua name={name}\n" + text.replace("LIBRARY", name)


class ValkeyLink:
    """A way to a queue on a server.

    Parameters:
        address: where the server is.
        queue: the queue's name.
        flushed: whether a submit waits until the server has it on its disk.
        patience_seconds: how long a call may take in all, the way to a new connection included.
    """

    def __init__(
        self,
        address: ValkeyAddress,
        queue: str,
        *,
        flushed: bool = False,
        patience_seconds: float = CALL_SECONDS_MAX,
    ) -> None:
        self.address = address
        self.key: str = f"pexecutor:{{{queue}}}"
        self._name, self._text = read_functions()
        self._patience_seconds = patience_seconds
        self.life: bytes = b""
        """What tells the server as it is, since its start, from what it was before, or from another one."""
        self._hear: Callable[[str], None] = lambda _: None
        self._line = Line(address, prepare=self._prepare, hear=self._sort)
        self._flusher = Flusher(address, f"{self.key}:flushed", patience_seconds=patience_seconds) if flushed else None

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
        outliving = trio.CancelScope(shield=True)  # until what is in here has given back what it holds
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._stay_connected, outliving)  # every call waits for its connection
            if self._flusher is not None:
                nursery.start_soon(self._flusher.keep_flushing)
            try:
                with trio.move_on_after(START_SECONDS_MAX) as waited:
                    await self._line.connection()
                if waited.cancelled_caught:
                    raise UnusableStoreError(
                        f"{self.trouble} (waited {START_SECONDS_MAX:g} s): start it, or see to --store"
                    )
                yield
            finally:
                outliving.cancel()
            nursery.cancel_scope.cancel()

    async def _stay_connected(self, outliving: trio.CancelScope) -> None:
        with outliving:
            await self._line.stay_connected()

    async def call(self, verb: str, *arguments: Any) -> bytes:
        """Call a function; its reply.

        Raises:
            StoreUnavailableError: there is no answer, or the server refuses.
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
        raise StoreUnavailableError(f"{trouble}; {'it may have been' if sent else 'nothing was'} done: try again")

    async def _try(self, connection: TCPConnection, verb: str, packed: bytes) -> bytes | None:
        """Call once; ``None`` when another connection may do better."""
        answered = False
        try:
            reply = await connection.create_request(b"FCALL", f"{self._name}_{verb}", 1, self.key, packed)
            answered = True
            assert isinstance(reply, bytes), "what our functions answer"
            return reply
        except RedisError as error:
            answered = True
            if not (isinstance(error, ELSEWHERE) or "Function not found" in str(error)):
                raise _refusal(error, self.address.shown) from error
            self._line.drop(connection, error)
            await trio.lowlevel.checkpoint()
            return None
        finally:
            if not answered and trio.current_effective_deadline() <= trio.current_time():
                self._line.drop(connection, trio.TooSlowError())

    async def settings(self, *names: str) -> Mapping[str, str]:
        """The server's own settings; none where it does not let us see them.

        Raises:
            StoreUnavailableError: there is no answer.
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
                assert isinstance(found, dict), "what RESP3 answers"
                return {str(name): str(value) for name, value in found.items()}
        raise StoreUnavailableError(self.trouble or f"{self.address.shown} does not answer: try again")

    async def remove(self) -> None:
        """Remove everything that has a key which begins with the queue's.

        Raises:
            StoreUnavailableError: the server cannot be asked.
        """
        await self.call("marks")  # from here on, the line leads to where the queue lies in a cluster
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
        """Wait until what was done so far is as durable as was asked; to be called without waiting after the answer.

        Raises:
            StoreUnavailableError: it is not on the server's disk in time.
        """
        if self._flusher is not None:
            await self._flusher.flush(self.life)

    async def _prepare(self, connection: TCPConnection) -> None:
        """Have our functions there, and be told of what happens in the queue."""
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
        """Whether our functions are there already; a server that is out of memory does not say so by itself."""
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
    """What a refusal comes to: a store that cannot be used now, or a fault in our functions."""
    text = str(error)
    if text.startswith("OTHER"):
        return OtherQueueError(f"{server} has lost the queue, or was given another one; this node joins what is there")
    if text.startswith("MENDING"):
        return StoreUnavailableError(f"{server} has lost some of its keys, and they are being restored: try again soon")
    if "user_function" in text and "maxmemory" not in text:
        return DamagedQueueError(f"the queue on {server} is damaged: {text}")
    return StoreUnavailableError(reason(error, server))
