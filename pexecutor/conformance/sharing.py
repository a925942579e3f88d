"""What holds over all processes that share a store, each of them a node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio

from ..errors import StoreUnavailableError
from ..stores import NodeState, Store, Watcher
from ..task import Finished, Outcome, Running, Scheduled, State, Task
from .asking import (
    DONE,
    IDLE_SECONDS,
    REAP_SECONDS_MAX,
    WAIT_SECONDS_MAX,
    accept,
    at_once,
    end,
    ended_as,
    listed,
    start,
    submit,
    until,
    within,
)
from .guarantee import BrokenPromiseError, Need, Place, expect, guarantee

_LEASE = "a claim in it is a lease: it holds as long as the node is heard of"
_LOST = "One that is not loses what it runs, and each of these tasks gets what its ``on_crash`` says"
_FENCED = (
    "What a task has become since, a node that has lost it cannot change: ``finish`` answers ``None`` for it, and "
    "``release`` does nothing."
)
_TOKEN = "Each claim has a ``token``, higher than that of any claim of the task before."
_TOLD = "A node is told, too, of a task it runs that was cancelled on another, and of one that it has lost."


@asynccontextmanager
async def _two(place: Place, **settings: int) -> AsyncIterator[tuple[Store, Store]]:
    async with place.open(**settings) as one, place.open(**settings) as other:
        yield one, other


@guarantee(
    "sharing", "Of submits of one name on two nodes, one is accepted.", Need.SHARED, promise="nobody sees a part of it"
)
async def names_are_unique_over_nodes(place: Place) -> None:
    async with _two(place) as nodes:
        tasks = [Task(f"task-{number}") for number in range(20)]
        answers = await at_once([partial(submit, nodes[number % 2], *tasks) for number in range(4)])
        accepted = [sum(answer[at] == "accepted" for answer in answers) for at in range(20)]
        expect(accepted == [1] * 20, f"of four submits of each of 20 names, accepted were {accepted}")


@guarantee(
    "sharing", "The bound holds over all nodes.", Need.SHARED, promise="A submit never takes more than ``queue_size``."
)
async def bound_holds_over_nodes(place: Place) -> None:
    async with _two(place, queue_size=5) as nodes:
        answers = await at_once([partial(submit, nodes[number % 2], Task(str(number))) for number in range(20)])
        accepted = answers.count(["accepted"])
        expect(accepted == 5, f"{accepted} of 20 were accepted into a queue of five")


@guarantee("sharing", "No task is given to two nodes.", Need.SHARED, promise="No task is claimed twice.")
async def no_task_is_claimed_on_two_nodes(place: Place) -> None:
    async with _two(place) as nodes:
        await accept(nodes[0], *(Task(str(number)) for number in range(60)))
        claims = await at_once([partial(start, nodes[number % 2], 10) for number in range(6)])
        names = [record.task.name for started in claims for record in started]
        expect(len(set(names)) == 60, f"of 60 tasks {len(names)} claims were made, of {len(set(names))} tasks")


@guarantee(
    "sharing",
    "What is submitted on one node wakes a worker of another.",
    Need.SHARED,
    promise="``claim(limit)`` waits for work",
)
async def work_comes_from_anywhere(place: Place) -> None:
    async with _two(place) as (one, other), trio.open_nursery() as nursery:
        nursery.start_soon(start, other)
        await trio.sleep(0.1)
        await accept(one, Task("a"))


@guarantee(
    "sharing",
    "An outcome on one node is told to who waits on another, and can be read there.",
    Need.SHARED,
    promise="``wait`` returns the task once it has its outcome",
)
async def outcomes_are_told_everywhere(place: Place) -> None:
    async with _two(place) as (one, other):
        [record] = await accept(one, Task("a"))
        [running] = await start(one)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_see_end, other, record.id)
            await trio.sleep(0.1)
            finished = await end(one, running)
        expect(await other.get(record.id) == finished, "it reads as another record there")


async def _see_end(store: Store, task_id: str) -> None:
    with within(WAIT_SECONDS_MAX, "who waited on the other node was not told"):
        await store.wait(task_id)


@guarantee(
    "sharing",
    "Room that one node makes is told to who waits on another.",
    Need.SHARED,
    promise="waits until ``least`` places are likely free",
)
async def room_is_told_everywhere(place: Place) -> None:
    async with _two(place, queue_size=1) as (one, other):
        await accept(one, Task("a"))
        with trio.move_on_after(IDLE_SECONDS):
            await other.wait_for_room(1, 1)
            raise BrokenPromiseError("a queue that is full was said to have room on the other node")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_see_room, other)
            await trio.sleep(0.1)
            await start(one)


async def _see_room(store: Store) -> None:
    with within(WAIT_SECONDS_MAX, "who waited for room on the other node was not told"):
        expect(await store.wait_for_room(1, 1) == 1, "one place got free")


@guarantee("sharing", "A node is told when a task that it runs is cancelled on another.", Need.SHARED, promise=_TOLD)
async def cancels_are_told(place: Place) -> None:
    async with _two(place) as (one, other):
        told: list[int] = []
        one.watch(Watcher(cancel=told.append))
        await accept(one, Task("a"), Task("b"))
        a, b = await start(one, 2)
        await other.cancel(a.id)
        await accept(other, Task("b", on_conflict="supersede"))
        await until(lambda: _holds(set(told) == {a.serial, b.serial}), "it was not told of both")


async def _holds(is_so: bool) -> bool:
    await trio.lowlevel.checkpoint()
    return is_so


@guarantee(
    "sharing",
    "A task that was cancelled while it ran does not run again when it is handed back.",
    Need.SHARED,
    promise="it is ``CANCELLED`` when its node releases or loses it",
)
async def cancelled_and_handed_back(place: Place) -> None:
    async with _two(place) as (one, other):
        [record] = await accept(one, Task("a"))
        running = await start(one)
        await other.cancel(record.id)
        await one.release(running)
        found = await other.get(record.id)
        expect(ended_as(found) is Outcome.CANCELLED, f"it is {found}")


@guarantee("sharing", "Each claim of a task has a higher token than the one before.", Need.SHARED, promise=_TOKEN)
async def tokens_grow(place: Place) -> None:
    async with _two(place) as nodes:
        await accept(nodes[0], Task("a"))
        tokens = []
        for number in range(4):
            [running] = await start(nodes[number % 2])
            tokens.append(running.token)
            await nodes[number % 2].release([running])
        expect(tokens == sorted(set(tokens)), f"the tokens of its claims are {tokens}")


@guarantee("sharing", "What a lost node ran is given to others, or abandoned, as it says.", Need.SHARED, promise=_LOST)
async def lost_nodes_are_reaped(place: Place) -> None:
    async with _two(place) as (one, other):
        again, once = await accept(one, Task("again"), Task("once", on_crash="fail"))
        await start(one, 2)
        await place.cut(one)
        [running] = await _start_in_time(other)
        expect(running.id == again.id, f"what came back is {running}")
        found = await other.get(once.id)
        expect(ended_as(found) is Outcome.ABANDONED, f"what was not to run twice is {found}")
        await end(other, running)


async def _start_in_time(store: Store) -> list[Running]:
    started: list[Running] = []
    with within(REAP_SECONDS_MAX, "what a lost node ran is given to nobody"):
        started += await store.claim(1)
    return started


@guarantee(
    "sharing", "A node that has lost a task cannot record its outcome, nor give it back.", Need.SHARED, promise=_FENCED
)
async def lost_nodes_are_fenced(place: Place) -> None:
    async with _two(place) as (one, other):
        await accept(one, Task("a"))
        [stale] = await start(one)
        await place.cut(one)
        [running] = await _start_in_time(other)
        await place.mend(one)
        await one.release([stale])
        answers = await _finish_when_reachable(one, stale)
        expect(answers == [None], f"its outcome was taken: {answers}")
        found = await other.get(running.id)
        expect(found == running, f"what runs on the other node is now {found}")
        finished = await end(other, running)
        expect(finished.outcome is Outcome.SUCCEEDED, f"it has ended as {finished}")


@guarantee("sharing", "A node that cannot be heard of is told that it has lost its tasks.", Need.SHARED, promise=_TOLD)
async def losses_are_told(place: Place) -> None:
    async with _two(place) as (one, _):
        lost: list[int] = []
        one.watch(Watcher(lost=lost.append))
        await accept(one, Task("a"))
        [running] = await start(one)
        await place.cut(one)
        await until(lambda: _holds(lost == [running.serial]), "it was not told", seconds=REAP_SECONDS_MAX)


@guarantee(
    "sharing", "A node that is heard of keeps what it runs for as long as it takes.", Need.SHARED, promise=_LEASE
)
async def leases_are_kept(place: Place) -> None:
    async with _two(place) as (one, other):
        lost: list[int] = []
        one.watch(Watcher(lost=lost.append))
        await accept(one, Task("a"))
        [running] = await start(one)
        with trio.move_on_after(REAP_SECONDS_MAX / 2):
            started = await other.claim(1)
            expect(not started, f"what one node runs was given to another: {started}")
        expect(not lost, "it was told that it has lost what it runs")
        await end(one, running)


@guarantee("sharing", "A node that leaves hands back what it has, at once.", Need.SHARED, promise=_LOST)
async def leaving_hands_back(place: Place) -> None:
    async with place.open() as other:
        async with place.open() as one:
            again, once = await accept(one, Task("again"), Task("once", on_crash="fail"))
            await start(one, 2)
        expect([record.id for record in await listed(other, State.PENDING)] == [again.id], "it is not there at once")
        found = await other.get(once.id)
        expect(ended_as(found) is Outcome.ABANDONED, f"what was not to run twice is {found}")


@guarantee(
    "sharing",
    "Nodes know of each other, and of what each says of itself.",
    Need.SHARED,
    promise="A store that several processes share knows them as nodes",
)
async def nodes_know_each_other(place: Place) -> None:
    async with place.open() as other:
        other.watch(Watcher(describe=lambda: NodeState(pool_size=2)))
        async with place.open() as one:
            one.watch(Watcher(describe=lambda: NodeState(pool_size=7, busy=3, draining=True)))

            async def are_known() -> bool:
                states = [node.state for node in await other.nodes()]
                return len(states) == 2 and NodeState(7, 3, True) in states and NodeState(2) in states

            await until(are_known, "what two nodes say of themselves is not known")
        left = await other.nodes()
        expect(len(left) == 1, f"one has left, and there are {left}")


async def _finish_when_reachable(store: Store, stale: Running) -> list[Finished | Scheduled | None]:
    answers: list[Finished | Scheduled | None] = []

    async def is_answered() -> bool:
        try:
            answers[:] = await store.finish([(stale, DONE)])
        except StoreUnavailableError:
            return False
        return True

    await until(is_answered, "a node that was mended cannot reach its queue")
    return answers
