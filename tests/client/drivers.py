"""Run one test with each client: the synchronous one, and the asynchronous one on asyncio and on Trio."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Final

import trio

from pexecutor import AsyncClient, Client, Handle
from pexecutor.client.sync.events import Events
from pexecutor.client.sync.logs import LogLines
from pexecutor.client.sync.pages import Pages
from pexecutor.client.sync.schedules import ScheduleClient

DRIVERS: Final = ("sync", "asyncio", "trio")
SUBMITS: Final = int(os.environ.get("TEST_CLIENT_SUBMITS", "50"))
"""How many tasks each client submits through a proxy that loses replies. The full size is 1000."""

SECONDS_MAX: Final = 40.0 + SUBMITS / 2

Test = Callable[[AsyncClient], Awaitable[None]]
Run = Callable[..., None]


def runner(driver: str) -> Run:
    """Return a function that runs a test with a client; the arguments are those of the client."""

    def run(test: Test, url: str, token: str | None = None, **settings: Any) -> None:
        async def asynchronous() -> None:
            async with AsyncClient(url, token, **settings) as client:
                await test(client)

        async def synchronous() -> None:
            with Client(url, token, **settings) as client:
                await test(_Awaitable(client))  # type: ignore[arg-type]

        match driver:
            case "sync":
                asyncio.run(asyncio.wait_for(synchronous(), SECONDS_MAX))
            case "asyncio":
                asyncio.run(asyncio.wait_for(asynchronous(), SECONDS_MAX))
            case _:
                trio.run(_within, asynchronous)

    return run


async def _within(main: Callable[[], Awaitable[None]]) -> None:
    with trio.fail_after(SECONDS_MAX):
        await main()


class _Awaitable:
    """Shows an object of the synchronous client as one of the asynchronous client. It blocks the event loop."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name.replace("aclose", "close"))
        if not callable(value):
            return _shown(value)
        if name in ("list", "events", "logs"):
            return lambda *arguments, **more: _shown(value(*arguments, **more))

        async def call(*arguments: Any, **more: Any) -> Any:
            return _shown(value(*arguments, **more))

        return call

    async def __aenter__(self) -> Any:
        self._inner.__enter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        self._inner.__exit__(*error)

    def __aiter__(self) -> AsyncIterator[Any]:
        return _each(iter(self._inner))


def _shown(value: Any) -> Any:
    known = isinstance(value, Handle | ScheduleClient | Pages | Events | LogLines)
    return _Awaitable(value) if known else value


async def _each(items: Iterator[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item


__all__ = ["DRIVERS", "Run", "runner"]
