"""The calls of checks to a store, each with a bounded wait and a sentence for its failure."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

import trio

from ..errors import PexecutorError
from ..limits.defaults import PAGE_RECORDS_MAX
from ..stores import PageRequest, Store
from ..task import Accepted, Ending, Finished, InFlight, Outcome, Record, Running, Scheduled, State, Task, Verdict
from .guarantee import BrokenPromiseError, expect

T = TypeVar("T")

WAIT_SECONDS_MAX: Final = 4.0
"""How long anything may take that should happen at once, in seconds."""

REAP_SECONDS_MAX: Final = 8.0
"""How long a store may take to find that a process is dead, in seconds."""

LOOK_SECONDS: Final = 0.02
IDLE_SECONDS: Final = 0.15
"""How long to check that nothing happens, in seconds."""

DONE: Final = Ending(Outcome.SUCCEEDED)
FAILED: Final = Ending(Outcome.FAILED, "on purpose")


async def accept(store: Store, *tasks: Task) -> list[InFlight]:
    """Submit tasks that all have to be accepted; return their records."""
    verdicts = await store.submit(tasks)
    records = [verdict.record for verdict in verdicts if isinstance(verdict, Accepted)]
    expect(len(records) == len(tasks), f"{_named(tasks)} should be accepted, but got {words(verdicts)}")
    return records


def words(verdicts: Sequence[Verdict]) -> list[str]:
    """Return the verdicts as one word each."""
    return [verdict.verdict for verdict in verdicts]


async def submit(store: Store, *tasks: Task) -> list[str]:
    """Submit tasks; return the verdicts as one word each."""
    return words(await store.submit(tasks))


async def start(store: Store, count: int = 1) -> list[Running]:
    """Claim until this many tasks run; return them."""
    started: list[Running] = []
    with within(WAIT_SECONDS_MAX, f"{count} tasks should start, but did not"):
        while len(started) < count:
            started += await store.claim(count - len(started))
    return started


async def start_nothing(store: Store, why: str) -> None:
    """Check that no task can be started."""
    with trio.move_on_after(IDLE_SECONDS):
        started = await store.claim(1)
        raise BrokenPromiseError(f"{_named([record.task for record in started])} was started, but {why}")


async def end(store: Store, running: Running, ending: Ending = DONE) -> Finished:
    """Record the end of a task's last attempt."""
    [record] = await store.finish([(running, ending)])
    if not isinstance(record, Finished):
        raise BrokenPromiseError(f"{running.task.name!r} should have ended, but is {record}")
    return record


async def end_for_now(store: Store, running: Running, ending: Ending = FAILED) -> Scheduled:
    """Record the end of an attempt that is followed by a retry."""
    [record] = await store.finish([(running, ending)])
    if not isinstance(record, Scheduled):
        raise BrokenPromiseError(f"{running.task.name!r} should be retried, but is {record}")
    return record


async def listed(
    store: Store, state: State | None = None, *, name: str | None = None, limit: int = PAGE_RECORDS_MAX
) -> list[Record]:
    """Return a whole listing, read page by page."""
    records: list[Record] = []
    cursor: str | None = None
    while True:
        page = await store.page(PageRequest(state, name, limit=limit, cursor=cursor))
        records += page.records
        cursor = page.next_cursor
        if cursor is None:
            return records
        expect(len(page.records) == limit, f"a page of {limit} has only {len(page.records)} records, but a next page")


async def listed_names(store: Store, state: State | None = None) -> list[str]:
    """Return the names in a listing."""
    return [record.task.name for record in await listed(store, state)]


def ended_as(record: Record) -> Outcome | None:
    """Return the outcome of a task, or ``None`` if it has not ended."""
    return record.outcome if isinstance(record, Finished) else None


@contextmanager
def within(seconds: float, sentence: str) -> Iterator[None]:
    """Raise ``BrokenPromiseError`` with this sentence if the context takes longer than ``seconds``."""
    with trio.move_on_after(seconds) as scope:
        yield
    expect(not scope.cancelled_caught, f"{sentence} (waited {seconds:g} s)")


async def until(look: Callable[[], Awaitable[bool]], sentence: str, *, seconds: float = WAIT_SECONDS_MAX) -> None:
    """Repeat a check until it succeeds."""
    with within(seconds, sentence):
        while True:
            if await look():
                return
            await trio.sleep(LOOK_SECONDS)


async def nothing_runs(store: Store) -> None:
    """Wait until the store has found that the previous process is dead."""

    async def look() -> bool:
        return not await listed(store, State.RUNNING)

    await until(look, "the tasks of a dead process still count as running", seconds=REAP_SECONDS_MAX)


@contextmanager
def refused(error: type[PexecutorError], what: str) -> Iterator[None]:
    """Check that the context raises this error."""
    try:
        yield
    except error:
        return
    raise BrokenPromiseError(f"{what} should raise {error.__name__}, but did not")


async def at_once(calls: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """Make calls concurrently; return their results in the order of the calls."""
    answers: dict[int, T] = {}

    async def answer(place: int, call: Callable[[], Awaitable[T]]) -> None:
        answers[place] = await call()

    async with trio.open_nursery() as nursery:
        for place, call in enumerate(calls):
            nursery.start_soon(answer, place, call)
    return [answers[place] for place in sorted(answers)]


def _named(tasks: Sequence[Task]) -> str:
    shown = ", ".join(repr(task.name) for task in tasks[:5])
    return shown + (f" and {len(tasks) - 5} more" if len(tasks) > 5 else "")
