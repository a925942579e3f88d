"""Schedules go along with the tasks: all of them, with their occurrences and next times, to one place only."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pexecutor import Record, Task
from pexecutor.errors import UnusableStoreError
from pexecutor.stores import Store
from pexecutor.stores.schedules import Definition, NextTime, Schedule, ScheduleStep
from pexecutor.stores.sqlite.database import connect

from .test_move import full, here, in_flight, is_served, move_files, move_mortally, serving, there, undo_files

__all__ = ["full", "here", "there"]

HOURLY = Definition(Task("hourly"), every=3_600_000, start_at=datetime(2020, 1, 1, tzinfo=UTC))
PLACES_MAX = 10_000


async def schedules_of(store: Store) -> list[Schedule]:
    return await store.schedules.page(PLACES_MAX)


async def schedules_in(path: Path) -> list[Schedule]:
    async with serving(path) as store:
        return await schedules_of(store)


async def put_some(store: Store) -> list[Schedule]:
    """Put one schedule that has fired and skipped, one that is paused and one that has ended; return them."""
    now = round(await store.schedules.now())
    fired = await store.schedules.put(Schedule("ä", HOURLY, next=NextTime(now - 7200.0, now - 7199.5)))
    paused = await store.schedules.put(Schedule("paused", HOURLY, paused=True, owner="file", next=NextTime(9e9, 9e9)))
    ended = await store.schedules.put(Schedule("ended", Definition(Task("x"), cron="0 3 * * *")))
    assert fired
    assert paused
    assert ended
    upcoming = NextTime(now - 3600.0, now - 3600.0)
    step = ScheduleStep("ä", fired.generation, fired.next, now - 7200.0, upcoming)
    assert await store.schedules.fire(step, Task("hourly", delay=600_000))
    again = ScheduleStep("ä", fired.generation, upcoming, now - 3600.0, NextTime(now + 3600.0, now + 3600.25))
    assert await store.schedules.fire(again, Task("hourly"))
    return await schedules_of(store)


@pytest.fixture
async def scheduled(full: list[Record], here: Path) -> list[Schedule]:
    """The schedules of a store that also has tasks."""
    async with serving(here) as store:
        return await put_some(store)


async def test_schedules_go_as_they_are(scheduled: list[Schedule], here: Path, there: Path) -> None:
    assert (await move_files(here, there, dry_run=True)).schedules == 3
    assert (await move_files(here, there)).schedules == 3
    assert await schedules_in(there) == scheduled
    async with serving(there) as store:
        new = await store.schedules.put(Schedule("new", HOURLY))
        assert new is not None
        assert new.generation > max(schedule.generation for schedule in scheduled)
    await move_files(there, here)
    assert await schedules_in(here) == sorted([*scheduled, new], key=lambda schedule: schedule.name)


async def test_a_target_remembers_its_generations(scheduled: list[Schedule], here: Path, there: Path) -> None:
    async with serving(there) as store:
        given = 0
        while given < 20:
            gone = await store.schedules.put(Schedule("gone", HOURLY))
            assert gone is not None
            given = gone.generation
            await store.schedules.remove("gone", given)
    await move_files(here, there)
    async with serving(there) as store:
        new = await store.schedules.put(Schedule("new", HOURLY))
        assert new is not None
        assert new.generation > given


@pytest.mark.parametrize("step", range(1, 8))
async def test_cut_short_they_are_in_one_place(scheduled: list[Schedule], here: Path, there: Path, step: int) -> None:
    assert not await move_mortally(here, there, step)
    assert not (await is_served(here) and await is_served(there))
    if step < 7:
        await move_files(here, there, history=step == 1)
    assert await schedules_in(there) == scheduled


async def test_an_undone_move_leaves_them(scheduled: list[Schedule], here: Path, there: Path) -> None:
    await move_mortally(here, there, 3)
    await undo_files(here, there)
    assert await schedules_in(here) == scheduled
    await move_files(here, there)
    assert await schedules_in(there) == scheduled


async def test_a_target_with_schedules_is_refused(scheduled: list[Schedule], here: Path, there: Path) -> None:
    async with serving(there) as store:
        theirs = await store.schedules.put(Schedule("theirs", HOURLY))
        assert theirs is not None
    with pytest.raises(UnusableStoreError, match=r"has schedules of its own, such as 'theirs': remove them first"):
        await move_files(here, there)
    async with serving(there) as store:
        await store.schedules.remove("theirs", theirs.generation)
    await move_files(here, there)


async def test_a_target_keeps_its_schedules_if_none_arrive(full: list[Record], here: Path, there: Path) -> None:
    async with serving(there) as store:
        await store.schedules.put(Schedule("theirs", HOURLY))
    await move_files(here, there)
    assert [schedule.name for schedule in await schedules_in(there)] == ["theirs"]
    assert await in_flight(there)


async def test_what_cannot_be_read_is_set_aside(scheduled: list[Schedule], here: Path, there: Path) -> None:
    connection = connect(here)
    connection.execute("UPDATE schedules SET definition = '{}' WHERE name = 'paused'")
    connection.close()
    assert (await move_files(here, there)).schedules == 2
    connection = connect(here)
    assert connection.execute("SELECT name FROM damaged_schedules").fetchall() == [("paused",)]
    connection.close()
    assert [schedule.name for schedule in await schedules_in(there)] == ["ended", "ä"]
