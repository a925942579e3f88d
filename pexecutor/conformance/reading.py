"""Reading records, listings and the history, and waiting for an outcome."""

from __future__ import annotations

import trio

from ..errors import ExpiredTaskError, InvalidCursorError, UnknownTaskError
from ..stores import PageRequest, Store
from ..task import Ending, Finished, Outcome, State, Task
from .asking import (
    IDLE_SECONDS,
    WAIT_SECONDS_MAX,
    accept,
    end,
    end_for_now,
    listed,
    listed_names,
    refused,
    start,
    until,
    within,
)
from .guarantee import Place, expect, guarantee

_ORDER = (
    "``page`` lists records in this order: scheduled ones by acceptance, pending ones by start order, running ones by "
    "start time, finished ones with the latest first."
)
_CURSOR = (
    "A cursor names a place in this order, not a row number. A task that stays where it is therefore appears exactly "
    "once"
)
_HISTORY = "Each part is bounded by count and by age."
_BYTES = "Both together are bounded by the bytes of params, errors, attempts, results and output"
_WAIT = "``wait`` returns a task once it has its outcome"


async def _one_of_each(store: Store) -> list[str]:
    """Make tasks in every state; return their names in listing order."""
    await accept(store, *(Task(f"ended-{number}") for number in range(3)))
    for running in await start(store, 3):
        await end(store, running)
    for number in range(3):
        await accept(store, Task(f"running-{number}"))
        await start(store)
    await accept(store, *(Task(f"later-{number}", delay=90_000 - number * 10_000) for number in range(3)))
    await accept(store, Task("running-0", on_conflict="latest"))
    await accept(store, Task("low", priority=-1), Task("a"), Task("b"), Task("high", priority=1))
    return [
        *("later-0", "later-1", "later-2", "running-0"),
        *("high", "a", "b", "low"),
        *("running-0", "running-1", "running-2"),
        *("ended-2", "ended-1", "ended-0"),
    ]


@guarantee("reading", "A listing has every task, sorted by state and then by the order of that state.", promise=_ORDER)
async def listing_order(place: Place) -> None:
    async with place.open() as store:
        wanted = await _one_of_each(store)
        found = await listed_names(store)
        expect(found == wanted, f"the listing is {found}")
        for state in State:
            records = await listed(store, state)
            expect({record.state for record in records} == {state}, f"the listing of {state} tasks is {records}")
        counts = store.statistics()
        shown = (counts.scheduled, counts.pending, counts.running, counts.history)
        expect(shown == (4, 4, 3, 3), f"the statistics count {shown} instead of (4, 4, 3, 3)")


@guarantee("reading", "Pages of any size make up the whole listing.", promise=_CURSOR)
async def pages_make_a_listing(place: Place) -> None:
    async with place.open() as store:
        await _one_of_each(store)
        whole = await listed(store)
        for limit in (1, 2, 3, 5, 13, 14):
            expect(await listed(store, limit=limit) == whole, f"pages of {limit} make up another listing")


@guarantee("reading", "Tasks that come and go between two pages do not shift other tasks.", promise=_CURSOR)
async def pages_do_not_shift(place: Place) -> None:
    async with place.open() as store:
        records = await accept(store, *(Task(f"task-{number}") for number in range(8)))
        page = await store.page(PageRequest(State.PENDING, limit=3))
        seen = [record.task.name for record in page.records]
        await store.cancel(records[0].id)
        await store.cancel(records[2].id)
        await accept(store, Task("first", priority=1), Task("last"))
        while page.next_cursor is not None:
            page = await store.page(PageRequest(State.PENDING, limit=3, cursor=page.next_cursor))
            seen += [record.task.name for record in page.records]
        stayed = [f"task-{number}" for number in (1, 3, 4, 5, 6, 7)]
        found = [name for name in seen if name in stayed]
        expect(found == stayed, f"of the unchanged tasks {stayed} the pages had {found}")


@guarantee("reading", "A listing of one name has exactly its tasks.", promise=_ORDER)
async def listing_of_a_name(place: Place) -> None:
    async with place.open() as store:
        await accept(store, Task("a", duration=1), Task("b"))
        for running in await start(store, 2):
            await end(store, running)
        await accept(store, Task("a", duration=2), Task("b"))
        await start(store, 2)
        await accept(store, Task("a", duration=3, on_conflict="latest"))
        for limit in (1, 9):
            found = [record.task.duration for record in await listed(store, name="a", limit=limit)]
            expect(found == [3, 2, 1], f"pages of {limit} have {found} instead of [3, 2, 1]")
        expect(not await listed(store, name="c"), "the listing of an unused name is not empty")


@guarantee("reading", "A cursor of no or another listing is refused.", promise="A cursor names a place in this order")
async def foreign_cursor(place: Place) -> None:
    async with place.open() as store:
        await accept(store, Task("a"), Task("b"))
        with refused(InvalidCursorError, "an invalid cursor"):
            await store.page(PageRequest(cursor="nonsense"))
        page = await store.page(PageRequest(State.PENDING, limit=1))
        with refused(InvalidCursorError, "a cursor of another listing"):
            await store.page(PageRequest(State.RUNNING, cursor=page.next_cursor))


@guarantee("reading", "The history keeps the latest endings, up to its bound.", promise=_HISTORY)
async def history_by_count(place: Place) -> None:
    async with place.open(history_records_max=3) as store:
        records = await accept(store, *(Task(f"task-{number}") for number in range(6)))
        for running in await start(store, 6):
            await end(store, running)

        async def is_bounded() -> bool:
            return await listed_names(store) == ["task-5", "task-4", "task-3"]

        await until(is_bounded, "a history of 3 does not have the last 3 of 6 endings")
        with refused(ExpiredTaskError, "reading an expired task"):
            await store.get(records[0].id)
        expect(isinstance(await store.get(records[5].id), Finished), "the last task cannot be read")


@guarantee(
    "reading", "A finished task is kept for the time of the store, or for its own shorter time.", promise=_HISTORY
)
async def history_by_age(place: Place) -> None:
    async with place.open(history_seconds_max=0.6) as store:
        short, long = await accept(store, Task("short", keep=100), Task("long", keep=600_000))
        for running in await start(store, 2):
            await end(store, running)
        expect(isinstance(await store.get(long.id), Finished), "a task that has just ended cannot be read")

        async def is_gone(task_id: str) -> bool:
            try:
                await store.get(task_id)
            except ExpiredTaskError:
                return True
            return False

        await until(lambda: is_gone(short.id), "a task with a `keep` of 0.1 s is still kept")
        await until(lambda: is_gone(long.id), "a store that keeps tasks for 0.6 s still keeps one")


@guarantee(
    "reading",
    "The history keeps results and output up to its bytes; the oldest are dropped first, and the last one stays.",
    promise="A record that exceeds the byte limit alone stays until the next task ends.",
)
async def history_by_bytes(place: Place) -> None:
    async with place.open(history_bytes_max=10_000) as store:
        for name, size, wanted in (("a", 1000, ["a"]), ("b", 1000, ["b", "a"]), ("c", 50_000, ["c"]), ("d", 9, ["d"])):
            await accept(store, Task(name))
            [running] = await start(store)
            await end(store, running, Ending(Outcome.SUCCEEDED, result=b"1" * size))
            kept = await listed_names(store)
            expect(
                kept == wanted, f"of at most 10,000 bytes, after {size} of {name!r}, {kept} is kept instead of {wanted}"
            )


@guarantee(
    "reading",
    "The history counts the bytes of params and of each attempt's error like those of results.",
    promise=_BYTES,
)
async def history_by_all_bytes(place: Place) -> None:
    async with place.open(history_bytes_max=10_000) as store:
        long = Ending(Outcome.FAILED, "e" * 4000)
        for name, params, retries, wanted in (
            ("a", {"x": "1" * 6000}, 0, ["a"]),
            ("b", {"x": "1" * 6000}, 0, ["b"]),
            ("c", {}, 0, ["c", "b"]),
            ("d", {}, 2, ["d", "c"]),
        ):
            await accept(store, Task(name, params=params, retries=retries, retry_delay=0))
            for _ in range(retries):
                [running] = await start(store)
                await end_for_now(store, running, long)
            [running] = await start(store)
            await end(store, running)
            kept = await listed_names(store)
            expect(kept == wanted, f"of at most 10,000 bytes, after {name!r}, {kept} is kept instead of {wanted}")


@guarantee(
    "reading",
    "An id that no task has had is unknown.",
    promise="``get`` and ``wait`` raise ``UnknownTaskError`` and ``ExpiredTaskError``.",
)
async def unknown_ids(place: Place) -> None:
    async with place.open() as store:
        [record] = await accept(store, Task("a"))
        tag, _, number = record.id.partition("-")
        for unknown in (f"{tag}-{int(number) + 1}", f"{int(tag, 16) ^ 1:06x}-{number}", "", "a", f"{tag}-0"):
            with refused(UnknownTaskError, f"reading {unknown!r}"):
                await store.get(unknown)
            with refused(UnknownTaskError, f"waiting for {unknown!r}"):
                await store.wait(unknown)


@guarantee("reading", "A wait for a task returns when it ends, or at once if it has ended.", promise=_WAIT)
async def waiting_for_an_outcome(place: Place) -> None:
    async with place.open() as store:
        a, b = await accept(store, Task("a", retries=1, retry_delay=0), Task("b"))
        ended: list[Finished] = []
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(_wait_into, store, a.id, ended)
            nursery.start_soon(_wait_into, store, b.id, ended)
            [running] = await start(store)
            await end_for_now(store, running)
            await trio.sleep(IDLE_SECONDS)
            expect(not ended, "a wait returned before the task ended")
            for running in await start(store, 2):
                await end(store, running)
        expect(len(ended) == 6, f"of six waits {len(ended)} returned")
        with within(WAIT_SECONDS_MAX, "a wait for a finished task did not return"):
            expect(await store.wait(a.id) == await store.get(a.id), "`wait` returned another record than `get`")


async def _wait_into(store: Store, task_id: str, ended: list[Finished]) -> None:
    with within(WAIT_SECONDS_MAX, "a task has ended, but a wait for it did not return"):
        ended.append(await store.wait(task_id))


@guarantee("reading", "A cancelled wait does not affect other waits.", promise=_WAIT)
async def waiting_given_up(place: Place) -> None:
    async with place.open() as store:
        [a] = await accept(store, Task("a"))
        ended: list[Finished] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_wait_into, store, a.id, ended)
            with trio.move_on_after(IDLE_SECONDS):
                await store.wait(a.id)
            [running] = await start(store)
            await end(store, running)
        expect(len(ended) == 1, "the other wait did not return")
