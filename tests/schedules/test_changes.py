"""Changes of schedules: what counts as a change, who may make it, and what happens to the next time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

import msgspec
import pytest
import trio

from pexecutor import LocalStore, StoreUnavailableError, Task
from pexecutor.errors import InvalidScheduleError, OwnedScheduleError, UnknownScheduleError
from pexecutor.schedules.changes import declare, fire_on_request, pause, remove
from pexecutor.stores.local.schedules import LocalSchedules
from pexecutor.stores.schedules import Definition, NextTime, Schedule

NOW: Final = 1_800_000_000.25
TASK: Final = Task("task")
EVERY: Final = Definition(TASK, every=60_000)


class Clock:
    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> LocalSchedules:
    return LocalStore(now=clock).schedules


async def test_a_new_schedule_begins_now(store: LocalSchedules) -> None:
    declared = await declare(store, "s", EVERY)
    assert (declared.is_new, declared.is_changed) == (True, True)
    schedule = declared.schedule
    assert schedule.definition.start_at == datetime.fromtimestamp(NOW, UTC)
    assert schedule.next == NextTime(NOW + 60, NOW + 60)
    assert await store.get("s") == schedule


async def test_an_equal_definition_changes_nothing(store: LocalSchedules, clock: Clock) -> None:
    first = await declare(store, "s", EVERY)
    clock.time += 1000
    again = await declare(store, "s", EVERY)
    assert (again.is_new, again.is_changed) == (False, False)
    assert again.schedule == first.schedule == await store.get("s")


async def test_another_interval_keeps_the_start(store: LocalSchedules, clock: Clock) -> None:
    first = await declare(store, "s", EVERY)
    clock.time += 100
    other = await declare(store, "s", Definition(TASK, every=7000))
    assert (other.is_new, other.is_changed) == (False, True)
    assert other.schedule.definition.start_at == first.schedule.definition.start_at
    assert other.schedule.next == NextTime(NOW + 105, NOW + 105)
    assert other.schedule.generation > first.schedule.generation


async def test_a_cron_expression_may_follow_an_interval(store: LocalSchedules, clock: Clock) -> None:
    await declare(store, "s", EVERY)
    cron = (await declare(store, "s", Definition(TASK, cron="0 * * * *"))).schedule
    assert cron.definition.start_at is None
    clock.time += 7000
    every = (await declare(store, "s", EVERY)).schedule
    assert every.definition.start_at == datetime.fromtimestamp(NOW + 7000, UTC)


async def test_a_pause_stays_until_it_is_ended(store: LocalSchedules) -> None:
    before = (await declare(store, "s", EVERY, paused=True)).schedule
    assert before.paused
    same = await declare(store, "s", EVERY)
    assert (same.is_changed, same.schedule.paused) == (False, True)
    after = (await declare(store, "s", EVERY, paused=False)).schedule
    assert (after.paused, after.next) == (False, before.next)
    paused = await pause(store, "s", True)
    assert paused.generation > after.generation
    assert await pause(store, "s", True) == paused


async def test_the_owner_of_a_schedule_is_the_file_that_declares_it(store: LocalSchedules) -> None:
    await declare(store, "s", EVERY)
    declared = await declare(store, "s", EVERY, owner="file")
    assert (declared.is_changed, declared.schedule.owner) == (True, "file")
    with pytest.raises(
        OwnedScheduleError, match=r"'s' is declared in a settings file: change `.schedules.s.` there, and reload"
    ):
        await declare(store, "s", Definition(TASK, every=1000))
    with pytest.raises(OwnedScheduleError):
        await remove(store, "s")
    assert (await pause(store, "s", True)).owner == "file"
    assert (await fire_on_request(store, "s")).verdict.verdict == "accepted"
    await remove(store, "s", owner="file")
    with pytest.raises(UnknownScheduleError):
        await pause(store, "s", True)


async def test_an_invalid_schedule_is_not_stored(store: LocalSchedules) -> None:
    with pytest.raises(InvalidScheduleError):
        await declare(store, "s", Definition(TASK, cron="61 * * * *"))
    assert await store.page(10) == []


CHANGES: Final[list[Callable[[LocalSchedules], Awaitable[object]]]] = [
    lambda store: declare(store, "s", Definition(TASK, every=1000)),
    lambda store: pause(store, "s", True),
    lambda store: remove(store, "s"),
    lambda store: fire_on_request(store, "s"),
]


def change_after_each_read(store: LocalSchedules, patch: pytest.MonkeyPatch, times: int) -> None:
    """Replace the schedule whenever it has been read, so that the reader is always too late."""
    get, put = store.get, store.put

    async def get_and_change(name: str) -> Schedule:
        nonlocal times
        schedule = await get(name)
        if times:
            times -= 1
            await put(msgspec.structs.replace(schedule, definition=msgspec.structs.replace(EVERY, every=5000 + times)))
        return schedule

    patch.setattr(store, "get", get_and_change)


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_begins_anew_if_another_was_faster(
    store: LocalSchedules, change: Callable[[LocalSchedules], Awaitable[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    await declare(store, "s", EVERY)
    change_after_each_read(store, monkeypatch, times=3)
    await change(store)


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_gives_up_in_the_end(
    store: LocalSchedules, change: Callable[[LocalSchedules], Awaitable[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    await declare(store, "s", EVERY)
    change_after_each_read(store, monkeypatch, times=1000)
    with pytest.raises(StoreUnavailableError, match="the schedule 's' is being changed by others: try again"):
        await change(store)


async def test_two_may_declare_one_schedule_at_the_same_time(store: LocalSchedules) -> None:
    async with trio.open_nursery() as nursery:
        for every in (1000, 2000):
            nursery.start_soon(declare, store, "s", Definition(TASK, every=every))
    assert (await store.get("s")).definition.every in (1000, 2000)
