"""``Flusher``: waits until what the server has answered is on its disk; many who wait share one wait.

It has a line of its own, as a wait in there keeps everybody behind it waiting. It writes something and waits for that:
whatever was written before is on the disk then, too. That is so within one life of one server. When the server was
restarted, or is another one since a failover, nobody can say what became of the write before, so it counts as failed.

Road not taken: a wait for each submit. A disk takes as long for one as for all who came meanwhile.
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
"""How much of the patience the server may wait, so that its answer is here in time."""

_RUN_ID: Final = re.compile(rb"run_id:(\w+)")


async def life_of(connection: TCPConnection) -> bytes:
    """What tells this life of this server from all others."""
    about: Any = await connection.create_request(b"INFO", b"server")
    found = _RUN_ID.search(about)
    return found[1] if found else b""


class _Flush:
    """One wait, and what came of it: in which life of the server, or why not."""

    def __init__(self) -> None:
        self.asked = trio.Event()
        self.done = trio.Event()
        self.life = b""
        self.trouble: str | None = "the store is closed"


class Flusher:
    """Waits for the server's disk.

    Parameters:
        address: where the server is.
        key: what it may write.
        patience_seconds: how long one wait may take.
    """

    def __init__(self, address: ValkeyAddress, key: str, *, patience_seconds: float) -> None:
        self._shown = address.shown
        self._key = key
        self._patience_seconds = patience_seconds
        self._life = b""
        self._line = Line(address, prepare=self._prepare)
        self._next = _Flush()  # whoever comes while one is under way shares the next

    async def keep_flushing(self) -> None:
        """Wait for those who ask, until cancelled."""
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
        """Return when what was done so far is on the disk.

        Parameters:
            life: in which life of which server it was done.

        Raises:
            StoreUnavailableError: it is not there in time, or nobody can say.
        """
        flush = self._next
        flush.asked.set()
        with trio.move_on_after(2 * self._patience_seconds):
            await flush.done.wait()
        if flush.trouble is not None:
            raise StoreUnavailableError(flush.trouble)
        if flush.life != life:
            raise StoreUnavailableError(
                f"{self._shown} was restarted, or replaced, before all was on its disk: try again"
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
        return f"{self._shown} did not have it on its disk in {self._patience_seconds:g} s: try again"

    async def _wait(self, connection: TCPConnection) -> None:
        written = connection.create_request(b"SET", self._key, b"")
        wait_ms = int(self._patience_seconds * WAIT_SHARE * 1000)
        waited = connection.create_request(b"WAITAOF", 1, 0, wait_ms)
        await written
        try:
            reply: Any = await waited
        except UnknownCommandError:
            await self._check_that_it_writes_through(connection)
            return
        if reply[0] < 1:
            raise StoreUnavailableError(self._late())

    async def _check_that_it_writes_through(self, connection: TCPConnection) -> None:
        """Without the command: one that writes through has on its disk what it has answered."""
        names = ("appendonly", "appendfsync")
        settings: Any = await connection.create_request(b"CONFIG GET", *names, decode=True)
        if settings != {"appendonly": "yes", "appendfsync": "always"}:
            raise StoreUnavailableError(
                f"{self._shown} has no WAITAOF (it is there from Redis 7.2 on) to say what is on its disk: "
                "set `appendfsync always` there"
            )
