"""A task that kills its server: its crashes are counted, and it is abandoned without affecting other tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import trio

from ..stores import Store
from ..task import Outcome, Pending, Record, Running, Task
from .asking import accept, end, end_for_now, ended_as, nothing_runs, start, start_nothing, submit
from .guarantee import Need, Place, expect, guarantee

_COUNTS: Final = "Each crash adds 1 to the ``crashes`` of the task's record; ``release`` does not."
_ENDS: Final = "It ends ``abandoned``, whatever its ``on_crash`` is"
_ALONE: Final = "never runs at the same time as another task that has a crash"


@asynccontextmanager
async def _next_life(place: Place, **settings: Any) -> AsyncIterator[Store]:
    """Open a store as the next process, wait until it has found the previous one dead, and let it die at the end."""
    async with place.open(**settings) as store:
        await nothing_runs(store)
        yield store
        await place.cut(store)


@guarantee(
    "crashes",
    "Each interrupted start counts as a crash and stays counted; a release and a failure do not count.",
    Need.DURABLE,
    promise=_COUNTS,
)
async def crashes_are_counted(place: Place) -> None:
    async with _next_life(place) as store:
        a, b = await accept(store, Task("a", retries=1, retry_delay=0), Task("b"))
        await start(store)
    async with _next_life(place) as store:
        _expect_crashes(await store.get(a.id), 1)
        _expect_crashes(await store.get(b.id), 0)
        await store.release(await start(store))
        _expect_crashes(await store.get(a.id), 1)
        _expect_crashes(await end_for_now(store, await _start_only(store, "a")), 1)
        _expect_crashes(await end(store, await _start_only(store, "a")), 1)
    async with place.open() as store:
        _expect_crashes(await store.get(a.id), 1)


@guarantee(
    "crashes",
    "A task with too many crashes is abandoned, and its name is free.",
    Need.DURABLE,
    promise=_ENDS,
)
async def too_many_crashes(place: Place) -> None:
    async with _next_life(place, crashes_max=2) as store:
        [killer] = await accept(store, Task("killer"))
        await start(store)
    async with _next_life(place, crashes_max=2) as store:
        expect(isinstance(await store.get(killer.id), Pending), "the task was abandoned after 1 of 2 crashes")
        await start(store)
    async with place.open(crashes_max=2) as store:
        await nothing_runs(store)
        record = await store.get(killer.id)
        expect(ended_as(record) is Outcome.ABANDONED, f"after 2 of 2 crashes the task is {record}")
        _expect_crashes(record, 2)
        error = getattr(record, "ending").error or ""  # noqa: B009  # it has ended
        expect("crashes_max" in error, f"the error does not name the setting: {error!r}")
        answered = await submit(store, Task("killer"))
        expect(answered == ["accepted"], f"a submit of its name got {answered}")


@guarantee(
    "crashes",
    "Tasks that one more crash would abandon run one at a time; tasks without a crash run beside them.",
    Need.DURABLE,
    promise=_ALONE,
)
async def tried_one_at_a_time(place: Place) -> None:
    async with _next_life(place, crashes_max=2) as store:
        await accept(store, Task("killer"), Task("bystander"))
        await start(store, 2)
    async with _next_life(place, crashes_max=2) as store:
        await accept(store, Task("fresh"))
        killer, fresh = await start(store, 2)
        expect(_names([killer, fresh]) == ["killer", "fresh"], f"{_names([killer, fresh])} were started together")
        await start_nothing(store, "one more crash would abandon it, and another such task runs")
    async with place.open(crashes_max=2) as store:
        await nothing_runs(store)
        expect(ended_as(await store.get(killer.id)) is Outcome.ABANDONED, "the running task was not abandoned")
        fresh_again = await store.get(fresh.id)
        expect(isinstance(fresh_again, Pending), f"the task without a crash is {fresh_again}")
        bystander = await _start_only(store, "bystander")
        await start_nothing(store, "it has a crash, and a task that one more crash would abandon runs")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end, store, bystander)
            started = await start(store)
        expect(_names(started) == ["fresh"], f"then {_names(started)} was started")


@guarantee(
    "crashes",
    "A task that one more crash would abandon does not run beside a task with fewer crashes.",
    Need.DURABLE,
    promise=_ALONE,
)
async def tried_apart_from_others_with_a_crash(place: Place) -> None:
    async with _next_life(place, crashes_max=3) as store:
        await accept(store, Task("bystander"))
        await start(store)
    async with _next_life(place, crashes_max=3) as store:
        await accept(store, Task("killer"))
        await start(store, 2)
    async with place.open(crashes_max=3) as store:
        await nothing_runs(store)
        bystander = await _start_only(store, "bystander")
        await start_nothing(store, "it has a crash, and a task that one more crash would abandon runs")
        await end(store, bystander)
        await _start_only(store, "killer")


def _expect_crashes(record: Record, crashes: int) -> None:
    expect(record.crashes == crashes, f"the task should have {crashes} crashes: {record}")


def _names(records: Sequence[Record]) -> list[str]:
    return [record.task.name for record in records]


async def _start_only(store: Store, name: str) -> Running:
    [running] = await start(store)
    expect(running.task.name == name, f"{running.task.name!r} was started instead of {name!r}")
    return running
