"""A request with a key submits its tasks once; each repetition gets the first reply."""

from __future__ import annotations

from functools import partial

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock

from pexecutor import Accepted, Draining, Duplicate, Executor, Full, InvalidTaskError, LocalStore, Outcome, Task
from pexecutor.conformance.requests import DIGEST, key
from pexecutor.conformance.steps import cancelled_at_step, every_await
from pexecutor.stores.answers import Answer

from ..conftest import RunHere, virtual_now
from ..fakes import FakeJournal


async def test_a_request_is_run_once(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here(LocalStore(now=virtual_now))
    verdicts = await executor.requests.submit(key("1"), DIGEST, [Task("a", duration=10)])
    assert isinstance(verdicts, list)
    [verdict] = verdicts
    assert isinstance(verdict, Accepted)
    finished = await executor.wait(verdict.record.id, seconds_max=5)
    answer = await executor.requests.submit(key("1"), b"other", [Task("a")])
    assert isinstance(answer, Answer)
    assert [short.id for short in answer.verdicts] == [finished.id]
    statistics = executor.statistics()
    assert (statistics.submitted, statistics.duplicates, statistics.rejected) == (1, 0, 0)


async def test_what_is_refused_is_counted_and_decided_anew(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here(LocalStore(queue_size=1, now=virtual_now))
    await executor.submit([Task("a", delay=1000)])
    for _ in range(2):
        verdicts = await executor.requests.submit(key("1"), DIGEST, [Task("a"), Task("b")])
        assert isinstance(verdicts, list)
        assert [type(verdict) for verdict in verdicts] == [Duplicate, Full]
    statistics = executor.statistics()
    assert (statistics.submitted, statistics.duplicates, statistics.rejected) == (1, 2, 2)


async def test_a_superseded_task_is_stopped(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here(LocalStore(now=virtual_now))
    [first] = await executor.submit([Task("a", duration=60_000)])
    assert isinstance(first, Accepted)
    await trio.sleep(1)
    await executor.requests.submit(key("1"), DIGEST, [Task("a", on_conflict="supersede")])
    record = await executor.wait(first.record.id, seconds_max=5)
    assert getattr(record, "outcome", None) is Outcome.CANCELLED
    assert trio.current_time() < 2


async def test_a_remembered_answer_is_given_during_a_drain(autojump_clock: MockClock, run_here: RunHere) -> None:
    executor = await run_here(LocalStore(now=virtual_now))
    await executor.requests.submit(key("1"), DIGEST, [Task("a", duration=1000)])
    await trio.sleep(0.1)
    executor.drain()
    assert isinstance(await executor.requests.submit(key("1"), DIGEST, [Task("a")]), Answer)
    verdicts = await executor.requests.submit(key("2"), DIGEST, [Task("b")])
    assert isinstance(verdicts, list)
    assert [type(verdict) for verdict in verdicts] == [Draining]


async def test_a_remembered_answer_needs_no_handler(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    store = LocalStore(now=virtual_now)
    task = Task("a", handler="does")
    await store.answers.submit(key("1"), DIGEST, [task])
    executor = Executor(store)
    await nursery.start(executor.run)
    assert isinstance(await executor.requests.submit(key("1"), DIGEST, [task]), Answer)
    with pytest.raises(InvalidTaskError):
        await executor.requests.submit(key("2"), DIGEST, [task])


async def test_a_cancelled_request_is_whole_on_a_slow_disk() -> None:
    """Its tasks and its reply both exist or neither does, and a repetition submits the tasks exactly once."""
    for step in every_await():
        journal = FakeJournal(awaits=3)
        store = LocalStore(journal=journal, now=virtual_now)
        async with store.opened():
            cut = await cancelled_at_step(step, partial(store.answers.submit, key("1"), DIGEST, [Task("a")]))
            answer = await store.answers.remembered(key("1"))
            assert store.statistics().pending == (0 if answer is None else 1)
            await store.answers.submit(key("1"), DIGEST, [Task("a")])
            assert store.statistics().pending == 1
        if not cut:
            return


async def test_a_failed_write_remembers_nothing() -> None:
    journal = FakeJournal()
    journal.fails_at = {1}
    store = LocalStore(journal=journal, now=virtual_now)
    async with store.opened():
        with pytest.raises(Exception, match="the disk failed"):
            await store.answers.submit(key("1"), DIGEST, [Task("a")])
        assert await store.answers.remembered(key("1")) is None
        assert isinstance(await store.answers.submit(key("1"), DIGEST, [Task("a")]), list)
