"""What a node does for its schedules beside the server: it repeats calls, and waits until changes are durable."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from trio.testing import MockClock

from pexecutor import Accepted, PageRequest, StoreUnavailableError, Task
from pexecutor.conformance.schedules import HOUR, fire, put, skip, step_of
from pexecutor.stores.valkey import ValkeyStore

from ...conftest import virtual_now
from .fake import FakeValkey
from .links import KEY, SureLink


class RepeatingLink(SureLink):
    """Each call is done twice, because its first reply was lost."""

    async def call(self, verb: str, *arguments: Any) -> bytes:
        await super().call(verb, *arguments)
        return await super().call(verb, *arguments)


class CountingLink(SureLink):
    """Counts the waits for the server's disk, which may fail."""

    flushes = 0
    fails = False

    async def flush(self) -> None:
        await super().flush()
        self.flushes += 1
        if self.fails:
            raise StoreUnavailableError("the disk is slow")


@asynccontextmanager
async def opened(link: SureLink) -> AsyncIterator[ValkeyStore]:
    store = ValkeyStore(link, node="node")
    async with store.opened():
        yield store


async def test_a_repeated_step_gets_the_first_reply(autojump_clock: MockClock) -> None:
    async with opened(RepeatingLink(FakeValkey(virtual_now))) as store:
        schedule = await put(store, due_in=-3 * HOUR)
        firing = await fire(store, schedule)
        assert isinstance(firing.verdict, Accepted)
        assert len((await store.page(PageRequest())).records) == 1
        skipped = await skip(store, await store.schedules.get("s"), "late")
        assert [getattr(one, "count", 0) for one in skipped.occurrences] == [1, 0]
        assert await store.schedules.remove("s", schedule.generation)


async def test_a_change_is_flushed_and_a_read_is_not(autojump_clock: MockClock) -> None:
    link = CountingLink(FakeValkey(virtual_now))
    async with opened(link) as store:
        before = link.flushes
        schedule = await put(store, due_in=-3 * HOUR)
        await fire(store, schedule)
        await skip(store, await store.schedules.get("s"), "late")
        await store.schedules.due(10)
        assert await store.schedules.fire(step_of(schedule), Task("again")) is None
        await store.schedules.remove("s", schedule.generation)
        assert link.flushes == before + 4
        link.fails = True
        with pytest.raises(StoreUnavailableError, match="the disk is slow"):
            await put(store)


async def test_a_restart_of_the_server_gives_no_generation_twice(autojump_clock: MockClock) -> None:
    server = FakeValkey(virtual_now)
    async with opened(SureLink(server)) as store:
        first = await put(store)
        server.write()
        lost = await store.schedules.put(first)
        assert lost is not None
        server.crash()
        again = await store.schedules.put(first)
        assert again is not None
        assert again.generation > lost.generation


async def test_a_generation_is_never_below_that_of_a_stored_schedule(autojump_clock: MockClock) -> None:
    server = FakeValkey(virtual_now)
    async with opened(SureLink(server)) as store:
        schedules = [await put(store, name) for name in "abc"]
        server.data[f"{KEY}:head"]["claims"] = "1"
        changed = await store.schedules.put(msgspec.structs.replace(schedules[-1], paused=True))
        assert changed is not None
        assert changed.generation > schedules[-1].generation
