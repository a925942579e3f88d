"""Every filter and every pair of filters finds what ``Filter.matches`` says, in pages of any size, in every store.

A store joins with a ``Kind``: how to open a store on a queue of its own. A store in a file is opened anew before it is
asked, so that it also finds what it has restored.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from pexecutor import Ending, LocalStore, Outcome, Record, Running, State, Task
from pexecutor.stores import PageRequest, Store
from pexecutor.stores.find import Filter
from pexecutor.stores.local import listing
from pexecutor.stores.sqlite.database import Database
from pexecutor.stores.sqlite.journal import SqliteJournal
from pexecutor.stores.valkey import ValkeyStore

from .valkey.fake import FakeValkey
from .valkey.links import SureLink

EPOCH: Final = 1_800_000_000.0

HANDLERS = ("sleep", "send", "copy")
TAGS = ("a", "b", "c")
ERRORS = ("it broke", "It broke", "")

Tasks = st.lists(
    st.builds(
        Task,
        name=st.sampled_from(["x", "xy", "xyz", "y", "z-1"]),
        handler=st.sampled_from(HANDLERS),
        tags=st.lists(st.sampled_from(TAGS), unique=True).map(tuple),
        priority=st.integers(-1, 1),
        delay=st.sampled_from([0, 0, 0, 3000, 600_000]),
        retries=st.integers(0, 1),
        on_conflict=st.sampled_from(["reject", "latest", "supersede"]),
        keep=st.sampled_from([None, None, 5000]),
    ),
    min_size=1,
    max_size=4,
)
Steps = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), Tasks),
        st.tuples(st.just("submit"), Tasks),
        st.tuples(st.just("start"), st.integers(1, 3)),
        st.tuples(st.just("end"), st.sampled_from(list(Outcome)), st.sampled_from(ERRORS)),
        st.tuples(st.just("release")),
        st.tuples(st.just("cancel"), st.lists(st.integers(0, 20), min_size=1, max_size=5)),
        st.tuples(st.just("move"), st.lists(st.integers(0, 20), min_size=1, max_size=5), st.integers(-1, 1)),
        st.tuples(st.just("pass"), st.sampled_from([0.5, 4.0])),
    ),
    min_size=3,
    max_size=25,
)
FIRST: Final[list[tuple[Any, ...]]] = [
    ("submit", [Task("x", tags=("a",)), Task("xy", handler="send"), Task("y", tags=("b", "a")), Task("z-1")]),
    ("start", 4),
    ("end", Outcome.SUCCEEDED, ""),
    ("end", Outcome.FAILED, "it broke"),
    ("end", Outcome.SUCCEEDED, ""),
    ("end", Outcome.TIMED_OUT, "It broke"),
    ("submit", [Task("x", handler="send"), Task("xy", tags=("a", "c"))]),
    ("start", 2),
    ("end", Outcome.SUCCEEDED, ""),
    ("end", Outcome.FAILED, "It broke"),
    ("submit", [Task("xyz", delay=600_000), Task("x"), Task("y", priority=1, handler="copy")]),
]
"""Steps with which each example begins, so that each has records of both parts of the history."""

Times = st.integers(0, 20).map(lambda half_seconds: EPOCH + half_seconds / 2)
CRITERIA: Final[dict[str, st.SearchStrategy[Any]]] = {
    "state": st.sampled_from(list(State)),
    "name": st.sampled_from(["x", "xy", "xyz", "none"]),
    "outcome": st.sampled_from(list(Outcome)),
    "handler": st.sampled_from([*HANDLERS, "none"]),
    "tags": st.lists(st.sampled_from(TAGS), unique=True, min_size=1).map(tuple),
    "name_prefix": st.sampled_from(["x", "xy", "z-", "none"]),
    "since": Times,
    "until": Times,
    "finished_since": Times,
    "error": st.sampled_from(["broke", "It", "none"]),
}
SINGLE_OR_PAIR: Final = [*((name,) for name in CRITERIA), *combinations(CRITERIA, 2)]


class Kind:
    """A kind of store.

    Parameters:
        opened: opens a store on the queue of this directory, with this clock.
        is_kept: whether to open a second store before the first question.
    """

    def __init__(
        self, opened: Callable[[Path, Callable[[], float]], AbstractAsyncContextManager[Store]], *, is_kept: bool
    ) -> None:
        self.opened = opened
        self.is_kept = is_kept


@asynccontextmanager
async def in_memory(_: Path, now: Callable[[], float]) -> AsyncIterator[Store]:
    await trio.lowlevel.checkpoint()
    yield LocalStore(queue_size=1000, now=now, tag=1)


@asynccontextmanager
async def in_a_file(directory: Path, now: Callable[[], float]) -> AsyncIterator[Store]:
    store = LocalStore(
        queue_size=1000, now=now, journal=SqliteJournal(Database(directory / "tasks.db", durability="normal"))
    )
    async with store.opened():
        yield store


@asynccontextmanager
async def on_a_server(_: Path, now: Callable[[], float]) -> AsyncIterator[Store]:
    store = ValkeyStore(SureLink(FakeValkey(now)), node="n", queue_size=1000)
    async with store.opened():
        yield store


KINDS: Final = {
    "memory": Kind(in_memory, is_kept=False),
    "sqlite": Kind(in_a_file, is_kept=True),
    "valkey": Kind(on_a_server, is_kept=False),
}


class Driver:
    """Takes the steps that fill a store."""

    def __init__(self) -> None:
        self.now = EPOCH
        self.store: Store
        self._ids: list[str] = []
        self._running: list[Running] = []

    def clock(self) -> float:
        return self.now

    async def do(self, verb: str, *arguments: Any) -> None:
        self.now += 0.25
        await getattr(self, f"_{verb}")(*arguments)

    async def _submit(self, tasks: Sequence[Task]) -> None:
        verdicts = await self.store.submit(tasks)
        self._ids += [verdict.record.id for verdict in verdicts if verdict.verdict == "accepted"]

    async def _start(self, number: int) -> None:
        await self.store.page(PageRequest(limit=1))  # so that tasks that are due are pending
        if self.store.statistics().pending:
            self._running += await self.store.claim(number)

    async def _end(self, outcome: Outcome, error: str) -> None:
        if self._running:
            await self.store.finish([(self._running.pop(0), Ending(outcome, error))])

    async def _release(self) -> None:
        await self.store.release(self._running[:1])
        del self._running[:1]

    async def _cancel(self, which: Sequence[int]) -> None:
        await self.store.cancel_many([self._ids[each] for each in which if each < len(self._ids)])

    async def _move(self, which: Sequence[int], priority: int) -> None:
        await self.store.change_many([self._ids[each] for each in which if each < len(self._ids)], priority=priority)

    async def _pass(self, seconds: float) -> None:
        self.now += seconds
        await trio.lowlevel.checkpoint()


async def everything(store: Store) -> list[Record]:
    return (await store.page(PageRequest(limit=10_000))).records


async def found(store: Store, criteria: Filter, limit: int) -> list[Record]:
    records: list[Record] = []
    cursor: str | None = None
    while True:
        page = await store.page(PageRequest(**msgspec.structs.asdict(criteria), limit=limit, cursor=cursor))
        assert len(page.records) <= limit
        records += page.records
        if (cursor := page.next_cursor) is None:
            return records


def run(kind: Kind, call: Callable[[Kind, Path, Driver], Any]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        trio.run(call, kind, Path(directory), Driver())


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=20)
@given(steps=Steps, data=st.data())
def test_every_filter_and_pair_finds_what_it_matches(
    kind: str, steps: list[tuple[Any, ...]], data: st.DataObject
) -> None:
    values = {name: data.draw(strategy, label=name) for name, strategy in CRITERIA.items()}
    limit, examined = data.draw(st.sampled_from([1, 2, 1000])), data.draw(st.sampled_from([1, 3, 1000]))

    async def look(store: Store) -> None:
        records = await everything(store)
        for names in SINGLE_OR_PAIR:
            criteria = Filter(**{name: values[name] for name in names})
            assert await found(store, criteria, limit) == [record for record in records if criteria.matches(record)]

    async def fill_and_look(kind: Kind, directory: Path, driver: Driver) -> None:
        async with kind.opened(directory, driver.clock) as driver.store:
            for step in [*FIRST, *steps]:
                await driver.do(*step)
            if not kind.is_kept:
                await look(driver.store)
        if kind.is_kept:
            async with kind.opened(directory, driver.clock) as store:
                await look(store)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "EXAMINED_RECORDS_MAX", examined)
        run(KINDS[kind], fill_and_look)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=25)
@given(first=Steps, between=st.lists(Steps, max_size=8), data=st.data())
def test_no_record_that_stays_is_missing_or_listed_twice(
    kind: str, first: list[tuple[Any, ...]], between: list[list[tuple[Any, ...]]], data: st.DataObject
) -> None:
    names = data.draw(st.sampled_from([(), *SINGLE_OR_PAIR]))
    criteria = Filter(**{name: data.draw(CRITERIA[name], label=name) for name in names})
    limit, examined = data.draw(st.integers(1, 3)), data.draw(st.sampled_from([1, 3, 1000]))

    async def page_by_page(kind: Kind, directory: Path, driver: Driver) -> None:
        async with kind.opened(directory, driver.clock) as driver.store:
            for step in [*FIRST, *first]:
                await driver.do(*step)
            listed: list[Record] = []
            stayed = {record.serial: record for record in await everything(driver.store)}
            cursor: str | None = None
            changes = iter(between)
            while True:
                page = await driver.store.page(
                    PageRequest(**msgspec.structs.asdict(criteria), limit=limit, cursor=cursor)
                )
                now = {record.serial: record for record in await everything(driver.store)}
                stayed = {serial: record for serial, record in stayed.items() if now.get(serial) == record}
                listed += page.records
                if (cursor := page.next_cursor) is None:
                    break
                for step in next(changes, []):
                    await driver.do(*step)
            wanted = sorted(serial for serial, record in stayed.items() if criteria.matches(record))
            assert sorted(record.serial for record in listed if record.serial in stayed) == wanted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "EXAMINED_RECORDS_MAX", examined)
        run(KINDS[kind], page_by_page)
