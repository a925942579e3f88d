"""Rows that cannot be written fail their own task; rows that a file holds already are repaired, and hide nothing."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
import trio

from pexecutor import (
    Attempt,
    Ending,
    ExpiredTaskError,
    Finished,
    Following,
    LocalStore,
    Outcome,
    PageRequest,
    Pending,
    Record,
    Running,
    Scheduled,
    Task,
)
from pexecutor.stores.local.recovery import Recovered
from pexecutor.stores.mending import mended
from pexecutor.stores.sqlite.database import Database
from pexecutor.stores.sqlite.inspection import check
from pexecutor.stores.sqlite.journal import SqliteJournal
from pexecutor.values import ERROR_BYTES_MAX, RETRY_AFTER_SECONDS_MAX
from pexecutor.web.api.wire import detail

Live = Callable[..., AbstractAsyncContextManager[LocalStore]]

SURROGATE = "caf\udce9.txt"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pexecutor.db"


@pytest.fixture
def live(path: Path) -> Live:
    @asynccontextmanager
    async def live(**settings: Any) -> AsyncIterator[LocalStore]:
        store = LocalStore(journal=SqliteJournal(Database(path)), **settings)
        async with store.opened():
            yield store

    return live


async def everything(store: LocalStore) -> list[Record]:
    return (await store.page(PageRequest())).records


UNWRITABLE = {
    "surrogate in the error": Ending(Outcome.FAILED, SURROGATE, retryable=False),
    "surrogate in the error of a retry": Ending(Outcome.FAILED, SURROGATE),
    "no number": Ending(Outcome.FAILED, "so", True, math.nan),
    "a result of another type": Ending(Outcome.SUCCEEDED, result=object()),  # type: ignore[arg-type]
    "an output of another type": Ending(Outcome.SUCCEEDED, output={"a": 1}),  # type: ignore[arg-type]
    "an integer without bound": Ending(Outcome.SUCCEEDED, result=2**70),  # type: ignore[arg-type]
    "an error of another type": Ending(Outcome.FAILED, error=object(), retryable=False),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("ending", UNWRITABLE.values(), ids=UNWRITABLE.keys())
async def test_an_outcome_that_cannot_be_written_fails_its_own_task(live: Live, ending: Ending) -> None:
    async with live() as store:
        await store.submit([Task("bad", retries=1, retry_delay=0), *(Task(f"task-{number}") for number in range(20))])
        bad, *others = await store.claim(21)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.finish, [(running, Ending(Outcome.SUCCEEDED)) for running in others[:10]])
            [record] = await store.finish([(bad, ending)])
        await store.finish([(running, Ending(Outcome.SUCCEEDED)) for running in others[10:]])
        outcomes = store.statistics().finished
        if isinstance(record, Finished):
            assert outcomes == {Outcome.SUCCEEDED: 20, Outcome.FAILED: 1}
        assert len([detail(record) for record in await everything(store)]) == 21
    async with live() as store:
        assert len([detail(record) for record in await everything(store)]) == 21
        if isinstance(record, Finished):
            found = await store.get(bad.id)
            assert found == record
            assert isinstance(found, Finished)
            assert "could not be written" in (found.ending.error or "")


async def test_it_fails_alone_among_endings_of_one_step(live: Live) -> None:
    async with live() as store:
        await store.submit([Task(f"task-{number}") for number in range(20)])
        started = await store.claim(20)
        endings = [Ending(Outcome.SUCCEEDED)] * 19 + [Ending(Outcome.FAILED, SURROGATE, retryable=False)]
        records = await store.finish(list(zip(started, endings, strict=True)))
        assert [record.outcome for record in records if isinstance(record, Finished)] == ["succeeded"] * 19 + ["failed"]
        await store.submit([Task("task-19")])
        assert store.statistics().trouble is None


LONG = "x" * 20_000_000
TRIED = (Attempt(1.0, 2.0, Outcome.FAILED, LONG),)

UNFIT: dict[str, Record] = {
    "a long error": Finished(9, Task("a"), 0.5, (), 3.0, Ending(Outcome.FAILED, LONG)),
    "long errors of attempts": Finished(9, Task("a"), 0.5, TRIED * 3, 3.0, Ending(Outcome.FAILED, LONG)),
    "a long error of one that waits": Pending(9, Task("a"), 0.5, TRIED),
    "control characters": Finished(9, Task("a"), 0.5, (), 3.0, Ending(Outcome.FAILED, "\x00\x1b[31m")),
    "no number of seconds": Finished(9, Task("a"), 0.5, (), 3.0, Ending(Outcome.FAILED, "so", True, math.nan)),
    "too many seconds": Scheduled(9, Task("a"), 0.5, TRIED, 1e12),
    "an infinite time": Scheduled(9, Task("a"), 0.5, TRIED, math.inf),
    "a start that is never due": Scheduled(9, Task("a"), 0.5, (), math.inf),
}


@pytest.mark.parametrize("unfit", UNFIT.values(), ids=UNFIT.keys())
async def test_an_unfit_record_is_mended_in_the_file(live: Live, path: Path, unfit: Record) -> None:
    store_some(path, unfit)
    recovered: list[Recovered] = []
    async with live(on_recovered=recovered.append, now=lambda: 5.0) as store:
        records = await everything(store)
        assert {record.task.name for record in records} == {"a", "before", "after"}
        for record in records:
            detail(record)
            assert mended(record) is record
            for attempt in record.attempts:
                assert len((attempt.error or "").encode()) <= ERROR_BYTES_MAX
            if isinstance(record, Scheduled) and record.attempts:
                assert record.due_at == 2.0 + RETRY_AFTER_SECONDS_MAX
    assert recovered[0].mended == 1
    again: list[Recovered] = []
    async with live(on_recovered=again.append, now=lambda: 5.0) as store:
        assert await everything(store) == records
    assert (again[0].mended, again[0].set_aside) == (0, 0)
    assert check(path).faults == []


def store_some(path: Path, record: Record) -> None:
    database = Database(path)
    database.open()
    database.write([Pending(1, Task("before"), 0.5, ()), record, Pending(10, Task("after"), 0.5, ())], [], 10)
    database.close()


SPOILT = {
    "no task": {"task": "{}"},
    "no JSON": {"task": "so"},
    "params of another type": {"task": '{"name":"a","params":[1]}'},
    "another state": {"state": "gone"},
    "no time of its end": {"state": "finished", "at": None, "ending": '{"outcome":"failed"}'},
    "no ending": {"state": "finished", "at": 1.0},
    "attempts that are none": {"attempts": '[{"started_at":null}]'},
    "a time in no calendar": {"submitted_at": 1e15},
    "a surrogate": {"task": '{"name":"\\udce9"}'},
    "no UTF-8": {"task": b'{"name":"\xff"}'},
    "crashes that are none": {"rare": "so"},
}


@pytest.mark.parametrize("columns", SPOILT.values(), ids=SPOILT.keys())
async def test_a_row_that_is_no_record_is_set_aside(live: Live, path: Path, columns: dict[str, Any]) -> None:
    store_some(path, Pending(9, Task("a"), 0.5, ()))
    with closing(sqlite3.connect(path)) as connection:
        for column, value in columns.items():
            casting = "CAST(? AS TEXT)" if isinstance(value, bytes) else "?"
            connection.execute(f"UPDATE tasks SET {column} = {casting} WHERE serial = 9", (value,))
        connection.commit()
    recovered: list[Recovered] = []
    async with live(on_recovered=recovered.append) as store:
        assert [record.task.name for record in await everything(store)] == ["before", "after"]
        [verdict] = await store.submit([Task("a")])
        assert verdict.verdict == "accepted", "its name is free"
    assert (recovered[0].waiting, recovered[0].set_aside) == (2, 1)
    with closing(sqlite3.connect(path)) as connection:
        connection.text_factory = bytes
        [(serial, reason, task)] = connection.execute("SELECT serial, reason, task FROM damaged")
        assert serial == 9
        assert reason
        assert task
    assert check(path).faults == []
    async with live(on_recovered=recovered.append) as store:
        assert recovered[1].set_aside == 0


async def test_who_followed_a_row_that_was_set_aside_has_its_turn(live: Live, path: Path) -> None:
    database = Database(path)
    database.open()
    database.write([Running(1, Task("a"), 0.5, (), 1.0), Following(2, Task("a"), 0.5, (), 1, False)], [], 2)
    database.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE tasks SET task = '{}' WHERE serial = 1")
        connection.commit()
    for _ in range(2):
        async with live(tag=0) as store:
            [record] = await everything(store)
            assert isinstance(record, Pending)
            assert record.serial == 2


async def test_an_id_that_was_set_aside_is_gone(live: Live, path: Path) -> None:
    async with live() as store:
        [verdict] = await store.submit([Task("a")])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE tasks SET task = '{}'")
        connection.commit()
    async with live() as store:
        with pytest.raises(ExpiredTaskError):
            await store.get(verdict.record.id)  # type: ignore[union-attr]


async def test_many_long_errors_are_not_in_memory_at_once(live: Live, path: Path) -> None:
    database = Database(path)
    database.open()
    error = "x" * 9_000_000
    for serial in range(1, 7):
        database.write([Finished(serial, Task(f"t{serial}"), 0.5, (), 3.0, Ending(Outcome.FAILED, error))], [], 7)
    database.close()
    database.open()
    assert [len(some) for some in database.records()] == [2, 2, 2]
    database.close()
