"""Changing the priority or the time of a waiting task decides when it starts."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pexecutor import (
    Accepted,
    AlreadyFinishedError,
    AlreadyStartedError,
    Executor,
    LocalStore,
    StoreUnavailableError,
    Task,
    UnknownTaskError,
)
from pexecutor.conformance.steps import cancelled_at_step, every_await
from pexecutor.handlers import Context, HandlerFailedError

from ..conftest import RunHere, virtual_now
from ..fakes import Doing, FakeJournal, Gate


async def accepted(executor: Executor, *tasks: Task) -> list[str]:
    verdicts = await executor.submit(tasks)
    return [verdict.record.id for verdict in verdicts if verdict.verdict == "accepted"]


async def test_it_starts_where_its_priority_puts_it(run_here: RunHere, autojump_clock: MockClock) -> None:
    gate = Gate()
    executor = await run_here(handler=gate, pool_size=1)
    _, _, second, third = await accepted(executor, Task("0"), Task("1"), Task("2"), Task("3"))
    await wait_all_tasks_blocked()

    moved = await executor.change_waiting(third, priority=7)
    await executor.change_waiting(second, priority=-7)
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
        assert (await executor.change_waiting(task_id, priority=3)).state == "scheduled"
    await trio.sleep(2)
    record = await executor.get(scheduled)
    assert (record.state, record.task.priority) == ("pending", 3)


async def test_who_has_started_or_ended_cannot_be_moved(run_here: RunHere, autojump_clock: MockClock) -> None:
    gate = Gate()
    executor = await run_here(handler=gate, pool_size=1)
    [task_id] = await accepted(executor, Task("a"))
    await wait_all_tasks_blocked()
    with pytest.raises(AlreadyStartedError):
        await executor.change_waiting(task_id, priority=1)
    gate.open()
    await executor.wait(task_id)
    with pytest.raises(AlreadyFinishedError):
        await executor.change_waiting(task_id, priority=1)
    with pytest.raises(UnknownTaskError):
        await executor.change_waiting("000000-1", priority=1)


async def test_a_disk_that_fails_leaves_it_where_it_was(autojump_clock: MockClock) -> None:
    disk = FakeJournal()
    store = LocalStore(journal=disk, now=virtual_now)
    await store.submit([Task("a"), Task("b")])
    last = next(record for record in disk.written if record.task.name == "b")
    disk.fails_at = {2}

    with pytest.raises(StoreUnavailableError):
        await store.change_waiting(last.id, priority=9)
    assert (await store.get(last.id)).task.priority == 0
    assert (await store.change_waiting(last.id, priority=9)).task.priority == 9
    assert [running.task.name for running in await store.claim(2)] == ["b", "a"]


async def test_a_cancel_at_any_await_moves_it_or_does_not(autojump_clock: MockClock) -> None:
    for step in every_await():
        disk = FakeJournal()
        store = LocalStore(journal=disk, now=virtual_now)
        await store.submit([Task("a")])
        task_id = disk.written[0].id
        cut = await cancelled_at_step(step, lambda: store.change_waiting(task_id, priority=9))  # noqa: B023
        assert (await store.get(task_id)).task.priority == (disk.written[-1].task.priority)
        if not cut:
            break


async def test_a_retry_that_waits_starts_now_and_later_retries_wait_as_before(
    run_here: RunHere, autojump_clock: MockClock
) -> None:
    async def fail(context: Context, task: Task) -> None:
        raise HandlerFailedError("on purpose")

    executor = await run_here(handler=Doing(fail), pool_size=1)
    [task_id] = await accepted(executor, Task("a", retries=2, retry_delay=3_600_000, retry_delay_max=3_600_000))
    await trio.sleep(0.1)
    assert (await executor.get(task_id)).state == "scheduled"

    await executor.change_waiting(task_id, due_at=0.0)
    await trio.sleep(0.1)
    record = await executor.get(task_id)
    assert (record.state, len(record.attempts)) == ("scheduled", 2)


async def test_a_cancel_at_any_await_changes_the_time_or_does_not(autojump_clock: MockClock) -> None:
    for step in every_await():
        disk = FakeJournal()
        store = LocalStore(journal=disk, now=virtual_now)
        await store.submit([Task("a", delay=60_000)])
        task_id = disk.written[0].id
        cut = await cancelled_at_step(step, lambda: store.change_waiting(task_id, priority=9, due_at=0.0))  # noqa: B023
        record = await store.get(task_id)
        assert (record.state, record.task.priority) in (("scheduled", 0), ("pending", 9))
        assert record.task == disk.written[-1].task
        if not cut:
            assert record.state == "pending"
            break


async def test_the_time_in_the_queue_counts_from_the_new_time(autojump_clock: MockClock) -> None:
    store = LocalStore(now=virtual_now)
    [accepted_task] = await store.submit([Task("a", delay=3_600_000)])
    assert isinstance(accepted_task, Accepted)
    await trio.sleep(100)
    await store.change_waiting(accepted_task.record.id, due_at=0.0)
    await trio.sleep(1)
    [running] = await store.claim(1)
    assert running.queued_seconds == pytest.approx(1, abs=0.01)
