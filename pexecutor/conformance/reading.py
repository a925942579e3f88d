"""Records, listings, history, and waiting for an outcome."""

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
    "``page`` lists scheduled tasks in acceptance order, then pending ones in start order, then running ones by start "
    "time, then finished ones, the latest first."
)
_CURSOR = (
    "A cursor names a place in that order, not a row count, so tasks that come and go between two pages shift nothing"
)
_HISTORY = "History is bounded by count, by age and by the bytes of params, errors, attempts, results and output"
_WAIT = "``wait`` returns the task once it has its outcome"


async def _one_of_each(store: Store) -> list[str]:
    """Tasks in every state; their names as they have to be listed."""
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


@guarantee("reading", "A listing has every task, by state and in the order of each state.", promise=_ORDER)
async def listing_order(place: Place) -> None:
    async with place.open() as store:
        wanted = await _one_of_each(store)
        found = await listed_names(store)
        expect(found == wanted, f"listed are {found}")
        for state in State:
            records = await listed(store, state)
            expect({record.state for record in records} == {state}, f"in the list of what is {state} are {records}")
        counts = store.statistics()
        shown = (counts.scheduled, counts.pending, counts.running, counts.history)
        expect(shown == (4, 4, 3, 3), f"the statistics count {shown} and it is (4, 4, 3, 3)")


@guarantee("reading", "Pages of any size put together are the listing.", promise=_CURSOR)
async def pages_make_a_listing(place: Place) -> None:
    async with place.open() as store:
        await _one_of_each(store)
        whole = await listed(store)
        for limit in (1, 2, 3, 5, 13, 14):
            expect(await listed(store, limit=limit) == whole, f"pages of {limit} are another listing")


@guarantee("reading", "Tasks that come and go between pages do not shift those that stay.", promise=_CURSOR)
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
        expect(found == stayed, f"those that stayed are {stayed}, and read were {found}")


@guarantee("reading", "A listing of one name has its tasks, and no other's.", promise=_ORDER)
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
            expect(found == [3, 2, 1], f"listed with pages of {limit} are {found} and not [3, 2, 1]")
        expect(not await listed(store, name="c"), "a name that nobody has is listed")


@guarantee("reading", "A cursor that no listing has given is refused.", promise="A cursor names a place in that order")
async def foreign_cursor(place: Place) -> None:
    async with place.open() as store:
        await accept(store, Task("a"), Task("b"))
        with refused(InvalidCursorError, "a cursor of nobody's"):
            await store.page(PageRequest(cursor="nonsense"))
        page = await store.page(PageRequest(State.PENDING, limit=1))
        with refused(InvalidCursorError, "a cursor of another listing"):
            await store.page(PageRequest(State.RUNNING, cursor=page.next_cursor))


@guarantee("reading", "History keeps the latest endings, up to its bound.", promise=_HISTORY)
async def history_by_count(place: Place) -> None:
    async with place.open(history_records_max=3) as store:
        records = await accept(store, *(Task(f"task-{number}") for number in range(6)))
        for running in await start(store, 6):
            await end(store, running)

        async def is_bounded() -> bool:
            return await listed_names(store) == ["task-5", "task-4", "task-3"]

        await until(is_bounded, "of six endings it should keep the last three")
        with refused(ExpiredTaskError, "reading what is forgotten"):
            await store.get(records[0].id)
        expect(isinstance(await store.get(records[5].id), Finished), "the last one is gone")


@guarantee(
    "reading", "A finished task is kept as long as the store keeps one, or for less if it says so.", promise=_HISTORY
)
async def history_by_age(place: Place) -> None:
    async with place.open(history_seconds_max=0.6) as store:
        short, long = await accept(store, Task("short", keep=100), Task("long", keep=600_000))
        for running in await start(store, 2):
            await end(store, running)
        expect(isinstance(await store.get(long.id), Finished), "what has just ended cannot be read")

        async def is_gone(task_id: str) -> bool:
            try:
                await store.get(task_id)
            except ExpiredTaskError:
                return True
            return False

        await until(lambda: is_gone(short.id), "a task that is to be kept for 0.1 s is kept")
        await until(lambda: is_gone(long.id), "a store that keeps tasks for 0.6 s keeps one")


@guarantee(
    "reading",
    "History keeps results and output up to its bytes; the oldest go first, and the last one stays.",
    promise="one that is too big alone goes with the next",
)
async def history_by_bytes(place: Place) -> None:
    async with place.open(history_bytes_max=10_000) as store:
        for name, size, wanted in (("a", 1000, ["a"]), ("b", 1000, ["b", "a"]), ("c", 50_000, ["c"]), ("d", 9, ["d"])):
            await accept(store, Task(name))
            [running] = await start(store)
            await end(store, running, Ending(Outcome.SUCCEEDED, result=b"1" * size))
            kept = await listed_names(store)
            expect(kept == wanted, f"of up to 10,000 bytes, after {size} of {name!r} it keeps {kept} and not {wanted}")


@guarantee(
    "reading",
    "History counts the bytes of params, and of the errors of each attempt, as it counts those of results.",
    promise=_HISTORY,
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
            expect(kept == wanted, f"of up to 10,000 bytes, after {name!r} it keeps {kept} and not {wanted}")


@guarantee(
    "reading", "An id that no task has had is unknown.", promise="``get`` and ``wait`` have the first two errors"
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


@guarantee("reading", "Whoever waits for a task has it when it ends, and at once when it has.", promise=_WAIT)
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
            expect(not ended, "somebody was told of an end before there was one")
            for running in await start(store, 2):
                await end(store, running)
        expect(len(ended) == 6, f"six waited and {len(ended)} were told")
        with within(WAIT_SECONDS_MAX, "waiting for what has ended"):
            expect(await store.wait(a.id) == await store.get(a.id), "what was waited for is not what can be read")


async def _wait_into(store: Store, task_id: str, ended: list[Finished]) -> None:
    with within(WAIT_SECONDS_MAX, "a task has ended and who waited for it was not told"):
        ended.append(await store.wait(task_id))


@guarantee("reading", "Who stops waiting leaves the others waiting.", promise=_WAIT)
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
        expect(len(ended) == 1, "the other one was not told")
