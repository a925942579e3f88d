"""A name is held by one task in flight, from its acceptance to its outcome."""

from __future__ import annotations

from functools import partial
from itertools import count

from ..stores import Store
from ..task import Duplicate, Outcome, State, Task
from .asking import DONE, accept, at_once, end, end_for_now, listed, listed_names, start, submit
from .guarantee import Place, expect, guarantee
from .steps import cancelled_at_step

_STEPS_MAX = 60


@guarantee(
    "names",
    "Of two equal names in one list, the first one wins.",
    promise="A name that is held makes a ``Duplicate``, also in a full queue, also by an earlier task of the same list",
)
async def first_of_two_equal_names(place: Place) -> None:
    async with place.open() as store:
        verdicts = await store.submit([Task("a", duration=1), Task("b"), Task("a", duration=2)])
        expect([v.verdict for v in verdicts] == ["accepted", "accepted", "duplicate"], f"they were answered {verdicts}")
        [record] = await listed(store, name="a")
        expect(record.task.duration == 1, "it is the second one that was taken")
        last = verdicts[-1]
        expect(isinstance(last, Duplicate) and last.holder.id == record.id, f"{last} does not name the first one")


@guarantee(
    "names",
    "A name is held while its task is scheduled, pending, running, or waits for a retry.",
    promise="a while in which it is ``Scheduled`` and holds its name",
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
            expect(isinstance(verdict, Duplicate), f"the name of a {name} task was given out again: {verdict}")
            held = isinstance(verdict, Duplicate) and verdict.holder.task.name == name
            expect(held, f"the duplicate of {name!r} does not name its holder: {verdict}")


@guarantee(
    "names",
    "A duplicate is a duplicate in a full queue, too.",
    promise="A name that is held makes a ``Duplicate``, also in a full queue",
)
async def duplicate_in_a_full_queue(place: Place) -> None:
    async with place.open(queue_size=1) as store:
        await accept(store, Task("a"))
        answered = await submit(store, Task("a"), Task("b"))
        expect(answered == ["duplicate", "full"], f"a held name and a new one were answered {answered}")


@guarantee(
    "names",
    "A name is free when its outcome can be read, and not before.",
    promise="Whoever can read the outcome can submit the name again, and nobody can before.",
)
async def free_with_its_outcome(place: Place) -> None:
    async with place.open() as store:
        for _ in range(10):
            [record] = await accept(store, Task("a"))
            [running] = await start(store)
            answered = await submit(store, Task("a"))
            expect(answered == ["duplicate"], f"while it ran, its name was answered {answered}")
            _, finished = await at_once([partial(end, store, running), partial(store.wait, record.id)])
            expect(finished.outcome is Outcome.SUCCEEDED, f"it was waited for and is {finished}")


@guarantee(
    "names",
    "Of many submits of one name at the same time, exactly one is accepted.",
    promise="nobody sees a part of it",
)
async def one_of_many_submits(place: Place) -> None:
    async with place.open() as store:
        answers = await at_once([partial(submit, store, Task("a"))] * 20)
        accepted = answers.count(["accepted"])
        expect(accepted == 1, f"{accepted} of 20 were accepted")
        expect(await listed_names(store) == ["a"], "there is not exactly one task")


@guarantee(
    "names",
    "A submit that is cancelled, at whatever moment, leaves all of its tasks or none.",
    promise="cancelling it leaves the whole or nothing",
)
async def cancelled_submit_is_whole(place: Place) -> None:
    async with place.open() as store:
        await accept(store, Task("z"))
        for step in count(1):
            cut_short = await cancelled_at_step(step, partial(submit, store, Task("a"), Task("b")))
            there = sorted(set(await listed_names(store, State.PENDING)) - {"z"})
            expect(there in ([], ["a", "b"]), f"cancelled at its await number {step}, it has left only {there}")
            await _clear(store)
            if not cut_short or step == _STEPS_MAX:
                return


async def _clear(store: Store) -> None:
    for record in await listed(store, State.PENDING):
        if record.task.name != "z":
            await store.cancel(record.id)


@guarantee(
    "names",
    "Many attempts can be ended in one step, and are answered in their order.",
    promise="``finish`` is told how attempts ended, of many tasks in one step.",
)
async def many_endings_in_one_step(place: Place) -> None:
    async with place.open() as store:
        await accept(store, *(Task(f"task-{number}") for number in range(20)))
        running = list(reversed(await start(store, 20)))
        answers = await store.finish([(one, DONE) for one in running])
        ids = [None if answer is None else answer.id for answer in answers]
        expect(ids == [one.id for one in running], "the answers are not in the order of what was asked")
        answered = await submit(store, *(one.task for one in running))
        expect(answered == ["accepted"] * 20, "not all of their names are free")
