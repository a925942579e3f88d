"""The hard bound on tasks that wait, and waiting for room under it."""

from __future__ import annotations

from functools import partial

import trio

from ..stores import Store
from ..task import State, Task
from .asking import (
    IDLE_SECONDS,
    WAIT_SECONDS_MAX,
    accept,
    at_once,
    end_for_now,
    listed,
    listed_names,
    start,
    submit,
    within,
)
from .guarantee import Place, expect, guarantee

_BOUND = "A submit never takes more than ``queue_size``."
_PLACES = "A task takes a place in the queue while it is scheduled, following or pending."


@guarantee("room", "A submit takes what there is room for, in its order, and no more.", promise=_BOUND)
async def never_more_than_the_bound(place: Place) -> None:
    async with place.open(queue_size=3) as store:
        answered = await submit(store, *(Task(f"task-{number}") for number in range(5)))
        expect(answered == ["accepted"] * 3 + ["full"] * 2, f"five tasks in a queue of three were answered {answered}")
        expect(await listed_names(store) == ["task-0", "task-1", "task-2"], "others are there than were accepted")
        waiting = store.statistics().pending
        expect(waiting == 3, f"the statistics say that {waiting} wait")


@guarantee("room", "Submits side by side do not take more than there is room for.", promise=_BOUND)
async def bound_holds_for_submits_side_by_side(place: Place) -> None:
    async with place.open(queue_size=5) as store:
        answers = await at_once([partial(submit, store, Task(f"task-{number}")) for number in range(20)])
        accepted = answers.count(["accepted"])
        expect(accepted == 5, f"{accepted} of 20 were accepted into a queue of five")


@guarantee("room", "What is scheduled or follows another task takes a place, what runs takes none.", promise=_PLACES)
async def who_takes_a_place(place: Place) -> None:
    async with place.open(queue_size=2) as store:
        await accept(store, Task("a"))
        await start(store)
        await accept(store, Task("later", delay=60_000), Task("a", on_conflict="latest"))
        answered = await submit(store, Task("b"))
        expect(answered == ["full"], f"with one scheduled and one following in a queue of two, it was {answered}")


@guarantee("room", "A place is free again when its task starts or is cancelled.", promise=_PLACES)
async def places_are_given_back(place: Place) -> None:
    async with place.open(queue_size=2) as store:
        _, b = await accept(store, Task("a"), Task("b"))
        await start(store)
        await store.cancel(b.id)
        answered = await submit(store, Task("c"), Task("d"), Task("e"))
        expect(answered == ["accepted", "accepted", "full"], f"two places were free, three tasks were {answered}")


@guarantee("room", "An atomic submit takes all of its tasks or none.", promise="With ``atomic`` either every task")
async def atomic_is_all_or_nothing(place: Place) -> None:
    async with place.open(queue_size=3) as store:
        await accept(store, Task("a"))
        verdicts = await store.submit([Task("b"), Task("a"), Task("c"), Task("d")], atomic=True)
        answered = [verdict.verdict for verdict in verdicts]
        expect(answered == ["full", "duplicate", "full", "full"], f"with room for two of three it was {answered}")
        expect(await listed_names(store) == ["a"], "something of it was taken")
        verdicts = await store.submit([Task("b"), Task("c")], atomic=True)
        expect([verdict.verdict for verdict in verdicts] == ["accepted"] * 2, f"what fits was answered {verdicts}")


@guarantee(
    "room",
    "A task that comes back is not refused, also where there is no room.",
    promise="A task that comes back (a retry, ``release``) was admitted before and is not refused",
)
async def what_comes_back_is_not_refused(place: Place) -> None:
    async with place.open(queue_size=1) as store:
        await accept(store, Task("a", retries=1, retry_delay=60_000))
        [a] = await start(store)
        await accept(store, Task("b"))
        [b] = await start(store)
        await accept(store, Task("c"))
        await end_for_now(store, a)
        await store.release([b])
        waiting = sorted(await listed_names(store))
        expect(waiting == ["a", "b", "c"], f"those that should wait are a, b and c, and {waiting} do")
        answered = await submit(store, Task("d"))
        expect(answered == ["full"], f"a new one was {answered}")


@guarantee(
    "room",
    "Who waits for room is told when there is some, and how much.",
    promise="``wait_for_room(least, most)`` waits until ``least`` places are likely free",
)
async def waiting_for_room(place: Place) -> None:
    async with place.open(queue_size=2) as store:
        expect(await store.wait_for_room(1, 10) == 2, "an empty queue of two has two places")
        expect(await store.wait_for_room(1, 1) == 1, "no more than `most` are wanted")
        expect(await store.wait_for_room(3, 9) == 0, "a queue of two never has three")
        await accept(store, Task("a"), Task("b"))
        with trio.move_on_after(IDLE_SECONDS):
            expect(await store.wait_for_room(1, 1) == 0, "a full queue was said to have room")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_find_room, store)
            await start(store)


async def _find_room(store: Store) -> None:
    with within(WAIT_SECONDS_MAX, "a place got free and who waited for it was not told"):
        expect(await store.wait_for_room(1, 5) == 1, "one place got free")


@guarantee(
    "room",
    "Those who wait for room are served in the order they came.",
    promise="Those who wait are served in the order they came.",
)
async def room_in_turn(place: Place) -> None:
    async with place.open(queue_size=1) as store:
        await accept(store, Task("first"))
        async with trio.open_nursery() as nursery:
            for name in ("b", "a", "c"):
                nursery.start_soon(_submit_when_there_is_room, store, name)
                await trio.sleep(IDLE_SECONDS / 3)
            started = [record.task.name for _ in range(4) for record in await start(store)]
        expect(started == ["first", "b", "a", "c"], f"they came as b, a, c and were served as {started[1:]}")
        expect(not await listed(store, State.PENDING), "something else waits")


async def _submit_when_there_is_room(store: Store, name: str) -> None:
    with within(WAIT_SECONDS_MAX, f"{name!r} never found room"):
        while await store.wait_for_room(1, 1) == 0 or await submit(store, Task(name)) == ["full"]:
            pass
