"""What a link asks its server at the start, on connections that break and with a log that fails."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import pytest
import trio
from coredis.connection import TCPConnection
from coredis.exceptions import ConnectionError as BrokenConnectionError
from coredis.exceptions import ResponseError
from trio.testing import MockClock

from pexecutor import Executor
from pexecutor.errors import StoreUnavailableError
from pexecutor.stores.address import ValkeyAddress
from pexecutor.stores.valkey.client import ValkeyLink
from pexecutor.stores.valkey.connection import Line
from pexecutor.stores.valkey.store import ValkeyStore

from .fake import FakeValkey
from .links import SureLink

ADDRESS: Final = ValkeyAddress((("localhost", 6379),))


class Answering:
    """A connection that gives one answer."""

    def __init__(self, answer: object) -> None:
        self._answer = answer

    async def create_request(self, *_: object, decode: bool) -> object:
        assert decode
        await trio.lowlevel.checkpoint()
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    def invalidate(self) -> None: ...


async def prepare_nothing(_: TCPConnection) -> None:
    await trio.lowlevel.checkpoint()


class OneAfterTheOther(Line):
    """A line that has these connections, and then none."""

    def __init__(self, *answers: object) -> None:
        super().__init__(ADDRESS, prepare=prepare_nothing)
        self._answers = list(answers)

    async def connection(self) -> TCPConnection:
        if not self._answers:
            await trio.sleep_forever()
        return cast(TCPConnection, Answering(self._answers.pop(0)))


async def settings_after(*answers: object) -> Mapping[str, str]:
    link = ValkeyLink(ADDRESS, "test")
    link._line = OneAfterTheOther(*answers)
    return await link.settings("appendonly")


async def test_the_settings_are_asked_for_again_when_the_connection_breaks() -> None:
    assert await settings_after(BrokenConnectionError("lost"), {"appendonly": "yes"}) == {"appendonly": "yes"}


async def test_a_server_that_does_not_show_its_settings_has_none() -> None:
    assert await settings_after(ResponseError("unknown command")) == {}


async def test_settings_are_not_waited_for_without_end(autojump_clock: MockClock) -> None:
    with pytest.raises(StoreUnavailableError):
        await settings_after(BrokenConnectionError("lost"))


async def test_a_store_opens_although_a_doubt_cannot_be_logged(nursery: trio.Nursery) -> None:
    class WithoutSettings(SureLink):
        async def settings(self, *_: str) -> Mapping[str, str]:
            await trio.lowlevel.checkpoint()
            return {}

    def log_that_fails(_: str) -> Any:
        raise OSError("no space left on the device")

    store = ValkeyStore(WithoutSettings(FakeValkey(trio.current_time)), node="one", on_doubt=log_that_fails)
    await nursery.start(Executor(store).run)
    nursery.cancel_scope.cancel()
