"""``on_conflict``: what a submit does when its name is held."""

from __future__ import annotations

from functools import partial

from ..stores import Store
from ..task import Accepted, Following, Outcome, Pending, Record, Running, Scheduled, State, Task
from .asking import FAILED, accept, at_once, end, ended_as, listed, start, submit
from .guarantee import BrokenPromiseError, Place, expect, guarantee

_JOIN = "``join``: the holder's record is the answer, as if it had been accepted now."
_LATEST_WAITING = "a holder that has not started takes the new task and keeps its place."
_LATEST_RUNNING = "the first such submit makes a follower, each further one gives it its newer task"
_SUPERSEDE_WAITING = "ends cancelled, and the new task takes its name in the same step"
_SUPERSEDE_RUNNING = "One that runs is told to stop, and the new task follows it."


def again(name: str, duration: int, on_conflict: str) -> Task:
    """A task that is told from others of its name by its duration."""
    return Task(name, duration=duration, on_conflict=on_conflict)  # type: ignore[arg-type]


async def _durations(store: Store, state: State) -> list[int]:
    return [record.task.duration for record in await listed(store, state)]


@guarantee("conflicts", "join is answered with the task that holds the name, whatever its state.", promise=_JOIN)
async def join(place: Place) -> None:
    async with place.open() as store:
        [first] = await accept(store, Task("a"))
        [joined] = await accept(store, again("a", 1, "join"))
        expect(joined.id == first.id and isinstance(joined, Pending), f"joined to a pending one, it is {joined}")
        await start(store)
        [joined] = await accept(store, again("a", 2, "join"))
        expect(joined.id == first.id and isinstance(joined, Running), f"joined to a running one, it is {joined}")
        expect(len(await listed(store)) == 1, "joining has made another task")


@guarantee(
    "conflicts", "latest gives a task that waits the new content; its place and its id stay.", promise=_LATEST_WAITING
)
async def latest_on_one_that_waits(place: Place) -> None:
    async with place.open() as store:
        a, _ = await accept(store, again("a", 1, "reject"), Task("b"))
        [renewed] = await accept(store, again("a", 2, "latest"))
        expect(renewed.id == a.id, "it has got another id")
        started = [(record.task.name, record.task.duration) for record in await start(store, 2)]
        expect(started == [("a", 2), ("b", 0)], f"started are {started}")


@guarantee("conflicts", "latest leaves a delayed task its time.", promise=_LATEST_WAITING)
async def latest_keeps_the_time(place: Place) -> None:
    async with place.open() as store:
        [before] = await accept(store, Task("a", delay=60_000))
        [after] = await accept(store, again("a", 2, "latest"))
        held = isinstance(before, Scheduled) and isinstance(after, Scheduled) and before.due_at == after.due_at
        expect(held, f"it was {before} and is {after}")


@guarantee(
    "conflicts", "latest makes exactly one more run after the one under way, of the newest.", promise=_LATEST_RUNNING
)
async def latest_on_one_that_runs(place: Place) -> None:
    async with place.open() as store:
        await accept(store, again("a", 1, "reject"))
        [running] = await start(store)
        answers = await at_once([partial(accept, store, again("a", number, "latest")) for number in range(2, 12)])
        expect(len({record.id for [record] in answers}) == 1, "ten submits have made more than one follower")
        [newest] = await accept(store, again("a", 99, "latest"))
        expect(isinstance(newest, Following), f"it does not follow: {newest}")
        await end(store, running)
        [follower] = await start(store)
        expect(follower.id == newest.id and follower.task.duration == 99, f"what ran next is {follower}")
        await end(store, follower)
        expect(not await listed(store, State.PENDING), "there is one more run than one")


@guarantee(
    "conflicts", "supersede cancels a task that waits, and has its name in the same step.", promise=_SUPERSEDE_WAITING
)
async def supersede_one_that_waits(place: Place) -> None:
    async with place.open(queue_size=1) as store:
        [old] = await accept(store, again("a", 1, "reject"))
        [new] = await accept(store, again("a", 2, "supersede"))
        expect(new.id != old.id, "the new one is the old one")
        record = await store.get(old.id)
        expect(ended_as(record) is Outcome.CANCELLED, f"the old one is {record}")
        expect(await _durations(store, State.PENDING) == [2], "it is not the new one alone that waits")


@guarantee(
    "conflicts",
    "supersede names the running task that has to stop, and runs once that has ended.",
    promise=_SUPERSEDE_RUNNING,
)
async def supersede_one_that_runs(place: Place) -> None:
    async with place.open() as store:
        [old] = await accept(store, again("a", 1, "reject"))
        [running] = await start(store)
        [verdict] = await store.submit([again("a", 2, "supersede")])
        told = isinstance(verdict, Accepted) and verdict.superseded is not None and verdict.superseded.id == old.id
        expect(told, f"the answer does not name the one that has to stop: {verdict}")
        expect(not await listed(store, State.PENDING), "the new one may start while the old one runs")
        await end(store, running)
        expect(await _durations(store, State.PENDING) == [2], "the new one is not next")


@guarantee("conflicts", "A newer supersede takes the place of the follower that was there.", promise=_SUPERSEDE_RUNNING)
async def supersede_a_follower(place: Place) -> None:
    async with place.open() as store:
        await accept(store, again("a", 1, "reject"))
        [running] = await start(store)
        [second] = await accept(store, again("a", 2, "supersede"))
        await accept(store, again("a", 3, "supersede"))
        record = await store.get(second.id)
        expect(ended_as(record) is Outcome.CANCELLED, f"the first follower is {record}")
        await end(store, running)
        expect(await _durations(store, State.PENDING) == [3], "the newest is not next")


@guarantee(
    "conflicts", "A task that is followed is not tried again.", promise="A task that is followed is not retried."
)
async def followed_is_not_retried(place: Place) -> None:
    async with place.open() as store:
        await accept(store, Task("a", retries=9, retry_delay=0))
        [running] = await start(store)
        await accept(store, again("a", 2, "latest"))
        finished = await end(store, running, FAILED)
        expect(finished.outcome is Outcome.FAILED, f"it has ended as {finished}")
        expect(await _durations(store, State.PENDING) == [2], "its follower is not next")


@guarantee(
    "conflicts",
    "A follower has the name in the step in which the holder ends.",
    promise="or passes it to the task that follows, in the same step",
)
async def name_is_passed_on(place: Place) -> None:
    async with place.open() as store:
        [record] = await accept(store, Task("a"))
        [running] = await start(store)
        await accept(store, again("a", 2, "latest"))
        await end(store, running)
        expect(ended_as(await store.get(record.id)) is Outcome.SUCCEEDED, "the holder has not ended")
        answered = await submit(store, Task("a"))
        expect(answered == ["duplicate"], f"behind a follower the name was answered {answered}")


@guarantee(
    "conflicts",
    "A list is decided about as if its tasks came one by one.",
    promise="so a list behaves as its tasks would one by one",
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
        expect([v.verdict for v in verdicts] == ["accepted"] * 4 + ["duplicate"], f"it was answered {verdicts}")
        records = await listed(store)
        expect([_shown(record) for record in records] == [("pending", 4), ("finished", 2)], f"there are {records}")


def _shown(record: Record) -> tuple[str, int]:
    return record.state.value, record.task.duration


@guarantee(
    "conflicts",
    "A follower that finds no room is refused, and the holder runs on.",
    promise="Otherwise the task is ``Accepted`` while there is room",
)
async def follower_without_room(place: Place) -> None:
    async with place.open(queue_size=1) as store:
        await accept(store, Task("a"))
        await start(store)
        await accept(store, Task("b"))
        for on_conflict in ("latest", "supersede"):
            answered = await submit(store, again("a", 1, on_conflict))
            expect(answered == ["full"], f"{on_conflict} in a full queue was {answered}")
        if [record.task.name for record in await listed(store, State.RUNNING)] != ["a"]:
            raise BrokenPromiseError("the holder does not run any more")
