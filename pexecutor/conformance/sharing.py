"""Guarantees across processes that share a store; each process is a node."""

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

_LEASE = "A lease is valid as long as the store hears from the node."
_LOST = (
    "A node that is not heard of in time loses its running tasks, and each of them is treated as its ``on_crash`` says."
)
_FENCED = (
    "A node that has lost a task cannot change it: ``finish`` returns ``None`` for the task, and ``release`` ignores "
    "it."
)
_TOKEN = "Each claim has a ``token``, higher than the token of any earlier claim of the same task."
_TOLD = "A node is also notified if a task that it runs was cancelled through another node, and if it has lost a task."


@asynccontextmanager
async def _two(place: Place, **settings: int) -> AsyncIterator[tuple[Store, Store]]:
    async with place.open(**settings) as one, place.open(**settings) as other:
        yield one, other


@guarantee(
    "sharing",
    "Of concurrent submits of one name on two nodes, exactly one is accepted.",
    Need.SHARED,
    promise="Other callers see all of its changes or none of them",
)
async def names_are_unique_over_nodes(place: Place) -> None:
    async with _two(place) as nodes:
        tasks = [Task(f"task-{number}") for number in range(20)]
        answers = await at_once([partial(submit, nodes[number % 2], *tasks) for number in range(4)])
        accepted = [sum(answer[at] == "accepted" for answer in answers) for at in range(20)]
        expect(accepted == [1] * 20, f"four submits of each of 20 names were accepted {accepted} times")


@guarantee(
    "sharing",
    "The bound of the queue applies to all nodes together.",
    Need.SHARED,
    promise="``submit`` never accepts a task beyond ``queue_size``.",
)
async def bound_holds_over_nodes(place: Place) -> None:
    async with _two(place, queue_size=5) as nodes:
        answers = await at_once([partial(submit, nodes[number % 2], Task(str(number))) for number in range(20)])
        accepted = answers.count(["accepted"])
        expect(accepted == 5, f"a queue of 5 places accepted {accepted} of 20 tasks")


@guarantee("sharing", "No task is claimed by two nodes.", Need.SHARED, promise="No task is claimed twice.")
async def no_task_is_claimed_on_two_nodes(place: Place) -> None:
    async with _two(place) as nodes:
        await accept(nodes[0], *(Task(str(number)) for number in range(60)))
        claims = await at_once([partial(start, nodes[number % 2], 10) for number in range(6)])
        names = [record.task.name for started in claims for record in started]
        expect(len(set(names)) == 60, f"60 tasks were claimed {len(names)} times, but only {len(set(names))} of them")


@guarantee(
    "sharing",
    "A task submitted on one node wakes a worker of another node.",
    Need.SHARED,
    promise="``claim(limit)`` waits until a task can start",
)
async def work_comes_from_anywhere(place: Place) -> None:
    async with _two(place) as (one, other), trio.open_nursery() as nursery:
        nursery.start_soon(start, other)
        await trio.sleep(0.1)
        await accept(one, Task("a"))


@guarantee(
    "sharing",
    "An outcome recorded on one node ends waits on other nodes, and can be read there.",
    Need.SHARED,
    promise="``wait`` returns a task once it has its outcome",
)
async def outcomes_are_told_everywhere(place: Place) -> None:
    async with _two(place) as (one, other):
        [record] = await accept(one, Task("a"))
        [running] = await start(one)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_see_end, other, record.id)
            await trio.sleep(0.1)
            finished = await end(one, running)
        expect(await other.get(record.id) == finished, "the other node reads another record")


async def _see_end(store: Store, task_id: str) -> None:
    with within(WAIT_SECONDS_MAX, "a wait on the other node did not end"):
        await store.wait(task_id)


@guarantee(
    "sharing",
    "Room made by one node ends waits for room on other nodes.",
    Need.SHARED,
    promise="waits until ``least`` places are likely to be free",
)
async def room_is_told_everywhere(place: Place) -> None:
    async with _two(place, queue_size=1) as (one, other):
        await accept(one, Task("a"))
        with trio.move_on_after(IDLE_SECONDS):
            await other.wait_for_room(1, 1)
            raise BrokenPromiseError("the other node reported room in a full queue")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_see_room, other)
            await trio.sleep(0.1)
            await start(one)


async def _see_room(store: Store) -> None:
    with within(WAIT_SECONDS_MAX, "a wait for room on the other node did not end"):
        expect(await store.wait_for_room(1, 1) == 1, "one place is free, but another number was returned")


@guarantee(
    "sharing", "A node is notified when a task that it runs is cancelled on another node.", Need.SHARED, promise=_TOLD
)
async def cancels_are_told(place: Place) -> None:
    async with _two(place) as (one, other):
        notified: list[int] = []
        one.watch(Watcher(cancel=notified.append))
        await accept(one, Task("a"), Task("b"))
        a, b = await start(one, 2)
        await other.cancel(a.id)
        await accept(other, Task("b", on_conflict="supersede"))
        await until(lambda: _holds(set(notified) == {a.serial, b.serial}), "the node was not notified of both cancels")


async def _holds(is_so: bool) -> bool:
    await trio.lowlevel.checkpoint()
    return is_so


@guarantee(
    "sharing",
    "A task that was cancelled while it ran is not run again when it is released.",
    Need.SHARED,
    promise="the task ends ``CANCELLED`` when its node releases or loses it",
)
async def cancelled_and_handed_back(place: Place) -> None:
    async with _two(place) as (one, other):
        [record] = await accept(one, Task("a"))
        running = await start(one)
        await other.cancel(record.id)
        await one.release(running)
        found = await other.get(record.id)
        expect(ended_as(found) is Outcome.CANCELLED, f"the released task is {found}")


@guarantee("sharing", "Each claim of a task has a higher token than the previous one.", Need.SHARED, promise=_TOKEN)
async def tokens_grow(place: Place) -> None:
    async with _two(place) as nodes:
        await accept(nodes[0], Task("a"))
        tokens = []
        for number in range(4):
            [running] = await start(nodes[number % 2])
            tokens.append(running.token)
            await nodes[number % 2].release([running])
        expect(tokens == sorted(set(tokens)), f"the tokens of its claims are {tokens}")


@guarantee(
    "sharing", "The tasks of a lost node run on other nodes, or are abandoned, as they say.", Need.SHARED, promise=_LOST
)
async def lost_nodes_are_reaped(place: Place) -> None:
    async with _two(place) as (one, other):
        again, once = await accept(one, Task("again"), Task("once", on_crash="fail"))
        await start(one, 2)
        await place.cut(one)
        [running] = await _start_in_time(other)
        expect(running.id == again.id, f"the other node started {running}")
        found = await other.get(once.id)
        expect(ended_as(found) is Outcome.ABANDONED, f"the task with `on_crash` fail is {found}")
        await end(other, running)


async def _start_in_time(store: Store) -> list[Running]:
    started: list[Running] = []
    with within(REAP_SECONDS_MAX, "the task of a lost node was not started on the other node"):
        started += await store.claim(1)
    return started


@guarantee(
    "sharing",
    "A node that has lost a task can neither record its outcome nor release it.",
    Need.SHARED,
    promise=_FENCED,
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
        expect(answers == [None], f"`finish` of the node that has lost the task returned {answers}")
        found = await other.get(running.id)
        expect(found == running, f"the task that runs on the other node is now {found}")
        finished = await end(other, running)
        expect(finished.outcome is Outcome.SUCCEEDED, f"the task ended as {finished}")


@guarantee(
    "sharing", "A node that loses its connection is notified that it has lost its tasks.", Need.SHARED, promise=_TOLD
)
async def losses_are_told(place: Place) -> None:
    async with _two(place) as (one, _):
        lost: list[int] = []
        one.watch(Watcher(lost=lost.append))
        await accept(one, Task("a"))
        [running] = await start(one)
        await place.cut(one)
        await until(lambda: _holds(lost == [running.serial]), "the node was not notified", seconds=REAP_SECONDS_MAX)


@guarantee("sharing", "A node that sends beats keeps its tasks, however long they run.", Need.SHARED, promise=_LEASE)
async def leases_are_kept(place: Place) -> None:
    async with _two(place) as (one, other):
        lost: list[int] = []
        one.watch(Watcher(lost=lost.append))
        await accept(one, Task("a"))
        [running] = await start(one)
        with trio.move_on_after(REAP_SECONDS_MAX / 2):
            started = await other.claim(1)
            expect(not started, f"tasks of a living node were started on another node: {started}")
        expect(not lost, "the node was notified that it has lost its task")
        await end(one, running)


@guarantee("sharing", "A node that leaves gives its tasks back at once.", Need.SHARED, promise=_LOST)
async def leaving_hands_back(place: Place) -> None:
    async with place.open() as other:
        async with place.open() as one:
            again, once = await accept(one, Task("again"), Task("once", on_crash="fail"))
            await start(one, 2)
        expect(
            [record.id for record in await listed(other, State.PENDING)] == [again.id],
            "the task is not pending at once",
        )
        found = await other.get(once.id)
        expect(ended_as(found) is Outcome.ABANDONED, f"the task with `on_crash` fail is {found}")


@guarantee(
    "sharing",
    "Nodes know each other, and the state that each reports.",
    Need.SHARED,
    promise="A store that several processes share calls these processes nodes.",
)
async def nodes_know_each_other(place: Place) -> None:
    async with place.open() as other:
        other.watch(Watcher(describe=lambda: NodeState(pool_size=2)))
        async with place.open() as one:
            one.watch(Watcher(describe=lambda: NodeState(pool_size=7, busy=3, draining=True)))

            async def are_known() -> bool:
                states = [node.state for node in await other.nodes()]
                return len(states) == 2 and NodeState(7, 3, True) in states and NodeState(2) in states

            await until(are_known, "the reported states of two nodes are not known")
        left = await other.nodes()
        expect(len(left) == 1, f"one of two nodes has left, and the nodes are {left}")


async def _finish_when_reachable(store: Store, stale: Running) -> list[Finished | Scheduled | None]:
    answers: list[Finished | Scheduled | None] = []

    async def is_answered() -> bool:
        try:
            answers[:] = await store.finish([(stale, DONE)])
        except StoreUnavailableError:
            return False
        return True

    await until(is_answered, "a node whose connection was restored cannot reach its queue")
    return answers
