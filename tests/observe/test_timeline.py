"""Tests of the throughput in the last quarter of an hour."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

import trio
from trio.testing import MockClock

from pexecutor import LocalStore, Outcome, Task
from pexecutor.handlers import Context
from pexecutor.observe.timeline import (
    INTERVAL_SECONDS,
    INTERVALS_MAX,
    LONG_INTERVAL_SECONDS,
    LONG_INTERVALS_MAX,
    Percentiles,
)

from ..conftest import EPOCH, RunHere, virtual_now
from ..fakes import Doing


def about(percentiles: Percentiles | None) -> tuple[int, int]:
    """Return both percentiles in whole seconds. The percentiles are accurate to within a tenth."""
    assert percentiles is not None
    return round(percentiles.p50), round(percentiles.p95)


async def test_an_interval_counts_what_ended_and_how_long_it_took(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await run_here(pool_size=1)
    await executor.submit([Task("a", duration=2000), Task("b", duration=2000), Task("c", duration=9000, timeout=2000)])
    await trio.sleep(10)

    [interval] = executor.timeline.since(0)

    assert interval.begins_at == EPOCH
    assert interval.started == 3
    assert interval.finished == {Outcome.SUCCEEDED: 2, Outcome.TIMED_OUT: 1}
    assert about(interval.run) == (2, 2)
    assert about(interval.queue) == (2, 4)


async def test_a_delay_is_no_time_in_the_queue_and_a_retry_ran(run_here: RunHere, autojump_clock: MockClock) -> None:
    async def work(context: Context, task: Task) -> None:
        await trio.sleep(1)
        if context.attempt == 1:
            raise LookupError("once")

    executor = await run_here(handler=Doing(work), pool_size=1)
    await executor.submit([Task("a", delay=3000, retries=1, retry_delay=0)])
    await trio.sleep(10)

    [interval] = executor.timeline.since(0)

    assert (interval.started, interval.finished) == (2, {Outcome.SUCCEEDED: 1})
    assert interval.queue is not None
    assert interval.queue.p95 < 0.002
    assert about(interval.run) == (1, 1)


async def test_a_clock_that_is_set_back_leaves_nothing_in_the_future(
    run_here: RunHere, autojump_clock: MockClock
) -> None:
    ahead = 3600.0
    executor = await run_here(store=LocalStore(now=lambda: virtual_now() + ahead))
    await executor.submit([Task("before", duration=1000)])
    await trio.sleep(40)
    ahead = 0.0
    await executor.submit([Task("after", duration=1000)])
    await trio.sleep(40)
    await executor.submit([Task("later", duration=1000)])
    await trio.sleep(40)

    intervals = executor.timeline.since(0)

    assert sum(sum(interval.finished.values()) for interval in intervals) == 3
    begins = [interval.begins_at for interval in intervals]
    assert begins == sorted(begins)
    assert all(begins_at <= virtual_now() for begins_at in begins)


async def test_latest_with_a_delay_of_its_own_keeps_the_time_in_the_queue(
    run_here: RunHere, autojump_clock: MockClock
) -> None:
    executor = await run_here(pool_size=1)
    await executor.submit([Task("busy", duration=10_000)])
    await executor.submit([Task("a", duration=0)])
    await executor.submit([Task("a", duration=0, delay=3_600_000, on_conflict="latest")])
    await trio.sleep(20)

    queued = executor.timings().queued["sleep"]
    assert queued.sum == 10


async def test_a_time_before_the_submit_is_no_time_in_the_queue(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await run_here()
    await executor.submit([Task("a", run_at=datetime.fromtimestamp(EPOCH - 3600, UTC))])
    await trio.sleep(1)

    [interval] = executor.timeline.since(0)

    assert interval.queue is not None
    assert interval.queue.p95 < 0.002


async def test_a_task_cancelled_while_it_waits_did_not_run_again(run_here: RunHere, autojump_clock: MockClock) -> None:
    async def work(context: Context, task: Task) -> None:
        raise LookupError("always")

    store = LocalStore(now=virtual_now, jitter=Random(1))
    executor = await run_here(store, handler=Doing(work), pool_size=1)
    [accepted] = await executor.submit([Task("a", retries=1, retry_delay=600_000, retry_delay_max=600_000)])
    assert accepted.verdict == "accepted"
    await trio.sleep(INTERVAL_SECONDS)
    await executor.cancel(accepted.record.id)

    first, second = executor.timeline.since(0)

    assert (first.started, first.finished) == (1, {})
    assert first.run is not None
    assert (second.started, second.finished, second.run) == (0, {Outcome.CANCELLED: 1}, None)


async def test_intervals_are_bounded_and_old_ones_are_left_out(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await run_here(LocalStore(now=virtual_now), pool_size=1)
    for number in range(INTERVALS_MAX + 5):
        await executor.submit([Task(f"{number}")])
        await trio.sleep(INTERVAL_SECONDS)

    assert [each.begins_at - EPOCH for each in executor.timeline.since(0)] == [
        number * INTERVAL_SECONDS for number in range(5, INTERVALS_MAX + 5)
    ]
    assert len(executor.timeline.since(virtual_now() - 60)) == 4


async def test_long_intervals_are_the_sums_of_short_ones(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await run_here(LocalStore(now=virtual_now), pool_size=1)
    for number in range(50):
        await executor.submit([Task(f"{number}", duration=1000 * (1 + number // 25))])
        await trio.sleep(INTERVAL_SECONDS)

    intervals = executor.timeline.long_since(0)

    assert [each.begins_at - EPOCH for each in intervals] == [0, 300, 600]
    assert [each.started for each in intervals] == [20, 20, 10]
    assert [sum(each.finished.values()) for each in intervals] == [20, 20, 10]
    assert [about(each.run) for each in intervals] == [(1, 1), (2, 2), (2, 2)] or about(intervals[1].run) == (1, 2)
    assert executor.timeline.long_since(0) == intervals, "reading changes nothing"
    assert executor.timeline.long_since(virtual_now() - 300) == intervals[1:]


async def test_a_day_is_kept_and_no_more(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await run_here(LocalStore(now=virtual_now), pool_size=1)
    for number in range(LONG_INTERVALS_MAX + 3):
        await executor.submit([Task(f"{number}")])
        await trio.sleep(LONG_INTERVAL_SECONDS)

    begins = [each.begins_at - EPOCH for each in executor.timeline.long_since(0)]

    assert begins == [number * LONG_INTERVAL_SECONDS for number in range(3, LONG_INTERVALS_MAX + 3)]


async def test_a_clock_that_is_set_back_takes_the_day_along(run_here: RunHere, autojump_clock: MockClock) -> None:
    ahead = 3600.0
    executor = await run_here(LocalStore(now=lambda: virtual_now() + ahead), pool_size=1)
    for number in range(3):
        await executor.submit([Task(f"{number}")])
        await trio.sleep(LONG_INTERVAL_SECONDS)
    ahead = 0.0
    await executor.submit([Task("after")])
    await trio.sleep(1)

    intervals = executor.timeline.long_since(0)

    assert sum(each.started for each in intervals) == 4
    assert max(each.begins_at for each in intervals) <= virtual_now()
