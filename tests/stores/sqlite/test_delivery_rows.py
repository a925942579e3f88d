"""Deliveries in a file: restored, set aside when they are damaged, and written with their outcome or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pexecutor import Ending, Finished, LocalStore, Outcome, Running, Task
from pexecutor.stores import Watcher
from pexecutor.stores.deliveries import Delivery, DeliveryBounds, EndNotice, SkipNotice
from pexecutor.stores.local.journal_protocol import BesideRecords, DeliveryChange
from pexecutor.stores.sqlite.database import Database
from pexecutor.stores.sqlite.delivery_rows import from_row, to_row
from pexecutor.stores.sqlite.inspection import back_up, check
from pexecutor.stores.sqlite.journal import SqliteJournal
from pexecutor.task import Brings

from .test_journal import Disk

NOW = 1_800_000_000.0
SUCCEEDED = Ending(Outcome.SUCCEEDED)
ALWAYS = Brings(succeeded=("s",), failed=("f", "g"), abandoned=("a",))
END = EndNotice("000001-1", "nightly", "backup", "failed", NOW, NOW + 2, NOW + 1, "it broke: \u00e4")
DELIVERIES = [
    Delivery(2, "ops", NOW, NOW + 60, END, attempts=3),
    Delivery(3, "ops", NOW, NOW, EndNotice("000001-1", "n", "sleep", "cancelled", NOW, NOW)),
    Delivery(4, "chat", NOW, NOW, SkipNotice("hourly", "n", "sleep", "held", NOW, "000001-1")),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.db"


@asynccontextmanager
async def serving(
    path: Path, *, brings: Brings | None = ALWAYS, bounds: DeliveryBounds | None = None, now: float = NOW
) -> AsyncIterator[LocalStore]:
    store = LocalStore(
        journal=SqliteJournal(Database(path)), now=lambda: now, delivery_bounds=bounds or DeliveryBounds()
    )
    store.watch(Watcher(brings=lambda _: brings))
    async with store.opened():
        yield store


async def run(store: LocalStore, name: str, ending: Ending = SUCCEEDED) -> Any:
    await store.submit([Task(name)])
    [running] = await store.claim(1)
    [record] = await store.finish([(running, ending)])
    return record


async def made(store: LocalStore) -> list[tuple[str, str]]:
    deliveries = [delivery for target in "afgs" for delivery in await store.deliveries.page(target, 100)]
    in_order = sorted(deliveries, key=lambda delivery: delivery.serial)
    return [(delivery.target, subject(delivery)) for delivery in in_order]


def subject(delivery: Delivery) -> str:
    assert isinstance(delivery.notice, EndNotice)
    return f"{delivery.notice.name} {delivery.notice.outcome}"


def spoil(path: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement, values)
        connection.commit()


@pytest.mark.parametrize("delivery", DELIVERIES, ids=lambda delivery: str(delivery.serial))
def test_a_row_is_read_as_it_was_written(delivery: Delivery) -> None:
    assert from_row(to_row(delivery)) == delivery


async def test_they_are_there_again_as_they_were(path: Path) -> None:
    async with serving(path) as store:
        for name in ("one", "two", "three"):
            await run(store, name)
        [taken] = (await store.deliveries.take(["s"], 60)).deliveries
        await store.deliveries.put_off(taken, 60)
        [taken] = (await store.deliveries.take(["s"], 60)).deliveries
        assert subject(taken) == "two succeeded"
        one, two, three = await store.deliveries.page("s", 10)
        await store.deliveries.end([three])
    async with serving(path) as store:
        assert store.statistics().deliveries == 2
        assert await store.deliveries.page("s", 10) == [one, two]
        assert (one.attempts, one.due_at) == (1, NOW + 60)
        due = await store.deliveries.take(["s"], 60)
        assert due.deliveries == [two], "its taker has died, so it is due as it was"
        new = await run(store, "four")
        assert new.serial > three.serial, "no id is given twice"


async def test_a_task_keeps_its_targets_in_the_file(path: Path) -> None:
    async with serving(path) as store:
        await store.submit([Task(f"task-{number}") for number in range(20)])
        await store.submit([Task("later", delay=1)])
    async with serving(path, brings=None, now=NOW + 1) as store:
        assert len({id(record.rare) for record in store._book._records.values()}) == 1
        started = await store.claim(100)
        await store.finish([(running, SUCCEEDED) for running in started])
        assert await made(store) == [("s", f"{running.task.name} succeeded") for running in started]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("target", b"\xff"),
        ("made_at", -1.0),
        ("due_at", 1e300),
        ("attempts", -1),
        ("notice", "{}"),
        ("notice", '{"type":"ended","name":"x"}'),
        ("notice", "[" * 5000),
    ],
)
async def test_a_row_that_is_not_valid_is_set_aside(path: Path, column: str, value: Any) -> None:
    database = Database(path)
    database.open()
    database.write([], [], 9, beside={"deliveries": {delivery.serial: delivery for delivery in DELIVERIES}})
    database.close()
    as_text = "CAST(? AS TEXT)" if isinstance(value, bytes) else "?"
    spoil(path, f"UPDATE deliveries SET {column} = {as_text} WHERE serial = 3", value)
    findings = check(path)
    assert findings.beside == {"deliveries": 2}
    assert [fault.partition(":")[0] for fault in findings.faults] == ["delivery number 3 cannot be read"]
    for damaged in (1, 0):
        async with serving(path) as store:
            assert store.statistics().deliveries == 2
            assert store.statistics().damaged == damaged
    findings = check(path)
    assert (findings.beside, findings.set_aside, findings.faults) == ({"deliveries": 2}, 1, [])


async def test_a_copy_of_the_file_has_them(path: Path, tmp_path: Path) -> None:
    async with serving(path) as store:
        await run(store, "one")
        kept = await store.deliveries.page("s", 10)
        back_up(path, tmp_path / "copy.db")
    async with serving(tmp_path / "copy.db") as store:
        assert await store.deliveries.page("s", 10) == kept


async def test_too_many_leave_the_file(path: Path) -> None:
    async with serving(path, bounds=DeliveryBounds(deliveries_max=2)) as store:
        for number in range(4):
            await run(store, f"task-{number}")
        kept = await made(store)
    assert kept == [("s", "task-2 succeeded"), ("s", "task-3 succeeded")]
    assert check(path).beside == {"deliveries": 2}
    async with serving(path, bounds=DeliveryBounds(deliveries_max=1)) as store:
        assert await made(store) == kept[1:]
    assert check(path).beside == {"deliveries": 1}


async def test_one_that_is_put_off_while_it_has_to_go_leaves_the_file(path: Path) -> None:
    async with serving(path, bounds=DeliveryBounds(deliveries_max=1)) as store:
        await run(store, "old")
        [old] = await store.deliveries.page("s", 1)
        await store.submit([Task("new")])
        [running] = await store.claim(1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.finish, [(running, SUCCEEDED)])
            nursery.start_soon(store.deliveries.put_off, old, 5)
    assert check(path).beside == {"deliveries": 1}
    async with serving(path) as store:
        assert await made(store) == [("s", "new succeeded")]


async def test_an_outcome_that_cannot_be_written_brings_the_deliveries_of_failed(path: Path) -> None:
    bad: Any = "\udce9"
    async with serving(path) as store:
        await store.submit([Task("good"), Task("bad")])
        started = await store.claim(2)
        good, failed = await store.finish(
            [
                (running, Ending(Outcome.SUCCEEDED, result=bad if running.task.name == "bad" else None))
                for running in started
            ]
        )
        assert isinstance(good, Finished)
        assert isinstance(failed, Finished)
        assert failed.outcome is Outcome.FAILED
        kept = await made(store)
        [first] = await store.deliveries.page("f", 10)
        assert isinstance(first.notice, EndNotice)
        assert first.notice.error == failed.ending.error
        await run(store, "next")
        assert (await store.deliveries.page("s", 10))[-1].serial > first.serial
    assert kept == [("s", "good succeeded"), ("f", "bad failed"), ("g", "bad failed")]
    async with serving(path) as store:
        assert await made(store) == [*kept, ("s", "next succeeded")]


async def test_a_retry_that_cannot_be_written_brings_them_too(path: Path) -> None:
    async with serving(path) as store:
        await store.submit([Task("a", retries=1)])
        [running] = await store.claim(1)
        bad: Any = "\udce9"
        [record] = await store.finish([(running, Ending(Outcome.FAILED, bad))])
        assert isinstance(record, Finished)
        kept = await made(store)
    assert kept == [("f", "a failed"), ("g", "a failed")]
    async with serving(path) as store:
        assert await made(store) == kept


@pytest.mark.parametrize("crashes_max", [1, 3])
async def test_a_recovery_makes_those_of_abandoned_tasks_once(path: Path, crashes_max: int) -> None:
    async with serving(path) as store:
        await store.submit([Task("once", on_crash="fail"), Task("again", handler="backup")])
        assert len(await store.claim(2)) == 2
        copy = path.with_name("crashed.db")
        back_up(path, copy)
    for _ in range(2):
        store = LocalStore(journal=SqliteJournal(Database(copy)), now=lambda: NOW, crashes_max=crashes_max)
        async with store.opened():
            expected = [("a", "once abandoned")] + [("a", "again abandoned")] * (crashes_max == 1)
            assert await made(store) == expected


async def test_what_is_in_doubt_is_written_as_the_store_has_it(autojump_clock: MockClock) -> None:
    disk = Disk()
    stored = {2: DELIVERIES[0]}
    find: Callable[..., Any] = lambda _, serial: stored.get(serial)  # noqa: E731
    async with disk.journal.opened(disk.current.get, find):
        changes = [DeliveryChange(delivery.serial, delivery) for delivery in DELIVERIES]
        await disk.journal.commit((), 0, BesideRecords(deliveries=changes[:1]))
        disk.seconds = 2.0
        with trio.move_on_after(1.0):  # while the transaction is being written
            await disk.journal.commit((), 0, BesideRecords(deliveries=[DeliveryChange(2, None), *changes[1:]]))
        await trio.sleep(1.5)
        assert disk.database.beside["deliveries"].keys() == {3, 4}
        await trio.sleep(3.0)
        assert disk.database.beside["deliveries"] == stored
    assert disk.database.closed_in_order


async def test_a_failed_write_makes_no_delivery(autojump_clock: MockClock) -> None:
    disk = Disk()
    store = LocalStore(journal=disk.journal, now=lambda: NOW)
    store.watch(Watcher(brings=lambda _: ALWAYS))
    async with store.opened():
        await store.submit([Task("a")])
        [running] = await store.claim(1)
        disk.database.fault = "full"
        with pytest.raises(Exception, match="full"):
            await store.finish([(running, SUCCEEDED)])
        assert await made(store) == []
        assert isinstance(store._book.get(running.serial), Running)
        disk.database.fault = None
        await store.finish([(running, SUCCEEDED)])
        assert await made(store) == [("s", "a succeeded")]
