"""Crashes of a server on its file: which starts are written down, and how many crashes a task may have."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pexecutor import Finished, LocalStore, Outcome, Pending, Record, Running, Task
from pexecutor.stores.local.crashes import CAUTION_SECONDS, Beside
from pexecutor.stores.sqlite.database import Database
from pexecutor.stores.sqlite.journal import SqliteJournal
from pexecutor.stores.sqlite.unwritable import Unwritten
from pexecutor.task import Rare

Live = Callable[..., AbstractAsyncContextManager[LocalStore]]


class CountingDatabase(Database):
    """A file that notes which starts are written to it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.transactions = 0
        self.starts: list[str] = []

    def write(self, records: Sequence[Record], *others: Any) -> Unwritten:
        self.transactions += 1
        self.starts += [record.task.name for record in records if isinstance(record, Running)]
        return super().write(records, *others)

    def close(self, in_order: bool = True) -> None:
        super().close(in_order and not self.dies)

    dies = False


@pytest.fixture
def databases() -> list[CountingDatabase]:
    return []


@pytest.fixture
def live(tmp_path: Path, databases: list[CountingDatabase]) -> Live:
    """One life of a store, whose function handlers end with the process. It dies at its end with ``dies``."""

    async def in_thread(function: Callable[..., Any], /, *arguments: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return function(*arguments)

    @asynccontextmanager
    async def live(*, dies: bool = False, **settings: Any) -> AsyncIterator[LocalStore]:
        database = CountingDatabase(tmp_path / "pexecutor.db")
        database.dies = dies
        databases.append(database)
        journal = SqliteJournal(database, in_thread=in_thread)
        store = LocalStore(journal=journal, ends_with_us={"sleep"}, **settings)
        async with store.opened():
            yield store

    return live


async def test_in_normal_running_a_start_is_not_written(live: Live, databases: list[CountingDatabase]) -> None:
    async with live() as store:
        await store.submit([Task(f"task-{number}") for number in range(100)])
        before = databases[0].transactions
        assert len(await store.claim(100)) == 100
    assert databases[0].starts == []
    assert databases[0].transactions == before


async def test_after_an_end_in_order_neither(live: Live, databases: list[CountingDatabase]) -> None:
    async with live() as store:
        await store.submit([Task("a")])
    async with live() as store:
        await store.claim(1)
    assert databases[1].starts == []


async def test_after_a_crash_each_start_is_written_for_a_minute(
    live: Live, databases: list[CountingDatabase], autojump_clock: MockClock
) -> None:
    async with live(dies=True) as store:
        await store.submit([Task("a"), Task("b"), Task("c")])
        await store.claim(1)
    async with live() as store:
        assert store.claim_nowait(3) == []
        await store.claim(1)
        await trio.sleep(CAUTION_SECONDS - 1)
        await store.claim(1)
        await trio.sleep(1)
        [running] = store.claim_nowait(1)
    assert databases[1].starts == ["a", "b"]
    assert running.task.name == "c"


async def test_the_start_of_a_task_with_a_crash_is_always_written(
    live: Live, databases: list[CountingDatabase], autojump_clock: MockClock
) -> None:
    async with live(dies=True) as store:
        await store.submit([Task("a", on_crash="rerun")])
    for crashes in range(3):
        async with live(dies=True) as store:
            await trio.sleep(2 * CAUTION_SECONDS if crashes else 0)
            [running] = await store.claim(1)
            assert running.crashes == crashes
            assert databases[-1].starts == ["a"]
    async with live() as store:
        assert store.statistics().finished == {Outcome.ABANDONED: 1}


async def test_what_could_not_be_released_counts_as_cut_off(live: Live, databases: list[CountingDatabase]) -> None:
    """Whatever is found running was cut off, also when the file was closed in order."""
    async with live(dies=True) as store:
        await store.submit([Task("a")])
    async with live() as store:
        await store.claim(1)
    async with live() as store:
        [running] = await store.claim(1)
        assert running.crashes == 1
    assert databases[2].starts == ["a"], "and its starts are written"


async def test_an_abandoned_task_tells_why(live: Live) -> None:
    async with live(dies=True) as store:
        await store.submit([Task("once")])
    async with live(dies=True, crashes_max=1) as store:
        [running] = await store.claim(1)
    async with live(crashes_max=1) as store:
        record = await store.get(running.id)
        assert isinstance(record, Finished)
        assert record.ending.error == (
            "the server was lost once while this task ran, and `crashes_max` allows no more: "
            "if the task is not the cause, submit it again"
        )


def pending(*crashes: int) -> list[Pending]:
    return [
        Pending(serial, Task(f"task-{serial}"), 0.5, (), rare=Rare(crashes=number) if number else None)
        for serial, number in enumerate(crashes)
    ]


@pytest.mark.parametrize(
    ("waiting", "running", "crashes_max", "started"),
    [
        ([0, 0, 0], [], 3, [0, 0, 0]),
        ([2, 0, 2, 1, 0], [], 3, [2, 0, 0]),
        ([1, 0, 2, 1, 0], [], 3, [1, 0, 1, 0]),
        ([1, 2, 0], [2], 3, [0]),
        ([2, 1, 0], [1], 3, [1, 0]),
        ([2, 2, 0], [], 1000, [2, 2, 0]),
        ([1, 1, 0], [], 2, [1, 0]),
        ([1, 1, 0], [], 1, [1, 0]),
        ([5, 1], [], 3, [5]),
    ],
)
def test_who_may_start_together(waiting: list[int], running: list[int], crashes_max: int, started: list[int]) -> None:
    beside = [record for record in pending(*running) if record.crashes]
    there = Beside(beside, crashes_max)
    assert [record.crashes for record in pending(*waiting) if there.lets_start(record)] == started
