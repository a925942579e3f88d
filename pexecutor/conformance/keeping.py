"""Durability: every acknowledged change survives the process."""

from __future__ import annotations

import msgspec

from ..task import Ending, Outcome, Pending, Record, Task, wait_again
from .asking import accept, end, end_for_now, ended_as, listed, nothing_runs, start, submit
from .guarantee import Need, Place, expect, guarantee

_FINDS = "A durable store restores its tasks there"
_WAITED = "waiting tasks wait at their old place"
_RAN = "tasks that were running are treated as their ``on_crash`` says"


@guarantee(
    "keeping",
    "Accepted tasks survive the process, at their place and with their names held.",
    Need.DURABLE,
    promise=_WAITED,
)
async def what_waits_waits_again(place: Place) -> None:
    async with place.open(queue_size=5) as store:
        await accept(store, Task("low", priority=-1), Task("later", delay=90_000), Task("a"), Task("b"), Task("c"))
        b = (await listed(store, name="b"))[0]
        await store.cancel(b.id)
        c = (await listed(store, name="c"))[0]
        await store.change_waiting(c.id, priority=9)
        before = await listed(store)
        await place.cut(store)
    async with place.open(queue_size=5) as store:
        after = await listed(store)
        expect(after == before, f"the records were {before} and are {after} in the next process")
        answered = await submit(store, Task("later"), Task("d"), Task("e"))
        expect(answered == ["duplicate", "accepted", "full"], f"a held name and two names for one place got {answered}")
        started = [record.task.name for record in await start(store, 4)]
        expect(started == ["c", "a", "d", "low"], f"the tasks were started as {started}")


@guarantee(
    "keeping",
    "A recorded outcome can be read in the next process, and its name is free.",
    Need.DURABLE,
    promise=_FINDS,
)
async def outcomes_are_kept(place: Place) -> None:
    async with place.open() as store:
        await accept(store, Task("a", retries=1, retry_delay=0), Task("b"))
        a, b = await start(store, 2)
        await end_for_now(store, a)
        await end(store, b, Ending(Outcome.FAILED, "so", False, 0.0, b'{"exit_code":1}', b'{"stdout":"x"}'))
        [a] = await start(store)
        await end(store, a, Ending(Outcome.SUCCEEDED, result=b"[1]"))
        before = await listed(store)
        await place.cut(store)
    async with place.open() as store:
        after = await listed(store)
        expect(after == before, f"the records were {before} and are {after} in the next process")
        answered = await submit(store, Task("a"), Task("b"))
        expect(answered == ["accepted"] * 2, f"submits of their names got {answered}")


@guarantee(
    "keeping",
    "A task that ran when its process died runs again, at its old place and without a counted attempt.",
    Need.DURABLE,
    promise=_RAN,
)
async def what_ran_runs_again(place: Place) -> None:
    async with place.open() as store:
        await accept(store, Task("a"), Task("b"))
        [before] = await start(store)
        await place.cut(store)
    async with place.open() as store:
        await nothing_runs(store)
        after = await store.get(before.id)
        expect(_but_for_crashes(after) == wait_again(before), f"the task was {before} and is {after}")
        started = [record.task.name for record in await start(store, 2)]
        expect(started == ["a", "b"], f"the tasks were started as {started}")


@guarantee(
    "keeping",
    "A task with `on_crash` fail that ran when its process died is abandoned.",
    Need.DURABLE,
    promise=_RAN,
)
async def what_ran_is_abandoned(place: Place) -> None:
    async with place.open() as store:
        once, waits = await accept(store, Task("once", on_crash="fail"), Task("waits", on_crash="fail"))
        await start(store)
        await place.cut(store)
    async with place.open() as store:
        await nothing_runs(store)
        record = await store.get(once.id)
        expect(ended_as(record) is Outcome.ABANDONED, f"the task is {record}")
        expect(len(record.attempts) == 1, "its attempt is not recorded")
        expect(isinstance(await store.get(waits.id), Pending), "a task that had not started was abandoned too")
        answered = await submit(store, Task("once"))
        expect(answered == ["accepted"], f"a submit of its name got {answered}")


@guarantee(
    "keeping",
    "A follower follows in the next process, or gets its turn if the task that it follows does not return.",
    Need.DURABLE,
    promise=_RAN,
)
async def followers_follow_again(place: Place) -> None:
    async with place.open() as store:
        await accept(store, Task("again"), Task("once", on_crash="fail"), Task("old"))
        await start(store, 3)
        for name, on_conflict in (("again", "latest"), ("once", "latest"), ("old", "supersede")):
            await accept(store, Task(name, duration=1, on_conflict=on_conflict))  # type: ignore[arg-type]
        await place.cut(store)
    async with place.open() as store:
        await nothing_runs(store)
        found = sorted(map(_shown, await listed(store)))
        wanted = [
            ("again", 0, "pending"),
            ("again", 1, "scheduled"),
            ("old", 0, "cancelled"),
            ("old", 1, "pending"),
            ("once", 0, "abandoned"),
            ("once", 1, "pending"),
        ]
        expect(found == wanted, f"the records are {found}")


def _shown(record: Record) -> tuple[str, int, str]:
    return record.task.name, record.task.duration, ended_as(record) or record.state


@guarantee(
    "keeping",
    "After a proper stop every task is kept, and none is running.",
    Need.DURABLE,
    promise="Leaving ``opened`` makes every change durable",
)
async def left_properly(place: Place) -> None:
    async with place.open() as store:
        await accept(store, Task("a"), Task("b"))
        running = await start(store, 2)
        await store.release(running)
    async with place.open() as store:
        found = [(record.task.name, record.state.value) for record in await listed(store)]
        expect(found == [("a", "pending"), ("b", "pending")], f"the records are {found}")


@guarantee("keeping", "No id is given to two tasks, also across processes.", Need.DURABLE, promise=_FINDS)
async def ids_are_not_given_twice(place: Place) -> None:
    ids: list[str] = []
    for _ in range(3):
        async with place.open(history_records_max=1) as store:
            for name in ("a", "b"):
                [record] = await accept(store, Task(name))
                await store.cancel(record.id)
                ids.append(record.id)
            await place.cut(store)
    expect(len(set(ids)) == len(ids), f"the ids in three processes were {ids}")
    expect(
        len({task_id.partition("-")[0] for task_id in ids}) == 1, f"the processes have ids of different stores: {ids}"
    )


def _but_for_crashes(record: Record) -> Record:
    return msgspec.structs.replace(record, rare=None)
