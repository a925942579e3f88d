"""Tests of the pool: greedy and fair workers, endings that are recorded together, and tasks lost to other nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pexecutor import Ending, Finished, LocalStore, Outcome, Record, Running, Scheduled, Task
from pexecutor.core.pool import BATCH_TASKS_MAX, Batch
from pexecutor.handlers import Context
from pexecutor.stores import Watcher

from ..conftest import RunHere
from ..fakes import Doing, FakeJournal, Gate


class Leased(LocalStore):
    """A store that can take back its tasks."""

    def __init__(self) -> None:
        super().__init__()
        self.told: Watcher = Watcher()
        self.finishes: list[list[str]] = []
        self.releases: list[str] = []
        self.lost: set[int] = set()

    def watch(self, watcher: Watcher) -> None:
        super().watch(watcher)
        self.told = watcher

    async def finish(self, ended: Sequence[tuple[Running, Ending]]) -> list[Finished | Scheduled | None]:
        self.finishes.append([running.task.name for running, _ in ended])
        ours = await super().finish([one for one in ended if one[0].serial not in self.lost])
        records = {record.serial: record for record in ours if record is not None}
        return [records.get(running.serial) for running, _ in ended]

    def finish_nowait(self, ended: Sequence[tuple[Running, Ending]]) -> None:
        return None

    async def release(self, tasks: Sequence[Running]) -> None:
        self.releases += [running.task.name for running in tasks]
        await super().release(tasks)

    def running(self, name: str) -> Running:
        [found] = [record for record in self._book.running.values() if record.task.name == name]
        return found


async def test_others_have_their_turn_after_so_many_tasks_that_wait_for_nothing(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    ran: list[int] = []
    begun: list[str] = []

    async def work(context: Context, task: Task) -> None:
        begun.append(task.name)

    size = 5 * BATCH_TASKS_MAX
    executor = await run_here(handler=Doing(work), pool_size=size)
    await executor.submit([Task(f"task-{number}") for number in range(size)])
    while len(begun) < size:
        ran.append(len(begun))
        await trio.lowlevel.checkpoint()
    steps = [after - before for before, after in zip(ran, [*ran[1:], size], strict=True)]
    assert max(steps) <= 2 * BATCH_TASKS_MAX, "a tick of the scheduler may have its turns in any order"
    await wait_all_tasks_blocked()
    assert executor.statistics().store.finished == {Outcome.SUCCEEDED: size}


async def test_what_ends_during_a_write_is_recorded_in_the_next_one(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    store = Leased()
    store._steps.journal = FakeJournal()
    gate = Gate()
    executor = await run_here(store, handler=gate, pool_size=10)
    await executor.submit([Task(f"task-{number}") for number in range(10)])
    await wait_all_tasks_blocked()
    gate.open()
    await wait_all_tasks_blocked()
    assert sorted(name for some in store.finishes for name in some) == [f"task-{number}" for number in range(10)]
    assert len(store.finishes) <= 2


async def test_a_lost_task_is_cut_off_and_nothing_is_recorded_of_it(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    store, seen = Leased(), list[str | None]()

    async def work(context: Context, task: Task) -> None:
        try:
            await trio.sleep_forever()
        finally:
            seen.append(context.cancelled_by)

    executor = await run_here(store, handler=Doing(work), pool_size=1)
    await executor.submit([Task("lost"), Task("next")])
    await wait_all_tasks_blocked()
    store.told.lost(store.running("lost").serial)
    await wait_all_tasks_blocked()
    assert seen == ["lease"]
    assert (store.finishes, store.releases) == ([], [])
    assert [executor.statistics().busy, store.running("next").task.name] == [1, "next"], "its place is free again"


async def test_a_task_that_is_lost_while_its_ending_waits_is_not_recorded(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    store = Leased()
    journal = FakeJournal()
    journal.fails_at = {3}
    store._steps.journal = journal
    gate = Gate()
    executor = await run_here(store, handler=gate, pool_size=1)
    await executor.submit([Task("lost")])
    await wait_all_tasks_blocked()
    serial = store.running("lost").serial
    gate.open()
    await trio.sleep(0.1)
    assert store.finishes == [["lost"]], "it could not be recorded yet"
    store.told.lost(serial)
    await trio.sleep(1)
    assert store.finishes == [["lost"]]
    assert executor.statistics().busy == 0


async def test_an_outcome_that_is_not_ours_to_record_counts_for_nobody(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    store, gate = Leased(), Gate()
    executor = await run_here(store, handler=gate, pool_size=1)
    await executor.submit([Task("lost")])
    await wait_all_tasks_blocked()
    store.lost.add(store.running("lost").serial)
    gate.open()
    await wait_all_tasks_blocked()
    assert store.finishes == [["lost"]]
    assert executor.statistics().store.finished == {}
    assert executor.timings().attempts == {}
    assert executor.statistics().busy == 0


async def test_a_cancel_from_elsewhere_ends_the_task_as_cancelled(autojump_clock: MockClock, run_here: RunHere) -> None:
    store = Leased()
    changes: list[Record] = []
    executor = await run_here(store, handler=Gate(), pool_size=1, on_change=changes.extend)
    await executor.submit([Task("a")])
    await wait_all_tasks_blocked()
    store.told.cancel(store.running("a").serial)
    await wait_all_tasks_blocked()
    last = changes[-1]
    assert isinstance(last, Finished)
    assert last.outcome is Outcome.CANCELLED


async def test_a_cancel_that_comes_after_the_work_does_not_reach_the_next_task(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    """Both tasks run in one scope of one worker, and the first task's outcome is still being written at the cancel."""
    second_begun = trio.Event()

    async def work(context: Context, task: Task) -> None:
        if task.name == "second":
            second_begun.set()
            await trio.sleep(1)

    store = Leased()
    store._steps.journal, store._ends_with_us = FakeJournal(awaits=50), {"sleep"}
    executor = await run_here(store, handler=Doing(work), pool_size=2)
    first, second = await executor.submit([Task("first"), Task("second")])
    assert first.verdict == second.verdict == "accepted"
    await second_begun.wait()
    assert isinstance(await store.get(first.record.id), Running)
    store.told.cancel(first.record.serial)
    records = [await executor.wait(verdict.record.id) for verdict in (first, second)]
    assert [record.outcome for record in records if isinstance(record, Finished)] == [Outcome.SUCCEEDED] * 2


async def test_a_timeout_is_that_of_its_own_task_alone(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here(pool_size=1)
    names = [Task("quick", timeout=10), Task("slow", duration=1000), Task("late", duration=1000, timeout=10)]
    verdicts = await executor.submit([*names, Task("last", duration=1000)])
    records = [await executor.wait(verdict.record.id) for verdict in verdicts if verdict.verdict == "accepted"]
    assert [record.outcome for record in records if isinstance(record, Finished)] == [
        Outcome.SUCCEEDED,
        Outcome.SUCCEEDED,
        Outcome.TIMED_OUT,
        Outcome.SUCCEEDED,
    ]


async def test_a_more_urgent_task_starts_after_few_others(autojump_clock: MockClock, run_here: RunHere) -> None:
    begun: list[str] = []

    async def work(context: Context, task: Task) -> None:
        begun.append(task.name)

    executor = await run_here(queue_size=2000, handler=Doing(work), pool_size=5)
    await executor.submit([Task(f"task-{number}") for number in range(20 * BATCH_TASKS_MAX)])
    await executor.submit([Task("urgent", priority=1)])
    before = len(begun)
    await wait_all_tasks_blocked()
    assert begun.index("urgent") - before <= 2 * BATCH_TASKS_MAX
    assert len(begun) == 20 * BATCH_TASKS_MAX + 1


async def test_no_more_run_than_there_are_workers_however_greedy_they_are(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    running: list[int] = []
    store = LocalStore()

    async def work(context: Context, task: Task) -> None:
        running.append(store.statistics().running)
        assert isinstance(await store.get(context.id), Running)

    executor = await run_here(store, handler=Doing(work), pool_size=3)
    await executor.submit([Task(f"task-{number}") for number in range(200)])
    await wait_all_tasks_blocked()
    assert len(running) == 200
    assert max(running) <= 3


class CountedReceiver:
    """A channel's receiving end that records the tasks of every batch that a worker receives."""

    def __init__(self, end: trio.MemoryReceiveChannel[Batch], received: set[str]) -> None:
        self._end = end
        self._received = received

    def clone(self) -> CountedReceiver:
        return CountedReceiver(self._end.clone(), self._received)

    def __enter__(self) -> Self:
        self._end.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._end.__exit__(*error)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Batch:
        batch = await self._end.__anext__()
        self._received |= {attempt.context.name for attempt in batch}
        return batch


@pytest.mark.parametrize("seconds", [0, 1])
async def test_every_task_comes_through_the_channel(
    run_here: RunHere, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    begun, received = set[str](), set[str]()
    open_channel = trio.open_memory_channel[Batch]

    def open_counted(size: int) -> tuple[trio.MemorySendChannel[Batch], CountedReceiver]:
        to_workers, from_feeder = open_channel(size)
        return to_workers, CountedReceiver(from_feeder, received)

    async def work(context: Context, task: Task) -> None:
        begun.add(task.name)
        assert task.name in received
        if seconds:
            await trio.sleep(seconds)

    monkeypatch.setattr(trio, "open_memory_channel", {Batch: open_counted})
    executor = await run_here(handler=Doing(work), pool_size=7)

    await executor.submit([Task(f"task-{number}") for number in range(200)])
    await trio.sleep(1000)

    assert len(begun) == 200
    assert received == begun


class WorkerSteps(trio.abc.Instrument):
    """Count how often Trio resumes a worker."""

    count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += task.name.endswith("Pool._work")


async def test_a_batch_of_tasks_that_wait_for_nothing_wakes_one_worker(
    run_here: RunHere, autojump_clock: MockClock
) -> None:
    executor = await run_here(pool_size=5)
    steps = WorkerSteps()
    await wait_all_tasks_blocked()
    trio.lowlevel.add_instrument(steps)

    await executor.submit([Task(f"task-{number}") for number in range(1000)])
    await trio.sleep(1000)

    assert steps.count == 1000 / 5
