"""Changing the priority of a pending task decides when it starts."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pexecutor import (
    AlreadyFinishedError,
    AlreadyStartedError,
    Executor,
    LocalStore,
    StoreUnavailableError,
    Task,
    UnknownTaskError,
)
from pexecutor.conformance.steps import cancelled_at_step, every_await

from ..conftest import RunHere, virtual_now
from ..fakes import FakeJournal, Gate


async def accepted(executor: Executor, *tasks: Task) -> list[str]:
    verdicts = await executor.submit(tasks)
    return [verdict.record.id for verdict in verdicts if verdict.verdict == "accepted"]


async def test_it_starts_where_its_priority_puts_it(run_here: RunHere, autojump_clock: MockClock) -> None:
    gate = Gate()
    executor = await run_here(handler=gate, pool_size=1)
    _, _, second, third = await accepted(executor, Task("0"), Task("1"), Task("2"), Task("3"))
    await wait_all_tasks_blocked()

    moved = await executor.set_priority(third, 7)
    await executor.set_priority(second, -7)
    assert (moved.id, moved.task.priority, moved.state) == (third, 7, "pending")
    assert (await executor.get(third)).task.priority == 7
    gate.open()
    await wait_all_tasks_blocked()

    assert gate.started == ["0", "3", "1", "2"]


async def test_a_scheduled_and_a_following_task_can_be_moved(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await run_here(handler=Gate(), pool_size=1)
    scheduled, _ = await accepted(executor, Task("later", delay=1000), Task("now"))
    await wait_all_tasks_blocked()
    [following] = await accepted(executor, Task("now", on_conflict="latest"))

    for task_id in (scheduled, following):
        assert (await executor.set_priority(task_id, 3)).state == "scheduled"
    await trio.sleep(2)
    record = await executor.get(scheduled)
    assert (record.state, record.task.priority) == ("pending", 3)


async def test_who_has_started_or_ended_cannot_be_moved(run_here: RunHere, autojump_clock: MockClock) -> None:
    gate = Gate()
    executor = await run_here(handler=gate, pool_size=1)
    [task_id] = await accepted(executor, Task("a"))
    await wait_all_tasks_blocked()
    with pytest.raises(AlreadyStartedError):
        await executor.set_priority(task_id, 1)
    gate.open()
    await executor.wait(task_id)
    with pytest.raises(AlreadyFinishedError):
        await executor.set_priority(task_id, 1)
    with pytest.raises(UnknownTaskError):
        await executor.set_priority("000000-1", 1)


async def test_a_disk_that_fails_leaves_it_where_it_was(autojump_clock: MockClock) -> None:
    disk = FakeJournal()
    store = LocalStore(journal=disk, now=virtual_now)
    await store.submit([Task("a"), Task("b")])
    last = next(record for record in disk.written if record.task.name == "b")
    disk.fails_at = {2}

    with pytest.raises(StoreUnavailableError):
        await store.set_priority(last.id, 9)
    assert (await store.get(last.id)).task.priority == 0
    assert (await store.set_priority(last.id, 9)).task.priority == 9
    assert [running.task.name for running in await store.claim(2)] == ["b", "a"]


async def test_a_cancel_at_any_await_moves_it_or_does_not(autojump_clock: MockClock) -> None:
    for step in every_await():
        disk = FakeJournal()
        store = LocalStore(journal=disk, now=virtual_now)
        await store.submit([Task("a")])
        task_id = disk.written[0].id
        cut = await cancelled_at_step(step, lambda: store.set_priority(task_id, 9))  # noqa: B023
        assert (await store.get(task_id)).task.priority == (disk.written[-1].task.priority)
        if not cut:
            break
