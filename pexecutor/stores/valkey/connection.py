"""``Line``: one connection to the primary, made again whenever it breaks.

The primary is looked for anew with each connection: by asking the sentinels, or by following a cluster's ``MOVED``.
All keys of a queue lie on one node, so one connection at a time is enough there too. Whoever gets an answer that only
another server, or the same one with our functions, could have given calls ``drop``, and the next connection is made.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from typing import Final

import trio
from coredis.connection import TCPConnection, TCPLocation
from coredis.exceptions import BusyLoadingError, MovedError, ReadOnlyError, RedisError
from coredis.exceptions import ConnectionError as BrokenConnectionError

from ..address import ValkeyAddress

CONNECT_SECONDS_MAX: Final = 2.0
RECONNECT_SECONDS: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
"""How long to wait before the next attempt, the last for all that follow."""

SENTINEL_SECONDS_MAX: Final = 0.5
"""How long to wait for a sentinel before the next one is asked."""

SENTINEL_SECONDS: Final = 1.0
"""How long after an answer of the sentinels they are asked again."""

ELSEWHERE: Final = (BrokenConnectionError, ReadOnlyError, MovedError, BusyLoadingError)
"""What says that another connection may do better."""


class Line:
    """A connection, and the next one.

    Parameters:
        address: where the server is, or who knows.
        prepare: what is done with each new connection before anybody gets it.
        hear: told of each push from the server.
    """

    def __init__(
        self,
        address: ValkeyAddress,
        *,
        prepare: Callable[[TCPConnection], Awaitable[None]],
        hear: Callable[[Sequence[object]], None] = lambda _: None,
    ) -> None:
        self.trouble: str | None = f"{address.shown} has not answered yet"
        self._address = address
        self._prepare = prepare
        self._hear = hear
        self._tls = ssl.create_default_context() if address.tls else None
        self._moved_to: tuple[str, int] | None = None
        self._sentinels = list(address.hosts)  # those that did not answer come last
        self._connection: TCPConnection | None = None
        self._connected = trio.Event()

    async def stay_connected(self) -> None:
        """Be connected, again and again, until cancelled."""
        async with trio.open_nursery() as nursery:
            failures = 0
            while True:
                try:
                    await self._live(nursery)
                except (RedisError, OSError, trio.TooSlowError) as error:
                    self.trouble = reason(error, self._address.shown)
                failures = 0 if self._connected.is_set() else failures + 1
                self._have_none()
                await trio.sleep(RECONNECT_SECONDS[min(failures, len(RECONNECT_SECONDS) - 1)])

    async def connection(self) -> TCPConnection:
        """The connection, as soon as there is one."""
        while self._connection is None:
            await self._connected.wait()
        return self._connection

    def drop(self, connection: TCPConnection, error: Exception | None = None) -> None:
        """Have done with a connection; the next one is made to where the error points, if it does."""
        if isinstance(error, MovedError):
            self._moved_to = (error.host, error.port)
        if self._connection is connection:
            self._have_none()
            if error is not None and not isinstance(error, MovedError):
                self.trouble = reason(error, self._address.shown)
        connection.invalidate()

    def _have_none(self) -> None:
        self._connection = None
        if self._connected.is_set():  # whoever waits already waits for the next one
            self._connected = trio.Event()

    async def _live(self, nursery: trio.Nursery) -> None:
        """One connection, from its beginning to its end."""
        with trio.fail_after(CONNECT_SECONDS_MAX):
            place = await self._locate(nursery)
            connection = self._open(*place)
            await nursery.start(connection.run)
        watch = trio.CancelScope()
        try:
            with trio.fail_after(CONNECT_SECONDS_MAX):
                await self._prepare(connection)
            self.trouble = None
            self._connection = connection
            self._connected.set()
            if self._address.service is not None:
                nursery.start_soon(self._leave_when_replaced, place, connection, nursery, watch)
            async with aclosing(connection.push_messages) as pushes:
                async for push in pushes:
                    self._hear(push)
        finally:
            watch.cancel()
            connection.invalidate()

    async def _leave_when_replaced(
        self, place: tuple[str, int], connection: TCPConnection, nursery: trio.Nursery, watch: trio.CancelScope
    ) -> None:
        """Ask the sentinels on: a primary that was replaced takes writes for some seconds more, and they are lost."""
        with watch:
            while True:
                await trio.sleep(SENTINEL_SECONDS)
                with suppress(RedisError, OSError, trio.TooSlowError):
                    if await self._locate(nursery) != place:
                        self.drop(connection)
                        return

    def _open(self, host: str, port: int, *, database: int | None = None) -> TCPConnection:
        return TCPConnection(
            TCPLocation(host, port),
            socket_keepalive=True,
            connect_timeout=CONNECT_SECONDS_MAX,
            username=self._address.username,
            password=self._address.password,
            db=self._address.database if database is None else database,
            client_name="pexecutor",
            ssl_context=self._tls,
        )

    async def _locate(self, nursery: trio.Nursery) -> tuple[str, int]:
        """Where the primary is now."""
        if self._address.service is None:
            moved_to, self._moved_to = self._moved_to, None
            return moved_to or self._address.hosts[0]
        problem: Exception = BrokenConnectionError("no sentinel answers")
        for sentinel in list(self._sentinels):
            try:
                with trio.fail_after(SENTINEL_SECONDS_MAX):
                    return await self._ask(sentinel, self._address.service, nursery)
            except (RedisError, OSError, trio.TooSlowError) as error:
                problem = error
                self._sentinels.remove(sentinel)
                self._sentinels.append(sentinel)
        raise problem

    async def _ask(self, sentinel: tuple[str, int], service: str, nursery: trio.Nursery) -> tuple[str, int]:
        connection = TCPConnection(TCPLocation(*sentinel), connect_timeout=SENTINEL_SECONDS_MAX)
        try:
            await nursery.start(connection.run)
            found = await connection.create_request(b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", service)
        finally:
            connection.invalidate()
        if not isinstance(found, list):
            raise BrokenConnectionError(f"the sentinels know no {service!r}")
        return bytes(found[0]).decode(), int(found[1])


def reason(error: BaseException, server: str) -> str:
    """Why a server cannot be asked, and what to do about it."""
    text = str(error)
    if isinstance(error, BusyLoadingError):
        return f"{server} is still loading its data: wait"
    if isinstance(error, ReadOnlyError) or text.startswith("MASTERDOWN"):
        return f"{server} is a replica at present: wait for its promotion, or see to --store"
    if "maxmemory" in text:
        return f"{server} is out of memory (maxmemory): let tasks end, or give it more"
    if isinstance(error, RedisError) and not isinstance(error, BrokenConnectionError):
        return f"{server} refuses: {text}"
    return f"{server} cannot be reached: {plain(error)}"


def plain(error: BaseException) -> str:
    """Why, in the words of the error that was first."""
    while (cause := error.__cause__) is not None:
        error = cause
    if isinstance(error, trio.TooSlowError | TimeoutError):
        return "it does not answer"
    if isinstance(error, OSError) and error.errno and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno)
    return str(error) or "the connection broke"
