"""Tests of the event feed: its events, their order, and readers that connect late."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pexecutor import Ending, Finished, LocalStore, Outcome, Record, Running, Task
from pexecutor.handlers import Context
from pexecutor.observe.events import (
    DrainBegun,
    Feed,
    Gap,
    Happening,
    OccurrenceSkipped,
    Reader,
    Reloaded,
    TaskProgress,
    TasksPaused,
    TasksResumed,
)
from pexecutor.stores import Watcher

from ..conftest import RunHere, virtual_now
from ..fakes import Doing


def progress(done: float) -> TaskProgress:
    return TaskProgress(Running(1, Task("a"), 0.0, (), 0.0), done, None)


def told(reader: Reader) -> list[str]:
    """Return the readable events in short form."""
    return [short(event.what) for event in reader.receive_nowait(1000)]


def short(what: Happening) -> str:
    match what:
        case TaskProgress():
            return f"{what.record.task.name} {what.done:g}"
        case DrainBegun():
            return "drain"
        case Gap():
            return "gap"
        case Reloaded():
            return "reloaded"
        case OccurrenceSkipped():
            return f"{what.schedule} {what.reason}"
        case TasksPaused() | TasksResumed():
            return f"{type(what).__name__} {what.handler}"
        case Finished() as record:
            return f"{record.task.name} {record.outcome}"
        case record:
            return f"{record.task.name} {record.state}"


async def test_a_reader_gets_what_happens_from_then_on_in_order() -> None:
    feed = Feed(begin=7)
    feed.put(progress(1))

    with feed.reading() as reader:
        assert reader.receive_nowait(10) == []
        feed.put(progress(2))
        feed.put(progress(3))
        events = await reader.receive(10)

    assert [event.number for event in events] == [9, 10]
    assert [event.what for event in events] == [progress(2), progress(3)]


async def test_a_reader_who_comes_back_gets_what_he_missed() -> None:
    feed = Feed(begin=7)
    for done in range(3):
        feed.put(progress(done))

    with feed.reading(after=8) as reader:
        assert told(reader) == ["a 1", "a 2"]


@pytest.mark.parametrize("after", [-1, 0, 6, 11, 10**15])
async def test_who_comes_back_with_a_number_that_is_not_known_is_told_of_a_gap(after: int) -> None:
    feed = Feed(begin=7)
    for done in range(3):
        feed.put(progress(done))

    with feed.reading(after=after) as reader:
        [gap] = reader.receive_nowait(10)
        assert (gap.number, gap.what) == (10, Gap())
        feed.put(progress(3))
        assert told(reader) == ["a 3"]


async def test_a_reader_who_is_too_slow_is_told_of_a_gap_and_nothing_is_kept_for_him() -> None:
    feed = Feed(events_max=3)
    with feed.reading() as slow, feed.reading() as exact:
        for done in range(3):
            feed.put(progress(done))
        assert told(exact) == ["a 0", "a 1", "a 2"]
        feed.put(progress(3))
        assert told(slow) == ["gap"]
        assert told(exact) == ["a 3"]


async def test_numbers_of_an_earlier_process_are_lower() -> None:
    earlier, later = Feed(), Feed()
    earlier.put(progress(0))

    assert earlier.last - 1 <= later.last
    assert later.last > 1_000_000_000_000_000


async def test_a_reader_waits_and_ends_with_the_feed(autojump_clock: MockClock) -> None:
    feed = Feed()
    with feed.reading() as reader:
        with trio.move_on_after(60) as waiting:
            await reader.receive(1)
        assert waiting.cancelled_caught
        feed.put(progress(1))
        feed.end()
        assert [event.what for event in await reader.receive(5)] == [progress(1)]
        with pytest.raises(trio.EndOfChannel):
            await reader.receive(5)


async def test_a_task_is_told_of_in_every_state(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await run_here(pool_size=1)
    with executor.events.reading() as reader:
        await executor.submit([Task("a", delay=1000, duration=10)])
        await trio.sleep(5)
        assert told(reader) == ["a scheduled", "a pending", "a running", "a succeeded"]


async def test_a_retry_a_move_a_cancel_and_a_release_are_told_of(run_here: RunHere, autojump_clock: MockClock) -> None:
    async def work(context: Context, task: Task) -> None:
        if task.retries and context.attempt == 1:
            raise LookupError("once")
        await trio.sleep_forever()

    executor = await run_here(handler=Doing(work), pool_size=1)
    with executor.events.reading() as reader:
        await executor.submit([Task("a", retries=1, retry_delay=0)])
        await wait_all_tasks_blocked()
        assert told(reader) == ["a pending", "a running", "a scheduled", "a pending", "a running"]
        [accepted] = await executor.submit([Task("b")])
        assert accepted.verdict == "accepted"
        await executor.change_waiting(accepted.record.id, priority=5)
        await executor.cancel(accepted.record.id)
        assert told(reader) == ["b pending", "b pending", "b cancelled"]
        executor.hard_stop()
        await executor.stopped.wait()
        assert told(reader) == ["drain", "a pending"]
        with pytest.raises(trio.EndOfChannel):
            await reader.receive(1)


async def test_what_is_told_can_be_read_and_its_name_is_free(autojump_clock: MockClock) -> None:
    store = LocalStore(now=virtual_now)
    seen: list[bool] = []

    def look(records: Sequence[Record]) -> None:
        for record in records:
            free = store._book.holder("a") is None
            seen.append(store._book.get(record.serial) is record and free == isinstance(record, Finished))

    store.watch(Watcher(look))
    await store.submit([Task("a")])
    [running] = await store.claim(1)
    await store.finish([(running, Ending(Outcome.SUCCEEDED))])
    assert seen == [True, True, True]


async def test_progress_is_told_at_a_pace_and_only_to_somebody(run_here: RunHere, autojump_clock: MockClock) -> None:
    async def work(context: Context, task: Task) -> None:
        for done in range(1000):
            context.progress(done, 1000)
            await trio.sleep(0.01)

    executor = await run_here(handler=Doing(work), pool_size=1)
    before = executor.events.last
    await executor.submit([Task("a")])
    await trio.sleep(2)
    assert executor.events.last == before + 2

    with executor.events.reading(wanted=lambda what: isinstance(what, TaskProgress)) as reader:
        await trio.sleep(2)
        events = reader.receive_nowait(1000)
    assert 9 <= len(events) <= 11
    done = [event.what.done for event in events if isinstance(event.what, TaskProgress)]
    assert done == sorted(done)


async def test_the_ring_holds_nothing_that_no_listing_shows(run_here: RunHere, autojump_clock: MockClock) -> None:
    async def work(context: Context, task: Task) -> str:
        context.log("x" * 1000)
        return "y" * 1000

    executor = await run_here(handler=Doing(work), pool_size=1)
    with executor.events.reading() as reader:
        await executor.submit([Task("a", params={"z": "z" * 1000})])
        await wait_all_tasks_blocked()
        for event in reader.receive_nowait(10):
            assert len(repr(event)) < 900
