"""Tests of the stop: its steps have a fixed order and a time limit, and no task is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pexecutor import (
    Accepted,
    Ending,
    Executor,
    Finished,
    LocalStore,
    Outcome,
    PageRequest,
    Running,
    Scheduled,
    State,
    Task,
    Verdict,
)
from pexecutor.handlers import Catalogue, Context

from ..conftest import RunHere, virtual_now
from ..fakes import CleansUpBadly, Doing, Gate, fail_at_cleaning_up


class DiaryStore(LocalStore):
    """A store that records its calls."""

    def __init__(self) -> None:
        super().__init__(now=virtual_now)
        self.diary: list[str] = []

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        async with super().opened():
            yield
        self.diary.append("closed")

    def claim_nowait(self, limit: int) -> list[Running]:
        claimed = super().claim_nowait(limit)
        self.diary.extend(f"start {running.task.name}" for running in claimed)
        return claimed

    async def finish(self, ended: Sequence[tuple[Running, Ending]]) -> list[Finished | Scheduled | None]:
        self.diary.extend(f"finish {running.task.name}" for running, _ in ended)
        return await super().finish(ended)

    def finish_nowait(self, ended: Sequence[tuple[Running, Ending]]) -> None:
        return None

    async def release(self, tasks: Sequence[Running]) -> None:
        self.diary.extend(f"release {task.task.name}" for task in tasks)
        await super().release(tasks)


async def submitted(executor: Executor, *tasks: Task) -> list[str]:
    return [verdict.verdict for verdict in await executor.submit(tasks)]


async def test_the_order_of_a_stop(autojump_clock: MockClock, run_here: RunHere, nursery: trio.Nursery) -> None:
    store = DiaryStore()
    executor = await run_here(store, pool_size=2, drain_timeout_seconds=30)
    await submitted(executor, Task("short", duration=10_000), Task("long", duration=60_000), Task("queued"))
    await wait_all_tasks_blocked()
    assert store.diary == ["start short", "start long"]

    executor.drain()
    executor.drain()
    began = trio.current_time()
    store.diary.append("drain")
    assert await submitted(executor, Task("late")) == ["draining"]
    [running] = (await executor.page(PageRequest(State.PENDING))).records
    assert (await executor.get(running.id)).task.name == "queued"

    await executor.stopped.wait()
    assert trio.current_time() - began == 30
    assert store.diary == [
        *("start short", "start long", "drain"),
        *("finish short", "release long", "closed"),
    ]
    pending = (await executor.page(PageRequest(State.PENDING))).records
    assert [record.task.name for record in pending] == ["long", "queued"], "released to its old place"
    assert executor.statistics().released == 1
    assert executor.statistics().store.finished == {Outcome.SUCCEEDED: 1}


async def test_a_drain_ends_as_soon_as_the_work_does(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here(drain_timeout_seconds=30)
    await submitted(executor, Task("a", duration=2000))
    await wait_all_tasks_blocked()
    executor.drain()
    began = trio.current_time()
    await executor.stopped.wait()
    assert trio.current_time() - began == 2


async def test_an_idle_executor_stops_at_once(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here()
    executor.drain()
    await executor.stopped.wait()
    assert trio.current_time() == 0


async def test_a_hard_stop_does_not_wait(autojump_clock: MockClock, run_here: RunHere) -> None:
    gate = Gate()
    executor = await run_here(handler=gate)
    await submitted(executor, Task("a"))
    await wait_all_tasks_blocked()
    executor.drain()
    await wait_all_tasks_blocked()
    assert gate.at_work == {"a"}
    executor.hard_stop()
    await executor.stopped.wait()
    assert trio.current_time() == 0
    assert gate.at_work == set()
    assert executor.statistics().store.pending == 1


async def test_cancels_and_reads_go_on_during_a_drain(autojump_clock: MockClock, run_here: RunHere) -> None:
    gate = Gate()
    executor = await run_here(pool_size=1, handler=gate)
    await submitted(executor, Task("running"), Task("queued"))
    await wait_all_tasks_blocked()
    executor.drain()
    for record in (await executor.page(PageRequest())).records:
        await executor.cancel(record.id)
    await executor.stopped.wait()
    assert executor.statistics().store.finished == {Outcome.CANCELLED: 2}
    assert gate.started == ["running"]


async def test_submits_that_wait_for_room_are_answered_by_the_drain(
    autojump_clock: MockClock, run_here: RunHere, nursery: trio.Nursery
) -> None:
    executor = await run_here(LocalStore(queue_size=1), pool_size=1, handler=Gate())
    await submitted(executor, Task("running"))
    await wait_all_tasks_blocked()
    verdicts: list[Verdict] = []

    async def wait_for_room() -> None:
        verdicts.extend(await executor.submit([Task("a"), Task("b")], wait_for_room_seconds=60))

    nursery.start_soon(wait_for_room)
    await wait_all_tasks_blocked()
    executor.drain()
    await wait_all_tasks_blocked()
    assert [verdict.verdict for verdict in verdicts] == ["accepted", "draining"]
    assert trio.current_time() == 0


async def test_a_handler_that_cleans_up_is_waited_for_before_its_task_is_released(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    cleaned = trio.Event()

    async def work(context: Context, task: Task) -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.move_on_after(3, shield=True):
                await trio.sleep(2)
                cleaned.set()

    store = DiaryStore()
    executor = await run_here(store, handler=Doing(work))
    await submitted(executor, Task("a"))
    await wait_all_tasks_blocked()
    executor.hard_stop()
    await trio.sleep(1)
    assert store.diary == ["start a"]
    await executor.stopped.wait()
    assert cleaned.is_set()
    assert store.diary == ["start a", "release a", "closed"]


async def test_a_handler_that_makes_an_error_of_the_hard_stop_is_released_too(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    store = DiaryStore()
    executor = await run_here(store, handler=CleansUpBadly())
    await submitted(executor, Task("a"))
    await wait_all_tasks_blocked()
    executor.hard_stop()
    await executor.stopped.wait()
    assert store.diary == ["start a", "release a", "closed"]


async def test_errors_of_a_handler_at_the_hard_stop_do_not_break_it(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    async def work(context: Context, task: Task) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_at_cleaning_up)
            nursery.start_soon(trio.sleep_forever)

    store = DiaryStore()
    executor = await run_here(store, handler=Doing(work))
    await submitted(executor, Task("a"))
    await wait_all_tasks_blocked()
    executor.hard_stop()
    await executor.stopped.wait()
    assert store.diary == ["start a", "release a", "closed"]


async def test_a_drain_that_was_requested_a_while_ago_leaves_that_much_less_time(
    run_here: RunHere, autojump_clock: MockClock
) -> None:
    executor = await run_here(drain_timeout_seconds=30)
    await submitted(executor, Task("long", duration=600_000))
    await wait_all_tasks_blocked()
    began = trio.current_time()

    executor.drain(seconds_ago=20.0)
    await executor.stopped.wait()

    assert trio.current_time() - began == 10
    assert executor.statistics().released == 1


async def test_a_handler_that_makes_an_error_of_a_cancel_from_outside_is_released(autojump_clock: MockClock) -> None:
    executor = Executor(LocalStore(now=virtual_now), handlers=Catalogue({"sleep": CleansUpBadly()}))
    async with trio.open_nursery() as running:
        await running.start(executor.run)
        [verdict] = await executor.submit([Task("a")])
        assert isinstance(verdict, Accepted)
        await wait_all_tasks_blocked()
        running.cancel_scope.cancel()
    assert (await executor.get(verdict.record.id)).state is State.PENDING
    assert executor.statistics().released == 1
