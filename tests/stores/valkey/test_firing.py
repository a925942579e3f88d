"""Nodes that share a queue fire its schedules together: each occurrence once, whichever of them stop meanwhile."""

from __future__ import annotations

import secrets
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Final

import trio

from pexecutor import Finished, Outcome, PageRequest, Task
from pexecutor.stores.schedules import OCCURRENCES_MAX, Definition, Fired, NextTime, Schedule, Skipped
from pexecutor.stores.valkey import ValkeyStore

from .node import ANode, a_node, eventually
from .server import ValkeyServer
from .test_damaged_schedules import a_store

SCHEDULES: Final = 12
"""How many schedules are due at the same instants, so that the nodes compete for each of them."""

TURNS: Final = 4
"""How often each of them fires before the test looks; far fewer than a schedule remembers."""


async def put_schedules(node: ANode) -> datetime:
    """Put schedules that all fire each second; return their first time."""
    schedules = node.executor.clock.schedules
    first = datetime.fromtimestamp(round(await schedules.now()) + 1, UTC)
    for number in range(SCHEDULES):
        task = Task(f"task-{number}", params={"at": "{scheduled_for}"}, on_conflict="latest")
        definition = Definition(task, every=1000, start_at=first)
        upcoming = NextTime(first.timestamp(), first.timestamp())
        assert await schedules.put(Schedule(f"schedule-{number}", definition, next=upcoming))
    return first


async def have_fired(node: ANode, turns: int) -> bool:
    schedules = await node.executor.clock.schedules.page(SCHEDULES)
    return all(len(schedule.occurrences) >= turns for schedule in schedules)


async def each_fired_once(store: ValkeyStore, nodes: list[ANode], first: datetime) -> None:
    """Each occurrence has another time, was fired by one node, and has submitted one task with its time."""
    schedules = await store.schedules.page(SCHEDULES)
    fired, skipped = Counter[str](), 0
    for schedule in schedules:
        times = [one.at - first.timestamp() for one in reversed(schedule.occurrences)]
        assert len(times) < OCCURRENCES_MAX, "every occurrence is still remembered"
        assert times == sorted(set(times)), times
        assert times[0] == 0
        assert all(time.is_integer() for time in times)
        skipped += sum(one.count for one in schedule.occurrences if isinstance(one, Skipped))
        fired.update(one.task_id for one in schedule.occurrences if isinstance(one, Fired))
    assert fired.total() == sum(node.executor.clock.fired for node in nodes)
    assert skipped == sum(node.executor.clock.skipped.total() for node in nodes)
    await each_task_ran_once(store, schedules, set(fired))


async def each_task_ran_once(store: ValkeyStore, schedules: list[Schedule], fired: set[str]) -> None:
    records = (await store.page(PageRequest(limit=10_000))).records
    assert {record.id for record in records} == fired
    times = {one.at for schedule in schedules for one in schedule.occurrences}
    seen = Counter((record.task.name, record.task.params["at"]) for record in records)
    assert max(seen.values()) == 1
    assert {datetime.fromisoformat(at).timestamp() for _, at in seen} <= times
    outcomes = {record.outcome for record in records if isinstance(record, Finished)}
    assert outcomes == {Outcome.SUCCEEDED}


async def drain(node: ANode) -> None:
    """Let a node fire nothing more, and end what it runs."""
    node.executor.drain()
    with trio.fail_after(30):
        await node.executor.stopped.wait()


async def test_three_nodes_fire_each_occurrence_once(server: ValkeyServer) -> None:
    """One of them stops in the middle."""
    queue = f"test-{secrets.token_hex(4)}"
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(a_node(server.url, queue=queue, pool_size=8, patience_seconds=4.0))
            for _ in range(3)
        ]
        for node in nodes:
            node.gate.open()
        first = await put_schedules(nodes[0])
        await eventually(lambda: have_fired(nodes[2], 1))
        await drain(nodes[0])
        await eventually(lambda: have_fired(nodes[2], TURNS))
        for node in nodes[1:]:
            await drain(node)
        async with a_store(server, queue) as store:
            await each_fired_once(store, nodes, first)
