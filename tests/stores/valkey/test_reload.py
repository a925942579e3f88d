"""One node of a shared queue changes its settings; the other one does not."""

from __future__ import annotations

from typing import Any

import msgspec
import trio
from trio.testing import MockClock

from pexecutor import Accepted, Executor, ScheduleDeclaration, Task
from pexecutor.handlers import Catalogue
from pexecutor.handlers.limits import DeclaredLimits
from pexecutor.handlers.settings import HandlerSettings
from pexecutor.schedules.tables import DeclaredSchedules
from pexecutor.stores.limits import NoSuchHandler
from pexecutor.stores.valkey import ValkeyStore

from ...conftest import virtual_now
from ...fakes import Gate
from .fake import FakeValkey
from .links import SureLink

DECLARED = DeclaredSchedules({"s": ScheduleDeclaration(Task("t"), every=3_600_000)}, shared=True)


def handlers(gate: Gate, *names: str, concurrency: int | None = None) -> Catalogue:
    settings = {} if concurrency is None else {names[0]: HandlerSettings(concurrency=concurrency)}
    return Catalogue(dict.fromkeys(names, gate), (), settings, DeclaredLimits({}, settings))


async def nodes(nursery: trio.Nursery, catalogue: Catalogue, **settings: Any) -> list[Executor]:
    server = FakeValkey(virtual_now)
    started = [
        Executor(ValkeyStore(SureLink(server), node=name), handlers=catalogue, **settings) for name in ("one", "two")
    ]
    for node in started:
        await nursery.start(node.run)
    return started


async def change(node: Executor, **changes: Any) -> None:
    await node.apply_settings(msgspec.structs.replace(node.settings, **changes))


async def test_the_other_node_runs_what_a_node_no_longer_knows(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    gate = Gate()
    one, _ = await nodes(nursery, handlers(gate, "work", "sleep"), pool_size=1)
    await one.submit([Task(f"busy-{number}", handler="work") for number in range(3)])
    await trio.sleep(2)
    await change(one, handlers=handlers(gate, "sleep"))
    gate.open()
    await trio.sleep(2)
    assert sorted(gate.ended) == ["busy-0", "busy-1", "busy-2"]
    nursery.cancel_scope.cancel()


async def test_a_task_that_no_node_knows_waits(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    gate = Gate()
    one, two = await nodes(nursery, handlers(gate, "work", "sleep"), pool_size=1)
    await one.submit([Task(name) for name in ("a", "b")])
    await trio.sleep(2)
    [verdict] = await one.submit([Task("waits", handler="work")])
    assert isinstance(verdict, Accepted)
    for node in (one, two):
        await change(node, handlers=handlers(gate, "sleep"))
    await trio.sleep(2)
    gate.open()
    await trio.sleep(2)

    assert NoSuchHandler("work") in await two.limits.why(verdict.record.id)
    await change(two, handlers=handlers(gate, "sleep", "work"))
    await trio.sleep(2)
    assert gate.ended[-1] == "waits"
    nursery.cancel_scope.cancel()


async def test_the_latest_change_decides_the_numbers_of_all_nodes(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    gate = Gate()
    one, two = await nodes(nursery, handlers(gate, "sleep", concurrency=1), pool_size=3)
    await one.submit([Task(f"task-{number}") for number in range(9)])
    await trio.sleep(2)
    assert len(gate.at_work) == 1
    await change(two, handlers=handlers(gate, "sleep", concurrency=5), pool_size=4)
    await trio.sleep(2)

    assert len(gate.at_work) == 5
    assert one.limits.now().numbers.handlers == {"sleep": 5}
    assert {node.name: node.state.pool_size for node in await one.nodes()} == {"one": 3, "two": 4}
    nursery.cancel_scope.cancel()


async def test_schedules_are_those_of_both_nodes(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    one, two = await nodes(nursery, handlers(Gate(), "sleep"), declared=DECLARED)
    before = await one.schedules.get("s")
    other = DeclaredSchedules({"other": ScheduleDeclaration(Task("t2"), every=60_000)}, shared=True)
    await change(one, declared=DECLARED)
    await change(two, declared=other)

    assert await one.schedules.get("s") == before
    assert [schedule.name for schedule in await one.schedules.page(9)] == ["other", "s"]
    nursery.cancel_scope.cancel()


async def test_a_smaller_pool_claims_no_more_than_it_can_run(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    gate = Gate()
    [one, two] = await nodes(nursery, handlers(gate, "sleep"), pool_size=5)
    two.drain()
    await two.stopped.wait()
    await trio.sleep(2)
    await change(one, pool_size=2)
    await one.submit([Task(f"task-{number}") for number in range(9)])
    await trio.sleep(2)
    assert len(gate.at_work) == 2
    gate.open()
    await trio.sleep(5)
    assert (gate.most_at_work, len(gate.ended)) == (2, 9)
    nursery.cancel_scope.cancel()
