from __future__ import annotations

from contextlib import suppress

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pexecutor import (
    Accepted,
    AlreadyFinishedError,
    Duplicate,
    Executor,
    Finished,
    Full,
    LocalStore,
    Outcome,
    PageRequest,
    Running,
    State,
    Task,
    Verdict,
)
from pexecutor.handlers import Context

from ..conftest import EPOCH, RunHere
from ..fakes import Doing, Gate


def words(verdicts: list[Verdict]) -> list[str]:
    return [verdict.verdict for verdict in verdicts]


async def outcome_of(executor: Executor, name: str) -> Outcome | None:
    page = await executor.page(PageRequest(name=name, state=State.FINISHED))
    return page.records[0].outcome if page.records and isinstance(page.records[0], Finished) else None


async def test_a_task_lives_from_pending_to_succeeded(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here()
    [verdict] = await executor.submit([Task("a", duration=200)])
    assert isinstance(verdict, Accepted)

    await wait_all_tasks_blocked()
    running = await executor.get(verdict.record.id)
    assert isinstance(running, Running)
    assert running.started_at == EPOCH

    await trio.sleep(0.2)
    await wait_all_tasks_blocked()
    finished = await executor.get(verdict.record.id)
    assert isinstance(finished, Finished)
    assert (finished.outcome, finished.finished_at) == (Outcome.SUCCEEDED, EPOCH + 0.2)
    assert finished.ending.error is None


async def test_a_held_name_is_a_duplicate_and_a_finished_one_is_free_at_once(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    executor = await run_here()
    [first] = await executor.submit([Task("a", duration=1000)])
    [second] = await executor.submit([Task("a", duration=1)])
    assert isinstance(first, Accepted)
    assert isinstance(second, Duplicate)
    assert second.holder.id == first.record.id

    await trio.sleep(1)
    await wait_all_tasks_blocked()
    assert words(await executor.submit([Task("a")])) == ["accepted"]


async def test_the_name_is_free_exactly_when_the_outcome_is_readable(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    """After each scheduler step of the whole program, the name is free if and only if the outcome can be read."""
    store = LocalStore()
    executor = await run_here(store)
    disagreements = []

    class Watcher(trio.abc.Instrument):
        def after_task_step(self, task: trio.lowlevel.Task) -> None:
            held = {name for part in store._book.registry._entries for name in part}
            records = store._book._records.values()
            readable = {record.task.name for record in records if not isinstance(record, Finished)}
            if held != readable:
                disagreements.append((task.name, held, readable))

    trio.lowlevel.add_instrument(watcher := Watcher())
    await executor.submit([Task(f"task-{number}", duration=number % 3) for number in range(20)])
    await trio.sleep(1)
    trio.lowlevel.remove_instrument(watcher)
    assert executor.statistics().store.finished == {Outcome.SUCCEEDED: 20}
    assert disagreements == []


async def test_no_more_run_at_once_than_the_pool_has_workers(autojump_clock: MockClock, run_here: RunHere) -> None:
    gate = Gate()
    executor = await run_here(pool_size=3, handler=gate)
    await executor.submit([Task(f"task-{number}") for number in range(10)])
    await wait_all_tasks_blocked()
    assert repr(executor) == "<Executor serving, 3 of 3 running, 7 of 1000 pending>"
    gate.open()
    await wait_all_tasks_blocked()
    assert gate.most_at_work == 3
    assert executor.statistics().store.finished == {Outcome.SUCCEEDED: 10}


async def test_the_bound_is_hard(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here(pool_size=1, queue_size=2, handler=Gate())
    assert words(await executor.submit([Task(name) for name in "abc"])) == ["accepted", "accepted", "full"]
    await wait_all_tasks_blocked()
    assert words(await executor.submit([Task(name) for name in "abcd"])) == [
        "duplicate",
        "duplicate",
        "accepted",
        "full",
    ]
    assert executor.statistics().store.pending == 2


async def test_atomic_takes_all_or_none(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here(pool_size=1, queue_size=3, handler=Gate())
    assert words(await executor.submit([Task(name) for name in "ab"], atomic=True)) == ["accepted"] * 2
    await wait_all_tasks_blocked()
    assert words(await executor.submit([Task(name) for name in "acdec"], atomic=True)) == ["duplicate"] + ["full"] * 4
    assert words(await executor.submit([Task(name) for name in "acdc"], atomic=True)) == [
        "duplicate",
        "accepted",
        "accepted",
        "duplicate",
    ]


async def test_start_order_is_priority_then_acceptance(autojump_clock: MockClock, run_here: RunHere) -> None:
    gate = Gate()
    executor = await run_here(pool_size=1, handler=gate)
    await executor.submit([Task("first")])
    await wait_all_tasks_blocked()
    for name, priority in [("low", -1), ("a", 0), ("high", 9), ("b", 0), ("higher", 10)]:
        await executor.submit([Task(name, priority=priority)])
    gate.open()
    await wait_all_tasks_blocked()
    assert gate.started == ["first", "higher", "high", "a", "b", "low"]


async def test_workers_that_wake_at_once_begin_in_order(autojump_clock: MockClock, run_here: RunHere) -> None:
    """Trio resumes the workers in random order, so this test makes many attempts."""
    names = [f"task-{number}" for number in range(8)]
    for _ in range(30):
        gate = Gate()
        executor = await run_here(pool_size=8, handler=gate)
        await executor.submit([Task(name) for name in names])
        await wait_all_tasks_blocked()
        assert gate.started == names


async def test_a_timeout_ends_an_attempt(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here()
    await executor.submit([Task("slow", duration=10_000, timeout=500), Task("quick", duration=400, timeout=500)])
    await trio.sleep(0.5)
    await wait_all_tasks_blocked()
    assert await outcome_of(executor, "slow") is Outcome.TIMED_OUT
    assert await outcome_of(executor, "quick") is Outcome.SUCCEEDED


async def test_a_handler_that_raises_fails_its_task_and_nothing_else(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    async def work(context: Context, task: Task) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 100)
            raise LookupError("no such image")

    executor = await run_here(handler=Doing(work))
    [verdict] = await executor.submit([Task("a")])
    await wait_all_tasks_blocked()
    assert isinstance(verdict, Accepted)
    record = await executor.get(verdict.record.id)
    assert isinstance(record, Finished)
    assert record.outcome is Outcome.FAILED
    assert record.ending.error == "no such image"
    assert words(await executor.submit([Task("b")])) == ["accepted"]


async def test_cancelling_a_pending_task_ends_it_at_once(autojump_clock: MockClock, run_here: RunHere) -> None:
    gate = Gate()
    executor = await run_here(pool_size=1, handler=gate)
    _, verdict = await executor.submit([Task("a"), Task("b")])
    assert isinstance(verdict, Accepted)
    await wait_all_tasks_blocked()
    record = await executor.cancel(verdict.record.id)
    assert isinstance(record, Finished)
    assert (record.outcome, record.started_at) == (Outcome.CANCELLED, None)
    gate.open()
    await wait_all_tasks_blocked()
    assert gate.started == ["a"]
    with pytest.raises(AlreadyFinishedError):
        await executor.cancel(verdict.record.id)


async def test_cancelling_a_running_task_cancels_its_work(autojump_clock: MockClock, run_here: RunHere) -> None:
    gate = Gate()
    executor = await run_here(handler=gate)
    [verdict] = await executor.submit([Task("a")])
    assert isinstance(verdict, Accepted)
    await wait_all_tasks_blocked()
    assert isinstance(await executor.cancel(verdict.record.id), Running)
    assert words(await executor.submit([Task("a")])) == ["duplicate"], "its work has not ended yet"
    await wait_all_tasks_blocked()
    assert gate.at_work == set()
    assert await outcome_of(executor, "a") is Outcome.CANCELLED


async def wait_in_a_nursery(context: Context, task: Task) -> None:
    """Exit with a group of Cancelled, as a nursery does whose tasks clean up."""
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(trio.sleep_forever)
        await trio.sleep_forever()


@pytest.mark.parametrize(("timeout_ms", "outcome"), [(None, Outcome.CANCELLED), (500, Outcome.TIMED_OUT)])
async def test_a_handler_that_is_cut_off_may_leave_with_a_group_of_cancelled(
    autojump_clock: MockClock,
    run_here: RunHere,
    timeout_ms: int | None,
    outcome: Outcome,
) -> None:
    executor = await run_here(handler=Doing(wait_in_a_nursery))
    [verdict] = await executor.submit([Task("a", timeout=timeout_ms)])
    assert isinstance(verdict, Accepted)
    await trio.sleep(0.1)
    if timeout_ms is None:
        await executor.cancel(verdict.record.id)
    await trio.sleep(1)
    assert await outcome_of(executor, "a") is outcome


async def test_a_task_that_is_cancelled_as_it_arrives_has_one_outcome(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    gate = Gate()
    executor = await run_here(handler=gate)
    [verdict] = await executor.submit([Task("a")])
    assert isinstance(verdict, Accepted)
    await executor.cancel(verdict.record.id)  # the feeder may already have this task
    await wait_all_tasks_blocked()
    assert executor.statistics().store.finished == {Outcome.CANCELLED: 1}
    assert gate.at_work == set()


async def test_a_task_that_is_cancelled_before_a_worker_wakes_never_begins(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    begun: list[str] = []

    async def work(context: Context, task: Task) -> None:
        begun.append(context.id)

    executor = await run_here(handler=Doing(work))
    cancelled_in_time = 0
    for steps in [*range(12)] * 10:
        [verdict] = await executor.submit([Task("a")])
        assert isinstance(verdict, Accepted)
        for _ in range(steps):
            await trio.lowlevel.checkpoint()
        with suppress(AlreadyFinishedError):
            told_to_end = await executor.cancel(verdict.record.id)
            in_time = isinstance(told_to_end, Running) and told_to_end.id not in begun
            record = await executor.wait(verdict.record.id)
            assert not (in_time and record.id in begun)
            cancelled_in_time += in_time
    assert cancelled_in_time, "the loop met a task that was claimed and had not begun"


async def test_submits_wait_for_room_in_turn(
    autojump_clock: MockClock, run_here: RunHere, nursery: trio.Nursery
) -> None:
    executor = await run_here(pool_size=1, queue_size=1)
    await executor.submit([Task("running", duration=1000)])
    await wait_all_tasks_blocked()
    await executor.submit([Task("queued", duration=1000)])
    answered: list[str] = []

    async def submit(name: str) -> None:
        answered.extend(f"{name} {word}" for word in words(await _wait_for_room(executor, name)))

    for name in ("first", "second", "third"):
        nursery.start_soon(submit, name)
        await wait_all_tasks_blocked()
    assert executor.statistics().waiting_for_room == 3
    await trio.sleep(4.5)
    await wait_all_tasks_blocked()
    assert answered == ["first accepted", "second accepted", "third accepted"]


async def _wait_for_room(executor: Executor, name: str) -> list[Verdict]:
    return await executor.submit([Task(name, duration=1000)], wait_for_room_seconds=60)


async def test_waiting_for_room_ends_in_time(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here(pool_size=1, queue_size=1, handler=Gate())
    await executor.submit([Task("running")])
    await wait_all_tasks_blocked()
    before = trio.current_time()
    verdicts = await executor.submit([Task("a"), Task("b")], wait_for_room_seconds=5)
    assert words(verdicts) == ["accepted", "full"]
    assert trio.current_time() - before == 5


async def test_a_large_atomic_submit_that_waits_neither_spins_nor_is_passed_over(
    autojump_clock: MockClock, run_here: RunHere, nursery: trio.Nursery
) -> None:
    executor = await run_here(pool_size=1, queue_size=3)
    await executor.submit([Task("running", duration=1000)])
    await wait_all_tasks_blocked()
    await executor.submit([Task(f"queued-{number}", duration=1000) for number in range(3)])
    answered: list[str] = []

    async def submit(*names: str) -> None:
        tasks = [Task(name, duration=1000) for name in names]
        answered.append(" ".join(words(await executor.submit(tasks, atomic=True, wait_for_room_seconds=60))))

    nursery.start_soon(submit, "a", "b")
    await wait_all_tasks_blocked()
    nursery.start_soon(submit, "c", "d")
    await trio.sleep(20)
    assert answered == ["accepted accepted"] * 2


async def test_what_can_never_fit_is_refused_without_waiting(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here(queue_size=2)
    tasks = [Task(name) for name in "abc"]
    assert words(await executor.submit(tasks, atomic=True, wait_for_room_seconds=60)) == ["full"] * 3
    assert trio.current_time() == 0


async def test_retry_after_follows_the_measured_rate(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here(pool_size=2, queue_size=10_000)
    assert executor.retry_after_seconds(1) == 1
    await executor.submit([Task(f"task-{number}", duration=100) for number in range(2000)])
    await trio.sleep(30)
    assert executor.statistics().finished_per_second == pytest.approx(20, rel=0.05)
    assert executor.retry_after_seconds(100) in (5, 6)
    assert executor.retry_after_seconds(1_000_000) == 60


async def test_retry_after_of_a_pool_that_is_stuck_grows_with_the_wait(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    executor = await run_here(pool_size=1, handler=Gate())
    await executor.submit([Task("a")])
    await trio.sleep(17)
    assert executor.retry_after_seconds(1) == 17
    await trio.sleep(1000)
    assert executor.retry_after_seconds(1) == 60


async def test_retry_after_does_not_count_the_time_in_which_nothing_ran(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    executor = await run_here(pool_size=1, queue_size=10)
    for idle_seconds in (61, 30, 600):
        await trio.sleep(idle_seconds)
        await executor.submit([Task(f"{number}", duration=1100) for number in range(10)])
        await trio.sleep(0.5)
        assert executor.retry_after_seconds(1) <= 2
        await trio.sleep(5)
        assert executor.retry_after_seconds(1) == 2
        assert executor.retry_after_seconds(10) in (11, 12, 13, 14)
        await trio.sleep(10)


async def test_retry_after_remembers_few_times_of_work(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here()
    for number in range(300):
        await executor.submit([Task(f"{number}")])
        await trio.sleep(0.7)
        assert executor.retry_after_seconds(1) <= 2
    assert executor._rate is not None
    assert len(executor._rate._busy) <= 61


async def test_an_executor_runs_once(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here()
    with pytest.raises(RuntimeError, match="has run before"):
        await executor.run()
    assert words(await executor.submit([Task("a")])) == ["accepted"]


async def test_before_it_runs_and_after_it_stopped_it_takes_nothing(nursery: trio.Nursery) -> None:
    executor = Executor(LocalStore())
    assert words(await executor.submit([Task("a")])) == ["draining"]
    executor.drain()
    await nursery.start(executor.run)
    await executor.stopped.wait()
    assert words(await executor.submit([Task("a")])) == ["draining"]


@pytest.mark.parametrize("settings", [{"pool_size": 0}, {"drain_timeout_seconds": -1}])
def test_nonsense_is_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must"):
        Executor(LocalStore(), **settings)  # type: ignore[arg-type]


def test_a_full_verdict_carries_nothing() -> None:
    assert Full() == Full()
