"""Tests of the counts and durations per handler, in virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pexecutor import Context, Executor, HandlerFailedError, LocalStore, Outcome, Record, Task
from pexecutor.handlers import BUILT_IN, Catalogue
from pexecutor.observe.histogram import Histogram
from pexecutor.stores.local.journal_protocol import NOTHING_BESIDE, BesideRecords

from ..conftest import RunHere, virtual_now
from ..fakes import Doing, FakeJournal


async def fail(_context: Context, _task: Task) -> None:
    await trio.sleep(3)
    raise HandlerFailedError("no luck")


HANDLERS = Catalogue({"sleep": BUILT_IN["sleep"], "fails": Doing(fail)})


def observed(histogram: Histogram) -> tuple[int, Any]:
    """Return the number of observations and their sum."""
    return sum(histogram.counts), pytest.approx(histogram.sum)


async def ended(executor: Executor, *tasks: Task) -> None:
    for verdict in await executor.submit(tasks):
        await executor.wait(verdict.record.id)  # type: ignore[union-attr]


async def test_a_bucket_takes_what_is_at_most_its_bound() -> None:
    histogram = Histogram([1, 5])

    for seconds in (0.5, 1, 1.001, 5, 6, -2):
        histogram.observe(seconds)

    assert histogram.counts == [3, 2, 1]
    assert histogram.sum == pytest.approx(13.501)


async def test_counts_are_kept_by_handler_and_add_up(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here(pool_size=1, queue_size=2, handlers=HANDLERS)
    tasks = [Task("a", duration=1000), Task("b", handler="fails"), Task("a"), Task("c", handler="fails")]
    await ended(executor, *tasks[:2])
    await executor.submit([*tasks, Task("d")])
    await trio.testing.wait_all_tasks_blocked()

    now = executor.statistics()

    assert list(now.handlers) == ["fails", "sleep"], "each from the start"
    sleep, fails = now.handlers["sleep"], now.handlers["fails"]
    assert (sleep.submitted, sleep.duplicates, sleep.rejected, sleep.started) == (2, 1, 1, 2)
    assert (fails.submitted, fails.duplicates, fails.rejected, fails.started) == (2, 0, 1, 1)
    assert (now.submitted, now.duplicates, now.rejected, now.started) == (4, 1, 2, 3)
    assert now.busy == 1
    assert now.store.finished_by_handler == {"sleep": {"succeeded": 1}, "fails": {"failed": 1}}
    assert now.store.finished == {"succeeded": 1, "failed": 1}


async def test_the_time_in_the_queue_begins_when_a_task_is_due(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here(pool_size=1)

    await ended(executor, Task("first", duration=2000), Task("waits"), Task("later", delay=60_000))

    assert observed(executor.timings().queued["sleep"]) == (3, 2.0)


async def test_each_attempt_is_timed_and_only_the_first_has_waited(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    executor = await run_here(handlers=HANDLERS)

    await ended(executor, Task("a", handler="fails", retries=2, retry_delay=50_000))

    assert observed(executor.timings().attempts["fails", Outcome.FAILED]) == (3, 9.0)
    assert observed(executor.timings().queued["fails"]) == (1, 0.0)
    assert executor.statistics().handlers["fails"].retried == 2


async def test_what_the_stop_cut_off_was_released_and_is_no_attempt(
    autojump_clock: MockClock, run_here: RunHere
) -> None:
    executor = await run_here()
    await executor.submit([Task("a", duration=60_000)])
    await trio.testing.wait_all_tasks_blocked()

    executor.hard_stop()
    await executor.stopped.wait()

    assert executor.statistics().handlers["sleep"].released == 1
    assert executor.timings().attempts == {}


async def test_a_commit_that_was_made_is_timed(autojump_clock: MockClock, run_here: RunHere) -> None:
    class Takes(FakeJournal):
        async def commit(
            self, changes: Sequence[Record], acceptances: int, beside: BesideRecords = NOTHING_BESIDE
        ) -> None:
            await trio.sleep(0.25)

    executor = await run_here(LocalStore(journal=Takes(), now=virtual_now))

    await ended(executor, Task("a"))

    assert observed(executor.timings().commits) == (3, 0.75), "accepted, started, finished"
