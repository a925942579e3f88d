"""The order in which tasks start, and the time at which they start."""

from __future__ import annotations

from functools import partial

import trio

from ..errors import AlreadyFinishedError, AlreadyStartedError, UnknownTaskError
from ..stores import Store
from ..task import Running, Scheduled, Task
from .asking import FAILED, accept, at_once, end, listed, listed_names, refused, start, start_nothing
from .guarantee import Place, expect, guarantee

_CLAIM = (
    "then starts at most ``limit`` pending tasks and returns them. The highest priority starts first; tasks of equal "
    "priority start in acceptance order."
)
_PRIORITY = "A new priority moves the task to its new place in the start order."
_HOUR_MS = 3_600_000
_LATER = 253_402_300_799.0
"""The last second of the year 9999."""
_WORK = "``claim(limit)`` waits until a task can start"


def _names(started: list[Running]) -> list[str]:
    return [record.task.name for record in started]


@guarantee("order", "Tasks of one priority start in acceptance order.", promise=_CLAIM)
async def acceptance_order(place: Place) -> None:
    async with place.open() as store:
        names = [f"task-{number * 7 % 12}" for number in range(12)]
        for name in names[:6]:
            await accept(store, Task(name))
        await accept(store, *map(Task, names[6:]))
        started = _names([record for _ in range(12) for record in await start(store)])
        expect(started == names, f"tasks accepted as {names} were started as {started}")


@guarantee("order", "A higher priority starts first.", promise=_CLAIM)
async def priority_order(place: Place) -> None:
    async with place.open() as store:
        await accept(store, *(Task(str(priority), priority=priority) for priority in (0, -100, 7, 100, -1)))
        started = _names(await start(store, 5))
        expect(started == ["100", "7", "0", "-1", "-100"], f"the tasks were started as {started}")


@guarantee("order", "A claim starts at most `limit` tasks.", promise=_CLAIM)
async def claims_are_bounded(place: Place) -> None:
    async with place.open() as store:
        await accept(store, *(Task(f"task-{number}") for number in range(5)))
        expect(len(await store.claim(2)) == 2, "a claim of 2 did not start 2 of 5 tasks")
        expect(len(await store.claim(9)) == 3, "a claim of 9 did not start the other 3 tasks")


@guarantee("order", "A claim waits for a task, and gets the task when it comes.", promise=_WORK)
async def claims_wait(place: Place) -> None:
    async with place.open() as store, trio.open_nursery() as nursery:
        nursery.start_soon(start, store)
        await trio.sleep(0.05)
        await accept(store, Task("a"))


@guarantee(
    "order",
    "A delayed task starts when it is due, without further calls, and not earlier.",
    promise=_WORK,
)
async def due_and_not_before(place: Place) -> None:
    async with place.open() as store:
        [record] = await accept(store, Task("a", delay=300))
        await start_nothing(store, "it is not due")
        [running] = await start(store)
        early = record.submitted_at + 0.3 - running.started_at
        expect(early < 0.001, f"the task was started {early:.3f} s before it was due")


@guarantee("order", "A released task starts at its old place.", promise="at their old place in the start order")
async def released_at_its_old_place(place: Place) -> None:
    async with place.open() as store:
        await accept(store, Task("a"), Task("b"), Task("c"))
        [a, b] = await start(store, 2)
        await store.release([b, a])
        started = _names(await start(store, 3))
        expect(started == ["a", "b", "c"], f"after the release of a and b the tasks were started as {started}")


@guarantee("order", "A new priority moves a waiting task, and no other.", promise=_PRIORITY)
async def new_priority(place: Place) -> None:
    async with place.open() as store:
        records = await accept(store, Task("a"), Task("b"), Task("c"), Task("later", delay=60_000))
        await store.change_waiting(records[2].id, priority=5)
        await store.change_waiting(records[0].id, priority=-5)
        later = await store.change_waiting(records[3].id, priority=9)
        expect(later.task.priority == 9, f"the returned record does not have the new priority: {later}")
        listing = await listed_names(store)
        expect(listing == ["later", "c", "b", "a"], f"the listing is {listing}")
        started = _names(await start(store, 3))
        expect(started == ["c", "b", "a"], f"the tasks were started as {started}")


@guarantee(
    "order",
    "The priority of a running, a finished or an unknown task cannot be changed.",
    promise="``change_waiting`` raises ``AlreadyStartedError`` for a running task; the other errors are those of "
    "``cancel``.",
)
async def no_priority_to_change(place: Place) -> None:
    async with place.open() as store:
        [record] = await accept(store, Task("a"))
        [running] = await start(store)
        with refused(AlreadyStartedError, "a new priority for a running task"):
            await store.change_waiting(record.id, priority=1)
        await end(store, running)
        with refused(AlreadyFinishedError, "a new priority for a finished task"):
            await store.change_waiting(record.id, priority=1)
        with refused(UnknownTaskError, "a new priority for an unknown task"):
            await store.change_waiting(_next_id(record.id), priority=1)


@guarantee(
    "order",
    "A new time that has passed makes a waiting task due at once.",
    promise="If the new time has passed by the store's clock, the task is due at once",
)
async def new_time_that_has_passed(place: Place) -> None:
    async with place.open() as store:
        [later, retried] = await accept(
            store, Task("later", delay=_HOUR_MS), Task("b", retries=1, retry_delay=_HOUR_MS)
        )
        [running] = await start(store)
        await store.finish([(running, FAILED)])
        for record in (later, retried):
            await store.change_waiting(record.id, due_at=0.0)
        started = _names(await start(store, 2))
        expect(started == ["later", "b"], f"the tasks were started as {started}")


@guarantee(
    "order",
    "A new time to come makes a pending task wait, and a priority is set in the same step.",
    promise="A pending task whose new time is to come is scheduled again.",
)
async def new_time_to_come(place: Place) -> None:
    async with place.open() as store:
        [a, _] = await accept(store, Task("a"), Task("b"))
        moved = await store.change_waiting(a.id, priority=7, due_at=_LATER)
        expect(isinstance(moved, Scheduled) and moved.due_at == _LATER, f"the returned record is {moved}")
        expect(moved.task.priority == 7, f"the returned record does not have the new priority: {moved}")
        expect(await store.get(a.id) == moved, "the record differs from the one that was returned")
        started = _names(await start(store))
        expect(started == ["b"], f"the tasks were started as {started}")
        await start_nothing(store, "its new time is to come")


@guarantee(
    "order",
    "A task that follows another one waits for its new time.",
    promise="A task that follows another one starts at its new time if the holder has ended by then.",
)
async def new_time_of_a_follower(place: Place) -> None:
    async with place.open() as store:
        await accept(store, Task("a"))
        [running] = await start(store)
        [follower] = await accept(store, Task("a", on_conflict="latest"))
        await store.change_waiting(follower.id, due_at=_LATER)
        await end(store, running)
        await start_nothing(store, "its new time is to come")
        await store.change_waiting(follower.id, due_at=0.0)
        [started] = await start(store)
        expect(started.id == follower.id, f"{started} was started")


def _next_id(task_id: str) -> str:
    tag, _, number = task_id.partition("-")
    return f"{tag}-{int(number) + 1_000_000}"


@guarantee("order", "No task is returned by two claims.", promise="No task is claimed twice.")
async def no_task_is_claimed_twice(place: Place) -> None:
    async with place.open() as store:
        await accept(store, *(Task(f"task-{number}") for number in range(60)))
        claims = await at_once([partial(start, store, 10)] * 6)
        names = sorted(record.task.name for started in claims for record in started)
        expect(len(set(names)) == len(names), "a task was returned by two claims")


@guarantee("order", "A cancelled claim has started no task.", promise="A cancelled ``claim`` has started no task.")
async def cancelled_claim(place: Place) -> None:
    async with place.open() as store:
        given: list[Running] = []
        for number in range(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_claim_into, store, given)
                for _ in range(number):
                    await trio.lowlevel.checkpoint()
                await accept(store, Task(f"task-{number}"))
                nursery.cancel_scope.cancel()
            running = [record.task.name for record in await _running(store)]
            expect(running == _names(given), f"claims returned {len(given)} tasks, but the running tasks are {running}")
        given += await start(store, 20 - len(given)) if len(given) < 20 else []
        expect(len({record.id for record in given}) == 20, "in the end, the claims did not return each task once")


async def _claim_into(store: Store, given: list[Running]) -> None:
    given += await store.claim(1)


async def _running(store: Store) -> list[Running]:
    records = await listed(store)
    return [record for record in records if isinstance(record, Running)]
