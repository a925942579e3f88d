"""Tests of delay, retry, timeout and history, in virtual time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pexecutor import (
    Accepted,
    Executor,
    ExpiredTaskError,
    Finished,
    InvalidTaskError,
    LocalStore,
    Outcome,
    Pending,
    Running,
    Scheduled,
    Task,
    UnknownTaskError,
)
from pexecutor.handlers import Context, HandlerFailedError

from ..conftest import EPOCH, RunHere, virtual_now
from ..fakes import CleansUpBadly, Doing, Gate


class NoJitter(Random):
    """A random source that always returns the maximum."""

    def uniform(self, a: float, b: float) -> float:
        return b


class Failing(Doing):
    """A handler that fails a number of times, then succeeds, and records the time of each attempt."""

    def __init__(self, failures: int, error: Exception | None = None) -> None:
        super().__init__(self._try)
        self.tried_at: list[float] = []
        self._failures = failures
        self._error = error or LookupError("not yet")

    async def _try(self, context: Context, task: Task) -> str:
        self.tried_at.append(trio.current_time())
        assert context.attempt == len(self.tried_at)
        if context.attempt <= self._failures:
            raise self._error
        return "at last"


def store() -> LocalStore:
    return LocalStore(now=virtual_now, jitter=NoJitter())


async def accepted(executor: Executor, task: Task) -> str:
    [verdict] = await executor.submit([task])
    assert isinstance(verdict, Accepted)
    return verdict.record.id


async def test_a_delayed_task_starts_when_it_is_due(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here()
    task_id = await accepted(executor, Task("a", delay=5000, duration=100))
    scheduled = await executor.get(task_id)
    assert isinstance(scheduled, Scheduled)
    assert scheduled.due_at == EPOCH + 5
    [verdict] = await executor.submit([Task("a")])
    assert verdict.verdict == "duplicate", "it holds its name meanwhile"
    record = await executor.wait(task_id)
    assert isinstance(record, Finished)
    assert record.started_at == EPOCH + 5


async def test_run_at_is_a_time_of_the_wall_clock(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here()
    at = datetime.fromtimestamp(EPOCH, UTC) + timedelta(minutes=3)
    later = await executor.wait(await accepted(executor, Task("later", run_at=at)))
    past = await executor.wait(await accepted(executor, Task("past", run_at=at - timedelta(days=9))))
    assert isinstance(later, Finished)
    assert isinstance(past, Finished)
    assert (later.started_at, past.started_at) == (EPOCH + 180, EPOCH + 180)


async def test_due_tasks_start_while_others_are_delayed(autojump_clock: MockClock, run_here: RunHere) -> None:
    gate = Gate()
    executor = await run_here(handler=gate, pool_size=1)
    gate.open()
    for name, delay in [("c", 3000), ("a", 1000), ("b", 2000), ("now", 0)]:
        await executor.submit([Task(name, delay=delay)])
    await trio.sleep(2.5)
    assert gate.started == ["now", "a", "b"]


async def test_a_delayed_task_counts_in_the_bound(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here(queue_size=1)
    verdicts = await executor.submit([Task("a", delay=5000), Task("b")])
    assert [verdict.verdict for verdict in verdicts] == ["accepted", "full"]
    verdicts = await executor.submit([Task("b")], wait_for_room_seconds=10)
    assert [verdict.verdict for verdict in verdicts] == ["accepted"]
    assert trio.current_time() == 5


async def test_a_delayed_task_can_be_cancelled(autojump_clock: MockClock, run_here: RunHere) -> None:
    gate = Gate()
    executor = await run_here(handler=gate)
    task_id = await accepted(executor, Task("a", delay=5000))
    record = await executor.cancel(task_id)
    assert isinstance(record, Finished)
    assert record.outcome is Outcome.CANCELLED
    await trio.sleep(10)
    assert gate.started == []


async def test_retries_back_off_exponentially_up_to_their_most(autojump_clock: MockClock, run_here: RunHere) -> None:
    handler = Failing(failures=5)
    executor = await run_here(store(), handler=handler)
    task = Task("a", retries=5, retry_delay=1000, retry_delay_max=6000)
    record = await executor.wait(await accepted(executor, task))
    assert handler.tried_at == [0, 1, 3, 7, 13, 19]
    assert isinstance(record, Finished)
    assert record.outcome is Outcome.SUCCEEDED
    assert record.ending.result == b'"at last"'
    assert [attempt.outcome for attempt in record.attempts] == [Outcome.FAILED] * 5 + [Outcome.SUCCEEDED]
    assert [attempt.error for attempt in record.attempts] == ["not yet"] * 5 + [None]
    assert [attempt.started_at - EPOCH for attempt in record.attempts] == handler.tried_at


async def test_retries_come_to_an_end(autojump_clock: MockClock, run_here: RunHere) -> None:
    handler = Failing(failures=9)
    executor = await run_here(store(), handler=handler)
    record = await executor.wait(await accepted(executor, Task("a", retries=2)))
    assert isinstance(record, Finished)
    assert (record.outcome, len(record.attempts)) == (Outcome.FAILED, 3)
    assert executor.statistics().retried == 2


async def test_the_jitter_is_full(autojump_clock: MockClock, run_here: RunHere) -> None:
    waits = []
    for seed in range(50):
        handler = Failing(failures=1)
        executor = await run_here(LocalStore(now=virtual_now, jitter=Random(seed)), handler=handler)
        await executor.wait(await accepted(executor, Task("a", retries=1, retry_delay=1000)))
        waits.append(handler.tried_at[1] - handler.tried_at[0])
    assert 0 <= min(waits) < 0.2
    assert 0.8 < max(waits) <= 1


async def test_the_name_is_held_through_every_retry(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here(store(), handler=Failing(failures=1))
    task_id = await accepted(executor, Task("a", retries=1, retry_delay=10_000))
    await wait_all_tasks_blocked()
    waiting = await executor.get(task_id)
    assert isinstance(waiting, Scheduled)
    assert waiting.due_at == EPOCH + 10
    [verdict] = await executor.submit([Task("a")])
    assert verdict.verdict == "duplicate"


async def test_a_timeout_is_retried_and_a_cancel_is_not(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here(store())
    slow = await accepted(executor, Task("slow", duration=10_000, timeout=100, retries=1, retry_delay=0))
    record = await executor.wait(slow)
    assert isinstance(record, Finished)
    assert [attempt.outcome for attempt in record.attempts] == [Outcome.TIMED_OUT] * 2
    assert record.ending.error == "timed out after 100 ms"
    cancelled = await accepted(executor, Task("cancelled", duration=10_000, retries=5))
    await wait_all_tasks_blocked()
    await executor.cancel(cancelled)
    record = await executor.wait(cancelled)
    assert isinstance(record, Finished)
    assert (record.outcome, len(record.attempts)) == (Outcome.CANCELLED, 1)


async def test_a_handler_may_rule_out_a_retry_or_say_when(autojump_clock: MockClock, run_here: RunHere) -> None:
    hopeless = Failing(9, HandlerFailedError("gone for good", retryable=False))
    executor = await run_here(store(), handler=hopeless)
    record = await executor.wait(await accepted(executor, Task("a", retries=5)))
    assert isinstance(record, Finished)
    assert len(record.attempts) == 1
    busy = Failing(1, HandlerFailedError("busy", retry_after_seconds=30.0))
    executor = await run_here(store(), handler=busy)
    began = trio.current_time()
    await executor.wait(await accepted(executor, Task("a", retries=1)))
    assert [time - began for time in busy.tried_at] == [0, 30]


async def test_a_hard_stop_is_no_failed_attempt(autojump_clock: MockClock, run_here: RunHere) -> None:
    local = store()
    executor = await run_here(local, handler=Gate())
    task_id = await accepted(executor, Task("a", retries=1))
    await wait_all_tasks_blocked()
    executor.hard_stop()
    await executor.stopped.wait()
    record = await local.get(task_id)
    assert isinstance(record, Pending)
    assert record.attempts == ()


async def test_a_result_must_be_json_and_not_too_large(autojump_clock: MockClock, run_here: RunHere) -> None:
    results = {"set": object(), "large": "x" * 100_000, "fine": {"pages": [1, 2]}}

    async def work(context: Context, task: Task) -> object:
        return results[task.name]

    executor = await run_here(handler=Doing(work))
    records = {name: await executor.wait(await accepted(executor, Task(name))) for name in results}
    endings = {name: record.ending for name, record in records.items() if isinstance(record, Finished)}
    assert endings["set"].outcome is Outcome.FAILED
    assert endings["set"].error is not None
    assert "not JSON" in endings["set"].error
    assert endings["large"].error == "the handler's result has 100002 bytes; the maximum is 65536"
    assert endings["fine"].result == b'{"pages":[1,2]}'


async def test_waiting_ends_in_time_or_with_the_executor(
    autojump_clock: MockClock, run_here: RunHere, nursery: trio.Nursery
) -> None:
    executor = await run_here(handler=Gate())
    task_id = await accepted(executor, Task("a"))
    assert isinstance(await executor.wait(task_id, seconds_max=5), Running)
    assert trio.current_time() == 5
    found: list[object] = []

    async def wait() -> None:
        found.append(await executor.wait(task_id))

    nursery.start_soon(wait)
    await wait_all_tasks_blocked()
    executor.hard_stop()
    await wait_all_tasks_blocked()
    assert [type(record) for record in found] == [Pending]
    with pytest.raises(UnknownTaskError):
        await executor.wait("000000-1")


async def test_a_task_may_ask_for_a_shorter_memory(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here()
    short = await accepted(executor, Task("short", keep=2000))
    long = await accepted(executor, Task("long"))
    await trio.sleep(1)
    assert isinstance(await executor.get(short), Finished)
    await trio.sleep(2)
    with pytest.raises(ExpiredTaskError):
        await executor.get(short)
    assert isinstance(await executor.get(long), Finished)


async def test_history_is_bounded_by_bytes(autojump_clock: MockClock, run_here: RunHere) -> None:
    async def work(context: Context, task: Task) -> str:
        return "x" * 1000

    executor = await run_here(LocalStore(now=virtual_now, history_bytes_max=2500), handler=Doing(work), pool_size=1)
    ids = [await accepted(executor, Task(name)) for name in "abc"]
    await wait_all_tasks_blocked()
    with pytest.raises(ExpiredTaskError):
        await executor.get(ids[0])
    assert executor.statistics().store.history == 2


async def test_what_a_handler_would_not_take_is_refused_at_submit(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here(handler=Gate())
    with pytest.raises(InvalidTaskError) as caught:
        await executor.submit([Task("a"), Task("b", params={"bad": 1}), Task("c", handler="nothing")])
    assert [(error.index, error.field) for error in caught.value.errors] == [(1, "params.bad"), (2, "handler")]
    assert executor.statistics().store.running + executor.statistics().store.pending == 0


def test_a_task_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="`run_at` and `delay`"):
        Task("a", delay=1, run_at=datetime.now(UTC))
    with pytest.raises(ValueError, match="`params` must be at most"):
        Task("a", params={"x": "y" * 70_000})


async def test_a_handler_can_see_why_it_is_cut_off(autojump_clock: MockClock, run_here: RunHere) -> None:
    reasons: dict[str, str | None] = {}

    async def work(context: Context, task: Task) -> None:
        assert context.cancelled_by is None
        try:
            await trio.sleep_forever()
        finally:
            reasons[task.name] = context.cancelled_by

    executor = await run_here(handler=Doing(work))
    await accepted(executor, Task("late", timeout=100))
    cancelled = await accepted(executor, Task("cancelled"))
    await accepted(executor, Task("stopped"))
    await trio.sleep(1)
    await executor.cancel(cancelled)
    await wait_all_tasks_blocked()
    executor.hard_stop()
    await executor.stopped.wait()
    assert reasons == {"late": "timeout", "cancelled": "cancel", "stopped": "shutdown"}


@pytest.mark.parametrize(("how", "outcome"), [("cancel", Outcome.CANCELLED), ("timeout", Outcome.TIMED_OUT)])
async def test_what_raises_once_it_is_cut_off_has_ended_by_what_cut_it_off(
    autojump_clock: MockClock, run_here: RunHere, how: str, outcome: Outcome
) -> None:
    executor = await run_here(store(), handler=CleansUpBadly())
    task = Task("a", retries=3 if how == "cancel" else 0, timeout=100 if how == "timeout" else None)
    task_id = await accepted(executor, task)
    await wait_all_tasks_blocked()
    if how == "cancel":
        await executor.cancel(task_id)
    record = await executor.wait(task_id)
    assert isinstance(record, Finished)
    assert (record.outcome, len(record.attempts)) == (outcome, 1)
    assert record.ending.error is not None
    assert record.ending.error.endswith("; then the handler failed: cleaning up failed")
