"""Ways to a ``FakeValkey``: one that works."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import trio

from .fake import FakeValkey

KEY: Final = "pexecutor:{test}"


class SureLink:
    """A way on which nothing is lost or late."""

    trouble: str | None = None

    def __init__(self, server: FakeValkey) -> None:
        self._server = server

    @asynccontextmanager
    async def opened(self, hear: Callable[[str], None]) -> AsyncIterator[None]:
        self._server.listeners.append(hear)
        hear("")
        yield
        self._server.listeners.remove(hear)

    async def call(self, verb: str, *arguments: Any) -> bytes:
        await trio.lowlevel.checkpoint()
        return self._server.fcall(verb, KEY, msgspec.msgpack.encode(arguments))

    async def settings(self, *names: str) -> Mapping[str, str]:
        await trio.lowlevel.checkpoint()
        return {}

    async def flush(self) -> None:
        await trio.lowlevel.checkpoint()
