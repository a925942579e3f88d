"""Tests of ``on_conflict``: a submit whose name is held, one by one, in a race, and within one list."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pexecutor import Accepted, Executor, Finished, Following, Outcome, Pending, Running, Scheduled, Task, Verdict
from pexecutor.task import OnConflict

from ..conftest import RunHere
from ..fakes import Gate


async def submit(executor: Executor, *tasks: Task) -> list[Verdict]:
    return await executor.submit(tasks)


async def accepted(executor: Executor, task: Task) -> str:
    [verdict] = await executor.submit([task])
    assert isinstance(verdict, Accepted)
    return verdict.record.id


async def test_join_is_answered_with_the_holder(autojump_clock: MockClock, run_here: RunHere) -> None:
    gate = Gate()
    executor = await run_here(handler=gate)
    first = await accepted(executor, Task("a"))
    assert await accepted(executor, Task("a", on_conflict="join")) == first
    await wait_all_tasks_blocked()
    assert await accepted(executor, Task("a", on_conflict="join")) == first
    gate.open()
    await wait_all_tasks_blocked()
    assert gate.started == ["a"]
    assert await accepted(executor, Task("a", on_conflict="join")) != first


async def test_latest_gives_a_pending_holder_the_new_payload_in_its_old_place(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    gate = Gate()
    executor = await run_here(handler=gate, pool_size=1)
    await submit(executor, Task("running"), Task("a", duration=1), Task("b", duration=1))
    await wait_all_tasks_blocked()
    held = await accepted(executor, Task("a", duration=2, on_conflict="latest"))
    assert isinstance(await executor.get(held), Pending)
    gate.open()
    await wait_all_tasks_blocked()
    assert gate.started == ["running", "a", "b"]
    assert gate.payloads == [0, 2, 1]


async def test_ten_submits_of_latest_during_one_run_make_exactly_one_more_run(
    autojump_clock: MockClock, run_here: RunHere, nursery: trio.Nursery
) -> None:
    gate = Gate()
    executor = await run_here(handler=gate)
    first = await accepted(executor, Task("a", duration=0))
    await wait_all_tasks_blocked()
    ids: list[str] = []

    async def renew(payload: int) -> None:
        ids.append(await accepted(executor, Task("a", duration=payload, on_conflict="latest")))

    for payload in range(1, 11):
        nursery.start_soon(renew, payload)
        await wait_all_tasks_blocked()
    assert len(set(ids)) == 1
    assert isinstance(await executor.get(ids[0]), Following)
    gate.open()
    await wait_all_tasks_blocked()
    assert gate.payloads == [0, 10]
    endings = [await executor.get(task_id) for task_id in (first, ids[0])]
    assert [record.outcome for record in endings if isinstance(record, Finished)] == [Outcome.SUCCEEDED] * 2


async def test_ten_submits_of_latest_at_once_make_exactly_one_more_run(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    gate = Gate()
    executor = await run_here(handler=gate)
    await submit(executor, Task("a"))
    await wait_all_tasks_blocked()
    async with trio.open_nursery() as nursery:
        for payload in range(1, 11):
            nursery.start_soon(submit, executor, Task("a", duration=payload, on_conflict="latest"))
    gate.open()
    await wait_all_tasks_blocked()
    assert len(gate.started) == 2


async def test_latest_on_a_delayed_holder_keeps_its_time(autojump_clock: MockClock, run_here: RunHere) -> None:
    gate = Gate()
    gate.open()
    executor = await run_here(handler=gate)
    held = await accepted(executor, Task("a", delay=5000))
    assert await accepted(executor, Task("a", duration=7, on_conflict="latest")) == held
    record = await executor.wait(held)
    assert isinstance(record, Finished)
    assert trio.current_time() == 5
    assert gate.payloads == [7]


async def test_supersede_cancels_a_running_holder_and_runs_once_it_has_ended(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    gate = Gate()
    executor = await run_here(handler=gate)
    first = await accepted(executor, Task("a", duration=1, retries=5))
    await wait_all_tasks_blocked()
    second = await accepted(executor, Task("a", duration=2, on_conflict="supersede"))
    assert isinstance(await executor.get(second), Following)
    await wait_all_tasks_blocked()
    ended = await executor.get(first)
    assert isinstance(ended, Finished)
    assert ended.outcome is Outcome.CANCELLED
    assert isinstance(await executor.get(second), Running)
    assert gate.payloads == [1, 2]


async def test_supersede_takes_the_name_of_a_pending_holder_at_once(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    gate = Gate()
    executor = await run_here(handler=gate, pool_size=1, queue_size=1)
    await submit(executor, Task("running"))
    await wait_all_tasks_blocked()
    first = await accepted(executor, Task("a", duration=1))
    second = await accepted(executor, Task("a", duration=2, on_conflict="supersede"))
    ended = await executor.get(first)
    assert isinstance(ended, Finished)
    assert ended.ending.error == "superseded by a newer submit of its name"
    assert isinstance(await executor.get(second), Pending)
    assert executor.statistics().store.pending == 1, "and it needed no other place"


async def test_a_second_supersede_cancels_the_one_that_waits(autojump_clock: MockClock, run_here: RunHere) -> None:
    gate = Gate()
    executor = await run_here(handler=gate)
    ids = [await accepted(executor, Task("a", duration=1))]
    await wait_all_tasks_blocked()
    verdicts = await submit(executor, *(Task("a", duration=n, on_conflict="supersede") for n in (2, 3)))
    ids += [verdict.record.id for verdict in verdicts if isinstance(verdict, Accepted)]
    await wait_all_tasks_blocked()
    states = [type(await executor.get(task_id)) for task_id in ids]
    assert states == [Finished, Finished, Running]
    assert gate.payloads == [1, 3]


async def test_a_follower_takes_a_place_and_can_be_cancelled(autojump_clock: MockClock, run_here: RunHere) -> None:
    gate = Gate()
    executor = await run_here(handler=gate, queue_size=1)
    await submit(executor, Task("a"))
    await wait_all_tasks_blocked()
    follower = await accepted(executor, Task("a", on_conflict="latest"))
    assert [verdict.verdict for verdict in await submit(executor, Task("b"))] == ["full"]
    assert isinstance(await executor.cancel(follower), Finished)
    assert [verdict.verdict for verdict in await submit(executor, Task("b"))] == ["accepted"]
    gate.open()
    await wait_all_tasks_blocked()
    assert sorted(gate.started) == ["a", "b"]


async def test_a_follower_needs_room(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here(handler=Gate(), queue_size=1, pool_size=1)
    await submit(executor, Task("a"))
    await wait_all_tasks_blocked()
    await submit(executor, Task("b"))
    for policy in ("latest", "supersede"):
        [verdict] = await submit(executor, Task("a", on_conflict=policy))
        assert verdict.verdict == "full"


async def test_a_follower_keeps_its_own_delay(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here()
    await submit(executor, Task("a", duration=1000))
    await wait_all_tasks_blocked()
    follower = await accepted(executor, Task("a", on_conflict="latest", delay=5000))
    await trio.sleep(2)
    assert isinstance(await executor.get(follower), Scheduled)
    await executor.wait(follower)
    assert trio.current_time() == 5


async def test_a_task_that_is_followed_is_not_retried(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here()
    first = await accepted(executor, Task("a", duration=5000, timeout=1000, retries=9, retry_delay=0))
    await wait_all_tasks_blocked()
    follower = await accepted(executor, Task("a", on_conflict="latest"))
    ended = await executor.wait(first)
    assert isinstance(ended, Finished)
    assert ended.outcome is Outcome.TIMED_OUT
    await executor.wait(follower)
    assert trio.current_time() == 1


@pytest.mark.parametrize("policy", ["join", "latest", "supersede"])
async def test_within_one_list_each_task_meets_the_one_before(
    autojump_clock: MockClock, run_here: RunHere, policy: OnConflict
) -> None:
    gate = Gate()
    gate.open()
    executor = await run_here(handler=gate)
    verdicts = await submit(executor, Task("a", duration=1), Task("a", duration=2, on_conflict=policy))
    assert [verdict.verdict for verdict in verdicts] == ["accepted", "accepted"]
    await wait_all_tasks_blocked()
    assert gate.payloads == [1 if policy == "join" else 2]
    finished = executor.statistics().store.finished
    assert finished == {Outcome.SUCCEEDED: 1} | ({Outcome.CANCELLED: 1} if policy == "supersede" else {})


async def test_an_atomic_list_that_does_not_fit_changes_nothing(autojump_clock: MockClock, run_here: RunHere) -> None:
    gate = Gate()
    executor = await run_here(handler=gate, queue_size=1, pool_size=1)
    await submit(executor, Task("running"))
    await wait_all_tasks_blocked()
    await submit(executor, Task("a", duration=1))
    tasks = [Task("a", duration=2, on_conflict="latest"), Task("b")]
    verdicts = await executor.submit(tasks, atomic=True)
    assert [verdict.verdict for verdict in verdicts] == ["full", "full"]
    gate.open()
    await wait_all_tasks_blocked()
    assert gate.payloads == [0, 1]


async def test_a_released_holder_and_its_follower_both_stay(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here(handler=Gate())
    first = await accepted(executor, Task("a"))
    await wait_all_tasks_blocked()
    follower = await accepted(executor, Task("a", on_conflict="latest"))
    executor.hard_stop()
    await executor.stopped.wait()
    assert isinstance(await executor.get(first), Pending)
    assert isinstance(await executor.get(follower), Following)
    await executor.cancel(first)
    assert isinstance(await executor.get(follower), Pending), "its turn comes with any end of the other"
