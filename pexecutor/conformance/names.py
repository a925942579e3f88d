"""Each name is held by at most one task in flight, from its acceptance to its outcome."""

from __future__ import annotations

from functools import partial
from itertools import count

from ..stores import Store
from ..task import Duplicate, Outcome, State, Task
from .asking import DONE, accept, at_once, end, end_for_now, listed, listed_names, start, submit
from .guarantee import Place, expect, guarantee
from .steps import cancelled_at_step

STEPS_MAX = 60


@guarantee(
    "names",
    "Of two equal names in one list, the first is accepted.",
    promise="and also if the holder is an earlier task of the same list",
)
async def first_of_two_equal_names(place: Place) -> None:
    async with place.open() as store:
        verdicts = await store.submit([Task("a", duration=1), Task("b"), Task("a", duration=2)])
        expect([v.verdict for v in verdicts] == ["accepted", "accepted", "duplicate"], f"the verdicts are {verdicts}")
        [record] = await listed(store, name="a")
        expect(record.task.duration == 1, "the second of two tasks was accepted")
        last = verdicts[-1]
        expect(isinstance(last, Duplicate) and last.holder.id == record.id, f"{last} does not name the first task")


@guarantee(
    "names",
    "A name is held while its task is scheduled, pending, running or waiting for a retry.",
    promise="becomes ``Scheduled`` for a retry and keeps its name",
)
async def held_in_every_state(place: Place) -> None:
    async with place.open() as store:
        await accept(store, Task("running"))
        await start(store)
        await accept(store, Task("retried", retries=1, retry_delay=60_000))
        [running] = await start(store)
        await end_for_now(store, running)
        await accept(store, Task("pending"), Task("scheduled", delay=60_000))
        for name in ("running", "retried", "pending", "scheduled"):
            [verdict] = await store.submit([Task(name)])
            expect(isinstance(verdict, Duplicate), f"the name of a {name} task was accepted again: {verdict}")
            held = isinstance(verdict, Duplicate) and verdict.holder.task.name == name
            expect(held, f"the duplicate of {name!r} does not name its holder: {verdict}")


@guarantee(
    "names",
    "A held name is a duplicate also in a full queue.",
    promise="This applies also if the queue is full",
)
async def duplicate_in_a_full_queue(place: Place) -> None:
    async with place.open(queue_size=1) as store:
        await accept(store, Task("a"))
        answered = await submit(store, Task("a"), Task("b"))
        expect(answered == ["duplicate", "full"], f"a held name and a free one got {answered}")


@guarantee(
    "names",
    "A name becomes free exactly when the outcome can be read.",
    promise="So a name can be submitted again exactly when the outcome can be read.",
)
async def free_with_its_outcome(place: Place) -> None:
    async with place.open() as store:
        for _ in range(10):
            [record] = await accept(store, Task("a"))
            [running] = await start(store)
            answered = await submit(store, Task("a"))
            expect(answered == ["duplicate"], f"a submit of the name of a running task got {answered}")
            _, finished = await at_once([partial(end, store, running), partial(store.wait, record.id)])
            expect(finished.outcome is Outcome.SUCCEEDED, f"`wait` returned {finished}")


@guarantee(
    "names",
    "Of many concurrent submits of one name, exactly one is accepted.",
    promise="Other callers see all of its changes or none of them",
)
async def one_of_many_submits(place: Place) -> None:
    async with place.open() as store:
        answers = await at_once([partial(submit, store, Task("a"))] * 20)
        accepted = answers.count(["accepted"])
        expect(accepted == 1, f"{accepted} of 20 submits were accepted")
        expect(await listed_names(store) == ["a"], "the listing does not have exactly one task")


@guarantee(
    "names",
    "A submit that is cancelled, at any moment, leaves all of its tasks or none.",
    promise="a cancelled call leaves all of them or none of them",
)
async def cancelled_submit_is_whole(place: Place) -> None:
    async with place.open() as store:
        await accept(store, Task("z"))
        for step in count(1):
            cut_short = await cancelled_at_step(step, partial(submit, store, Task("a"), Task("b")))
            there = sorted(set(await listed_names(store, State.PENDING)) - {"z"})
            expect(there in ([], ["a", "b"]), f"a submit cancelled at its await number {step} left only {there}")
            await _clear(store)
            if not cut_short or step == STEPS_MAX:
                return


async def _clear(store: Store) -> None:
    for record in await listed(store, State.PENDING):
        if record.task.name != "z":
            await store.cancel(record.id)


@guarantee(
    "names",
    "Many attempts can be ended in one step, and the records are returned in order.",
    promise="``finish`` records how the attempts of many tasks ended, in one step.",
)
async def many_endings_in_one_step(place: Place) -> None:
    async with place.open() as store:
        await accept(store, *(Task(f"task-{number}") for number in range(20)))
        running = list(reversed(await start(store, 20)))
        answers = await store.finish([(one, DONE) for one in running])
        ids = [None if answer is None else answer.id for answer in answers]
        expect(ids == [one.id for one in running], "the returned records are in another order than the attempts")
        answered = await submit(store, *(one.task for one in running))
        expect(answered == ["accepted"] * 20, "some of the names are not free")
