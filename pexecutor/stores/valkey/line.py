"""``Line``: one connection to the primary, made again whenever it breaks.

The primary is looked for anew with each connection: by asking the sentinels, or by following a cluster's ``MOVED``.
All keys of a queue lie on one node, so one connection at a time is enough there too. Whoever gets an answer that only
another server, or the same one with our functions, could have given calls ``drop``, and the next connection is made.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final

import trio
from coredis.connection import TCPConnection, TCPLocation
from coredis.exceptions import BusyLoadingError, MovedError, RedisError
from coredis.exceptions import ConnectionError as BrokenConnectionError

from ..address import ValkeyAddress

CONNECT_SECONDS_MAX: Final = 2.0
RECONNECT_SECONDS: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
"""How long to wait before the next attempt, the last for all that follow."""


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
        self.trouble: str | None = "not connected yet"
        self._address = address
        self._prepare = prepare
        self._hear = hear
        self._tls = ssl.create_default_context() if address.tls else None
        self._moved_to: tuple[str, int] | None = None
        self._connection: TCPConnection | None = None
        self._connected = trio.Event()

    async def stay_connected(self) -> None:
        """Be connected, again and again, until cancelled."""
        async with trio.open_nursery() as nursery:
            failures = 0
            while True:
                try:
                    await self._live(nursery)
                except BusyLoadingError:
                    self.trouble = f"{self._address.shown} is still loading its data"
                except (RedisError, OSError, trio.TooSlowError) as error:
                    self.trouble = f"{self._address.shown} cannot be reached: {plain(error)}"
                failures = 0 if self._connected.is_set() else failures + 1
                self._connection, self._connected = None, trio.Event()
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
            self._connection, self._connected = None, trio.Event()
        connection.invalidate()

    async def _live(self, nursery: trio.Nursery) -> None:
        """One connection, from its beginning to its end."""
        with trio.fail_after(CONNECT_SECONDS_MAX):
            connection = self._open(*await self._locate(nursery))
            await nursery.start(connection.run)
        try:
            with trio.fail_after(CONNECT_SECONDS_MAX):
                await self._prepare(connection)
            self.trouble = None
            self._connection = connection
            self._connected.set()
            async with aclosing(connection.push_messages) as pushes:
                async for push in pushes:
                    self._hear(push)
        finally:
            connection.invalidate()

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
        for host, port in self._address.hosts:
            sentinel = TCPConnection(TCPLocation(host, port), connect_timeout=CONNECT_SECONDS_MAX / 2)
            try:
                await nursery.start(sentinel.run)
                found = await sentinel.create_request(b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", self._address.service)
                if isinstance(found, list):
                    return bytes(found[0]).decode(), int(found[1])
                problem = BrokenConnectionError(f"the sentinels know no {self._address.service!r}")
            except (RedisError, OSError) as error:
                problem = error
            finally:
                sentinel.invalidate()
        raise problem


def plain(error: BaseException) -> str:
    """Why, in the words of the error that was first."""
    while (cause := error.__cause__) is not None:
        error = cause
    if isinstance(error, trio.TooSlowError | TimeoutError):
        return "it does not answer"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
