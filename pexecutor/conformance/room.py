"""The bound on waiting tasks, and waiting for room."""

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

_BOUND = "``submit`` never accepts a task beyond ``queue_size``."
_PLACES = "A task takes a place in the queue while it is scheduled, following or pending."


@guarantee("room", "A submit accepts as many tasks as there is room for, in order.", promise=_BOUND)
async def never_more_than_the_bound(place: Place) -> None:
    async with place.open(queue_size=3) as store:
        answered = await submit(store, *(Task(f"task-{number}") for number in range(5)))
        expect(answered == ["accepted"] * 3 + ["full"] * 2, f"five tasks in a queue of three got {answered}")
        expect(await listed_names(store) == ["task-0", "task-1", "task-2"], "other tasks are listed than were accepted")
        waiting = store.statistics().pending
        expect(waiting == 3, f"the statistics count {waiting} waiting tasks instead of 3")


@guarantee("room", "Concurrent submits do not accept more than there is room for.", promise=_BOUND)
async def bound_holds_for_submits_side_by_side(place: Place) -> None:
    async with place.open(queue_size=5) as store:
        answers = await at_once([partial(submit, store, Task(f"task-{number}")) for number in range(20)])
        accepted = answers.count(["accepted"])
        expect(accepted == 5, f"a queue of 5 places accepted {accepted} of 20 tasks")


@guarantee("room", "Scheduled and following tasks take a place, running tasks do not.", promise=_PLACES)
async def who_takes_a_place(place: Place) -> None:
    async with place.open(queue_size=2) as store:
        await accept(store, Task("a"))
        await start(store)
        await accept(store, Task("later", delay=60_000), Task("a", on_conflict="latest"))
        answered = await submit(store, Task("b"))
        expect(
            answered == ["full"], f"with one scheduled task and one follower in a queue of two, a submit got {answered}"
        )


@guarantee("room", "A place is free again when its task starts or is cancelled.", promise=_PLACES)
async def places_are_given_back(place: Place) -> None:
    async with place.open(queue_size=2) as store:
        _, b = await accept(store, Task("a"), Task("b"))
        await start(store)
        await store.cancel(b.id)
        answered = await submit(store, Task("c"), Task("d"), Task("e"))
        expect(answered == ["accepted", "accepted", "full"], f"three tasks for two free places got {answered}")


@guarantee(
    "room",
    "An atomic submit accepts all of its tasks or none.",
    promise="With ``atomic``, either every task that needs a place gets one, or no task is accepted.",
)
async def atomic_is_all_or_nothing(place: Place) -> None:
    async with place.open(queue_size=3) as store:
        await accept(store, Task("a"))
        verdicts = await store.submit([Task("b"), Task("a"), Task("c"), Task("d")], atomic=True)
        answered = [verdict.verdict for verdict in verdicts]
        expect(
            answered == ["full", "duplicate", "full", "full"], f"with room for two of three, the tasks got {answered}"
        )
        expect(await listed_names(store) == ["a"], "some of the tasks were accepted")
        verdicts = await store.submit([Task("b"), Task("c")], atomic=True)
        expect([verdict.verdict for verdict in verdicts] == ["accepted"] * 2, f"tasks that fit got {verdicts}")


@guarantee(
    "room",
    "A task that returns to the queue is not refused, even if there is no room.",
    promise="A task that returns to the queue (by a retry or by ``release``) is not refused.",
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
        expect(waiting == ["a", "b", "c"], f"a, b and c should wait, but the listing is {waiting}")
        answered = await submit(store, Task("d"))
        expect(answered == ["full"], f"a new task got {answered}")


@guarantee(
    "room",
    "A wait for room returns when there is room, with the number of places.",
    promise="``wait_for_room(least, most)`` waits until ``least`` places are likely to be free",
)
async def waiting_for_room(place: Place) -> None:
    async with place.open(queue_size=2) as store:
        expect(await store.wait_for_room(1, 10) == 2, "an empty queue of 2 did not report 2 places")
        expect(await store.wait_for_room(1, 1) == 1, "more than `most` places were reported")
        expect(await store.wait_for_room(3, 9) == 0, "a queue of 2 did not report 0 for a request of 3")
        await accept(store, Task("a"), Task("b"))
        with trio.move_on_after(IDLE_SECONDS):
            expect(await store.wait_for_room(1, 1) == 0, "a full queue reported room")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_find_room, store)
            await start(store)


async def _find_room(store: Store) -> None:
    with within(WAIT_SECONDS_MAX, "a place became free, but a wait for room did not return"):
        expect(await store.wait_for_room(1, 5) == 1, "one place is free, but another number was returned")


@guarantee(
    "room",
    "Waits for room are served in the order of the calls.",
    promise="Callers are served in the order of their calls.",
)
async def room_in_turn(place: Place) -> None:
    async with place.open(queue_size=1) as store:
        await accept(store, Task("first"))
        async with trio.open_nursery() as nursery:
            for name in ("b", "a", "c"):
                nursery.start_soon(_submit_when_there_is_room, store, name)
                await trio.sleep(IDLE_SECONDS / 3)
            started = [record.task.name for _ in range(4) for record in await start(store)]
        expect(started == ["first", "b", "a", "c"], f"calls in the order b, a, c were served as {started[1:]}")
        expect(not await listed(store, State.PENDING), "another task is pending")


async def _submit_when_there_is_room(store: Store, name: str) -> None:
    with within(WAIT_SECONDS_MAX, f"{name!r} never found room"):
        while await store.wait_for_room(1, 1) == 0 or await submit(store, Task(name)) == ["full"]:
            pass
