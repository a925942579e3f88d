"""``Flusher``: waits until the server's replies are on its disk. Callers share one wait.

It has its own connection, because a wait blocks all later commands of a connection. It writes a key and waits for that
write: then all earlier writes are on the disk too. This is valid within one life of one server, from its start to its
end. If the server was restarted, or replaced in a failover, the earlier writes may be lost, so they count as failed.

Road not taken: a wait per submit. A disk flush for one submit takes as long as a flush for all submits.
"""

from __future__ import annotations

import re
from typing import Any, Final

import trio
from coredis.connection import TCPConnection
from coredis.exceptions import RedisError, UnknownCommandError

from ...errors import StoreUnavailableError
from ..address import ValkeyAddress
from .connection import ELSEWHERE, Line, reason

WAIT_SHARE: Final = 0.9
"""The part of ``patience_seconds`` that the server may wait, so that its reply arrives in time."""

_RUN_ID: Final = re.compile(rb"run_id:(\w+)")


async def life_of(connection: TCPConnection) -> bytes:
    """Return the id of this life of the server."""
    about: Any = await connection.create_request(b"INFO", b"server")
    found = _RUN_ID.search(about)
    return found[1] if found else b""


class _Flush:
    """One wait, and its result: the life of the server in which it succeeded, or why it failed."""

    def __init__(self) -> None:
        self.asked = trio.Event()
        self.done = trio.Event()
        self.life = b""
        self.trouble: str | None = "the store is closed"


class Flusher:
    """Waits for the server's disk.

    Parameters:
        address: the server.
        key: a key that this may write.
        patience_seconds: how long one wait may take.
    """

    def __init__(self, address: ValkeyAddress, key: str, *, patience_seconds: float) -> None:
        self._shown = address.shown
        self._key = key
        self._patience_seconds = patience_seconds
        self._life = b""
        self._line = Line(address, prepare=self._prepare)
        self._next = _Flush()  # shared by all callers that arrive while an earlier flush is under way

    async def keep_flushing(self) -> None:
        """Flush whenever a caller waits, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._line.stay_connected)
            while True:
                await self._next.asked.wait()
                flush, self._next = self._next, _Flush()
                try:
                    flush.life, flush.trouble = await self._in_time(), None
                except StoreUnavailableError as error:
                    flush.trouble = str(error)
                finally:
                    flush.done.set()

    async def flush(self, life: bytes) -> None:
        """Wait until everything so far is on the disk.

        Parameters:
            life: the life of the server in which it was written.

        Raises:
            StoreUnavailableError: it did not reach the disk in time, or this is unknown.
        """
        flush = self._next
        flush.asked.set()
        with trio.move_on_after(2 * self._patience_seconds):
            await flush.done.wait()
        if flush.trouble is not None:
            raise StoreUnavailableError(flush.trouble)
        if flush.life != life:
            raise StoreUnavailableError(
                f"{self._shown} was restarted or replaced before all data were on its disk: try again"
            )

    async def _prepare(self, connection: TCPConnection) -> None:
        self._life = await life_of(connection)

    async def _in_time(self) -> bytes:
        connection: TCPConnection | None = None
        with trio.move_on_after(self._patience_seconds):
            while True:
                connection = await self._line.connection()
                life = self._life
                try:
                    await self._wait(connection)
                    return life
                except ELSEWHERE as error:
                    self._line.drop(connection, error)
                    await trio.lowlevel.checkpoint()
                except RedisError as error:
                    raise StoreUnavailableError(reason(error, self._shown)) from error
        if self._line.trouble is None and connection is not None:
            self._line.drop(connection)
        raise StoreUnavailableError(self._line.trouble or self._late())

    def _late(self) -> str:
        return f"{self._shown} did not write the data to its disk within {self._patience_seconds:g} s: try again"

    async def _wait(self, connection: TCPConnection) -> None:
        written = connection.create_request(b"SET", self._key, b"")
        wait_ms = int(self._patience_seconds * WAIT_SHARE * 1000)
        waited = connection.create_request(b"WAITAOF", 1, 0, wait_ms)
        await written
        try:
            reply: Any = await waited
        except UnknownCommandError:  # before Redis 7.2
            await self._check_that_it_writes_through(connection)
            return
        if reply[0] < 1:
            raise StoreUnavailableError(self._late())

    async def _check_that_it_writes_through(self, connection: TCPConnection) -> None:
        """Check that the server flushes before it replies, since it has no command to wait for its disk."""
        names = ("appendonly", "appendfsync")
        settings: Any = await connection.create_request(b"CONFIG GET", *names, decode=True)
        if settings != {"appendonly": "yes", "appendfsync": "always"}:
            raise StoreUnavailableError(
                f"{self._shown} cannot confirm what is on its disk (WAITAOF exists from Redis 7.2 on): "
                "set `appendfsync always` on the server"
            )
