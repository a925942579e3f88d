"""The schedules of a local store while its disk is slow or fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import pytest
import trio

from pexecutor import LocalStore, PageRequest, StoreUnavailableError, Task
from pexecutor.errors import TooManySchedulesError
from pexecutor.stores.schedules import Definition, NextTime, Schedule, ScheduleBounds, ScheduleStep

from ...fakes import FakeJournal

NOW: Final = 1_800_000_000.0
DEFINITION: Final = Definition(Task("task"), cron="* * * * *")


@pytest.fixture
def journal() -> FakeJournal:
    return FakeJournal()


@pytest.fixture
async def store(journal: FakeJournal) -> AsyncIterator[LocalStore]:
    store = LocalStore(journal=journal, now=lambda: NOW, schedule_bounds=ScheduleBounds(2, 10_000))
    async with store.opened():
        yield store


def schedule(name: str = "s") -> Schedule:
    return Schedule(name, DEFINITION, next=NextTime(NOW, NOW))


def step(stored: Schedule | None) -> ScheduleStep:
    assert stored is not None
    assert stored.next is not None
    return ScheduleStep(stored.name, stored.generation, stored.next, NOW, NextTime(NOW + 60, NOW + 60))


async def test_schedules_that_are_being_written_count(store: LocalStore) -> None:
    refused: list[str] = []

    async def put(name: str) -> None:
        try:
            await store.schedules.put(schedule(name))
        except TooManySchedulesError:
            refused.append(name)

    async with trio.open_nursery() as nursery:
        for name in "abcd":
            nursery.start_soon(put, name)
    assert len(refused) == 2
    assert store.statistics().schedules == 2


async def test_what_could_not_be_written_takes_no_room(store: LocalStore, journal: FakeJournal) -> None:
    journal.fails_at = {1, 2, 3}
    for name in "abc":
        with pytest.raises(StoreUnavailableError):
            await store.schedules.put(schedule(name))
    assert await store.schedules.page(10) == []
    for name in "de":
        assert await store.schedules.put(schedule(name)) is not None


async def test_a_fire_that_cannot_be_written_changes_nothing(store: LocalStore, journal: FakeJournal) -> None:
    stored = await store.schedules.put(schedule())
    journal.fails_at = {journal.writes + 1, journal.writes + 2}
    with pytest.raises(StoreUnavailableError):
        await store.schedules.fire(step(stored), Task("task"))
    with pytest.raises(StoreUnavailableError):
        await store.schedules.skip(step(stored), "late")
    assert await store.schedules.page(10) == [stored]
    assert (await store.page(PageRequest())).records == []
    assert await store.schedules.fire(step(stored), Task("task")) is not None


async def test_a_fire_that_was_written_is_found_by_the_next_process(store: LocalStore, journal: FakeJournal) -> None:
    stored = await store.schedules.put(schedule())
    await store.schedules.fire(step(stored), Task("task"))
    [before] = await store.schedules.page(10)
    other = LocalStore(journal=journal, now=lambda: NOW)
    async with other.opened():
        assert await other.schedules.page(10) == [before]
        assert [record.task.name for record in (await other.page(PageRequest())).records] == ["task"]


async def test_a_remove_that_cannot_be_written_leaves_the_schedule(store: LocalStore, journal: FakeJournal) -> None:
    stored = await store.schedules.put(schedule())
    assert stored is not None
    journal.fails_at = {journal.writes + 1}
    with pytest.raises(StoreUnavailableError):
        await store.schedules.remove("s", stored.generation)
    assert await store.schedules.page(10) == [stored]
