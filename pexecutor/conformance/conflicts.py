"""``on_conflict``: what a submit does when its name is held."""

from __future__ import annotations

from functools import partial

from ..stores import Store
from ..task import Accepted, Following, Outcome, Pending, Record, Running, Scheduled, State, Task
from .asking import FAILED, accept, at_once, end, ended_as, listed, start, submit
from .guarantee import BrokenPromiseError, Place, expect, guarantee

_JOIN = "``join``: the verdict is accepted, with the holder's record."
_LATEST_WAITING = "a holder that has not started gets the content of the new task, and keeps its id and its place."
_LATEST_RUNNING = "the first such submit makes a follower, and each further one replaces the follower's task"
_SUPERSEDE_WAITING = "ends cancelled, and the new task takes its name in the same step"
_SUPERSEDE_RUNNING = "A running holder is asked to stop, and the new task follows it."


def again(name: str, duration: int, on_conflict: str) -> Task:
    """Return a task that differs from others of its name by its duration."""
    return Task(name, duration=duration, on_conflict=on_conflict)  # type: ignore[arg-type]


async def _durations(store: Store, state: State) -> list[int]:
    return [record.task.duration for record in await listed(store, state)]


@guarantee("conflicts", "join returns the task that holds the name, in any state.", promise=_JOIN)
async def join(place: Place) -> None:
    async with place.open() as store:
        [first] = await accept(store, Task("a"))
        [joined] = await accept(store, again("a", 1, "join"))
        expect(joined.id == first.id and isinstance(joined, Pending), f"joining a pending task returned {joined}")
        await start(store)
        [joined] = await accept(store, again("a", 2, "join"))
        expect(joined.id == first.id and isinstance(joined, Running), f"joining a running task returned {joined}")
        expect(len(await listed(store)) == 1, "joining made another task")


@guarantee(
    "conflicts", "latest replaces the content of a waiting task; its place and id stay.", promise=_LATEST_WAITING
)
async def latest_on_one_that_waits(place: Place) -> None:
    async with place.open() as store:
        a, _ = await accept(store, again("a", 1, "reject"), Task("b"))
        [renewed] = await accept(store, again("a", 2, "latest"))
        expect(renewed.id == a.id, "the task got another id")
        started = [(record.task.name, record.task.duration) for record in await start(store, 2)]
        expect(started == [("a", 2), ("b", 0)], f"the started tasks are {started}")


@guarantee("conflicts", "latest does not change when a delayed task is due.", promise=_LATEST_WAITING)
async def latest_keeps_the_time(place: Place) -> None:
    async with place.open() as store:
        [before] = await accept(store, Task("a", delay=60_000))
        [after] = await accept(store, again("a", 2, "latest"))
        held = isinstance(before, Scheduled) and isinstance(after, Scheduled) and before.due_at == after.due_at
        expect(held, f"the task was {before} and is {after}")


@guarantee(
    "conflicts", "latest adds exactly one run after the running one, of the newest task.", promise=_LATEST_RUNNING
)
async def latest_on_one_that_runs(place: Place) -> None:
    async with place.open() as store:
        await accept(store, again("a", 1, "reject"))
        [running] = await start(store)
        answers = await at_once([partial(accept, store, again("a", number, "latest")) for number in range(2, 12)])
        expect(len({record.id for [record] in answers}) == 1, "ten submits made more than one follower")
        [newest] = await accept(store, again("a", 99, "latest"))
        expect(isinstance(newest, Following), f"the new task is not a follower: {newest}")
        await end(store, running)
        [follower] = await start(store)
        expect(follower.id == newest.id and follower.task.duration == 99, f"the next task was {follower}")
        await end(store, follower)
        expect(not await listed(store, State.PENDING), "more than one run was added")


@guarantee(
    "conflicts", "supersede cancels a waiting task and takes its name in the same step.", promise=_SUPERSEDE_WAITING
)
async def supersede_one_that_waits(place: Place) -> None:
    async with place.open(queue_size=1) as store:
        [old] = await accept(store, again("a", 1, "reject"))
        [new] = await accept(store, again("a", 2, "supersede"))
        expect(new.id != old.id, "the new task has the id of the old one")
        record = await store.get(old.id)
        expect(ended_as(record) is Outcome.CANCELLED, f"the old task is {record}")
        expect(await _durations(store, State.PENDING) == [2], "the new task is not the only pending one")


@guarantee(
    "conflicts",
    "supersede names the running task that has to stop, and runs after that task has ended.",
    promise=_SUPERSEDE_RUNNING,
)
async def supersede_one_that_runs(place: Place) -> None:
    async with place.open() as store:
        [old] = await accept(store, again("a", 1, "reject"))
        [running] = await start(store)
        [verdict] = await store.submit([again("a", 2, "supersede")])
        named = isinstance(verdict, Accepted) and verdict.superseded is not None and verdict.superseded.id == old.id
        expect(named, f"the verdict does not name the task that has to stop: {verdict}")
        expect(not await listed(store, State.PENDING), "the new task can start although the old one runs")
        await end(store, running)
        expect(await _durations(store, State.PENDING) == [2], "the new task is not pending")


@guarantee("conflicts", "A newer supersede replaces the follower.", promise=_SUPERSEDE_RUNNING)
async def supersede_a_follower(place: Place) -> None:
    async with place.open() as store:
        await accept(store, again("a", 1, "reject"))
        [running] = await start(store)
        [second] = await accept(store, again("a", 2, "supersede"))
        await accept(store, again("a", 3, "supersede"))
        record = await store.get(second.id)
        expect(ended_as(record) is Outcome.CANCELLED, f"the first follower is {record}")
        await end(store, running)
        expect(await _durations(store, State.PENDING) == [3], "the newest task is not pending")


@guarantee(
    "conflicts", "A task that has a follower is not retried.", promise="A task that has a follower is not retried."
)
async def followed_is_not_retried(place: Place) -> None:
    async with place.open() as store:
        await accept(store, Task("a", retries=9, retry_delay=0))
        [running] = await start(store)
        await accept(store, again("a", 2, "latest"))
        finished = await end(store, running, FAILED)
        expect(finished.outcome is Outcome.FAILED, f"the holder ended as {finished}")
        expect(await _durations(store, State.PENDING) == [2], "the follower is not pending")


@guarantee(
    "conflicts",
    "A follower gets the name in the step in which the holder ends.",
    promise="or passes the name to the task's follower",
)
async def name_is_passed_on(place: Place) -> None:
    async with place.open() as store:
        [record] = await accept(store, Task("a"))
        [running] = await start(store)
        await accept(store, again("a", 2, "latest"))
        await end(store, running)
        expect(ended_as(await store.get(record.id)) is Outcome.SUCCEEDED, "the holder has not ended")
        answered = await submit(store, Task("a"))
        expect(answered == ["duplicate"], f"a submit of the follower's name got {answered}")


@guarantee(
    "conflicts",
    "A list is decided as if its tasks were submitted one by one.",
    promise="so a list has the effect of its tasks submitted one by one",
)
async def conflicts_within_a_list(place: Place) -> None:
    async with place.open() as store:
        verdicts = await store.submit(
            [
                again("a", 1, "reject"),
                again("a", 2, "latest"),
                again("a", 3, "join"),
                again("a", 4, "supersede"),
                again("a", 5, "reject"),
            ]
        )
        expect([v.verdict for v in verdicts] == ["accepted"] * 4 + ["duplicate"], f"the verdicts are {verdicts}")
        records = await listed(store)
        expect(
            [_shown(record) for record in records] == [("pending", 4), ("finished", 2)], f"the records are {records}"
        )


def _shown(record: Record) -> tuple[str, int]:
    return record.state.value, record.task.duration


@guarantee(
    "conflicts",
    "A follower without room is refused, and the holder continues to run.",
    promise="Otherwise, if the queue has room, the verdict is ``Accepted`` with the new record.",
)
async def follower_without_room(place: Place) -> None:
    async with place.open(queue_size=1) as store:
        await accept(store, Task("a"))
        await start(store)
        await accept(store, Task("b"))
        for on_conflict in ("latest", "supersede"):
            answered = await submit(store, again("a", 1, on_conflict))
            expect(answered == ["full"], f"{on_conflict} in a full queue got {answered}")
        if [record.task.name for record in await listed(store, State.RUNNING)] != ["a"]:
            raise BrokenPromiseError("the holder no longer runs")
