"""The journal: one transaction for all who wait, an answer only once it is written, and what comes of trouble."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from pexecutor import LocalStore, Pending, Record, StoreUnavailableError, Task
from pexecutor.stores.local.journal_protocol import BesideKind, BesideRecords
from pexecutor.stores.schedules import Definition, Schedule, ScheduleChange
from pexecutor.stores.sqlite.beside_tables import Changes
from pexecutor.stores.sqlite.database import StoreIdentity
from pexecutor.stores.sqlite.journal import CHANGES_A_TRANSACTION_MAX, SqliteJournal
from pexecutor.stores.sqlite.repair import Repairs
from pexecutor.stores.sqlite.unwritable import ALL_WRITTEN, Unwritten

EVERY = Definition(Task("by schedule"), every=1000)


class FakeDatabase:
    """A file in memory, which takes a while when it is told to, and fails when it is told to."""

    def __init__(self) -> None:
        self.rows: dict[int, Record] = {}
        self.beside: defaultdict[str, dict[Any, Any]] = defaultdict(dict)
        self.generations = 0
        self.acceptances = 0
        self.transactions: list[list[Record]] = []
        self.unsure: list[set[int]] = []
        self.is_open = False
        self.after_crash = False
        self.repairs = Repairs()
        self.lost_transactions = 0
        self.is_watched = False
        self.file_fault: str | None = None
        self.closed_in_order: bool | None = None
        self.fault: str | None = None

    def open(self) -> StoreIdentity:
        self.is_open = True
        return StoreIdentity(1, self.acceptances)

    def close(self, in_order: bool) -> None:
        self.is_open = False
        self.closed_in_order = in_order

    def file_trouble(self) -> str | None:
        return self.file_fault

    def records(self) -> Iterator[list[Record]]:
        yield list(self.rows.values())

    def stored(self, kind: BesideKind) -> list[Any]:
        return [*self.beside[kind].values()]

    def write(
        self,
        records: Iterable[Record],
        forgotten: Iterable[int],
        acceptances: int,
        unsure: Iterable[int],
        beside: Mapping[BesideKind, Changes],
    ) -> Unwritten:
        assert self.is_open
        if self.fault is not None:
            raise StoreUnavailableError(self.fault)
        records = list(records)
        self.transactions.append(records)
        self.unsure.append(set(unsure))
        self.rows |= {record.serial: record for record in records}
        for serial in forgotten:
            self.rows.pop(serial, None)
        self.acceptances = acceptances
        for kind, changes in beside.items():
            kept = {**self.beside[kind], **changes}
            self.beside[kind] = {key: value for key, value in kept.items() if value is not None}
        return ALL_WRITTEN


class Disk:
    """A journal on a fake file, and the time that the file takes."""

    def __init__(self) -> None:
        self.database = FakeDatabase()
        self.seconds = 0.0
        self.troubles: list[str | None] = []
        self.current: dict[int, Record] = {}
        database: Any = self.database
        self.journal = SqliteJournal(database, in_thread=self._in_thread, on_trouble=self.troubles.append)

    async def _in_thread(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        """As a thread does it: what has begun goes on when nobody waits for it any more."""
        with trio.CancelScope(shield=True):
            await trio.sleep(self.seconds)
        return function(*arguments)

    @property
    def written(self) -> list[list[int]]:
        return [[record.serial for record in transaction] for transaction in self.database.transactions]


@pytest.fixture
async def disk(autojump_clock: MockClock, nursery: trio.Nursery) -> AsyncIterator[Disk]:
    disk = Disk()
    async with disk.journal.opened(disk.current.get):
        yield disk


def pending(serial: int) -> Pending:
    return Pending(serial, Task(f"task-{serial}"), 0.5, ())


async def test_who_commits_is_answered_once_it_is_written(disk: Disk, autojump_clock: MockClock) -> None:
    disk.seconds = 2.0
    await disk.journal.commit([pending(1)], 1)
    assert trio.current_time() == 2.0
    assert disk.database.rows == {1: pending(1)}


@pytest.mark.parametrize("fault", [None, "the disk is full"])
async def test_the_time_of_a_write_under_way_is_known(
    disk: Disk, nursery: trio.Nursery, autojump_clock: MockClock, fault: str | None
) -> None:
    disk.seconds, disk.database.fault = 40.0, fault
    assert disk.journal.writing_seconds == 0
    nursery.start_soon(commit_in_vain if fault else disk.journal.commit, *([disk] if fault else [[pending(1)], 1]))

    await trio.sleep(39)
    assert disk.journal.writing_seconds == 39

    await trio.sleep(1.5)
    assert disk.journal.writing_seconds == 0


async def commit_in_vain(disk: Disk) -> None:
    with pytest.raises(StoreUnavailableError):
        await disk.journal.commit([pending(1)], 1)


async def test_all_who_wait_share_a_transaction(disk: Disk, nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    disk.seconds = 1.0
    for serial in range(100):
        nursery.start_soon(disk.journal.commit, [pending(serial)], 100)
    await wait_all_tasks_blocked()
    nursery.start_soon(disk.journal.commit, [pending(200)], 200)
    nursery.start_soon(disk.journal.commit, [pending(201)], 201)
    await trio.sleep(2.5)
    assert [len(transaction) for transaction in disk.written] == [100, 2]


async def test_who_was_told_can_join_those_who_came_meanwhile(
    disk: Disk, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    async def commit_twice(serial: int) -> None:
        await disk.journal.commit([pending(serial)], serial)
        await disk.journal.commit([pending(10 + serial)], 10 + serial)

    disk.seconds = 1.0
    for serial in (1, 2):
        nursery.start_soon(commit_twice, serial)
    await trio.sleep(0.5)
    nursery.start_soon(disk.journal.commit, [pending(3)], 3)
    await trio.sleep(2)
    assert [sorted(serials) for serials in disk.written] == [[1, 2], [3, 11, 12]]


async def test_a_transaction_is_bounded(disk: Disk, nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    batch = [pending(serial) for serial in range(CHANGES_A_TRANSACTION_MAX - 1)]
    for _ in range(3):
        nursery.start_soon(disk.journal.commit, batch, 1)
    await wait_all_tasks_blocked(0.001)
    assert [len(transaction) for transaction in disk.written] == [2 * len(batch), len(batch)]


async def test_a_commit_that_is_given_up_in_the_line_is_not_written(
    disk: Disk, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    disk.seconds = 5.0
    nursery.start_soon(disk.journal.commit, [pending(1)], 1)
    await wait_all_tasks_blocked()
    with trio.move_on_after(1):
        await disk.journal.commit([pending(2)], 2)
    await disk.journal.commit([pending(3)], 3)
    assert disk.written == [[1], [3]]


class TestDoubt:
    """A commit that is given up under way and comes through later: the next transaction puts it right."""

    async def given_up(self, disk: Disk, *changes: Record) -> None:
        disk.seconds = 5.0
        with trio.move_on_after(1) as scope:
            await disk.journal.commit(changes, 1)
        assert scope.cancelled_caught
        disk.seconds = 0.5

    async def test_a_task_that_nobody_has_is_dropped(self, disk: Disk, autojump_clock: MockClock) -> None:
        await self.given_up(disk, pending(1))
        await trio.sleep(4.2)
        assert disk.database.rows == {1: pending(1)}, "the file is ahead of the store"
        await trio.sleep(1)
        assert disk.database.rows == {}

    async def test_a_task_that_is_there_gets_its_state_back(self, disk: Disk, autojump_clock: MockClock) -> None:
        disk.current[1] = before = pending(1)
        await self.given_up(disk, Pending(1, Task("newer"), 0.5, ()))
        await trio.sleep(6)
        assert disk.database.rows == {1: before}

    async def test_a_later_change_is_not_undone(self, disk: Disk, autojump_clock: MockClock) -> None:
        disk.current[1] = pending(1)
        await self.given_up(disk, Pending(1, Task("newer"), 0.5, ()))
        latest = Pending(1, Task("latest"), 0.5, ())
        await disk.journal.commit([latest], 1)
        disk.current[1] = latest
        await trio.sleep(6)
        assert disk.database.rows == {1: latest}
        assert disk.database.unsure == [set(), {1}], "and is written whole"

    async def test_it_outlasts_a_disk_that_fails(self, disk: Disk, autojump_clock: MockClock) -> None:
        await self.given_up(disk, pending(1))
        await trio.sleep(4.2)
        disk.database.fault = "full"
        await trio.sleep(5)
        assert disk.database.rows == {1: pending(1)}
        disk.database.fault = None
        await trio.sleep(2)
        assert disk.database.rows == {}

    async def test_the_end_puts_it_right_too(self, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
        disk = Disk()
        async with disk.journal.opened(disk.current.get):
            await self.given_up(disk, pending(1))
            disk.seconds = 0.1
            await trio.sleep(2)
        assert disk.database.rows == {}


class TestTrouble:
    async def test_who_waits_is_told_why(self, disk: Disk, autojump_clock: MockClock) -> None:
        disk.database.fault = "the disk is full"
        with pytest.raises(StoreUnavailableError, match="the disk is full"):
            await disk.journal.commit([pending(1)], 1)
        assert disk.journal.trouble == "the disk is full"
        assert disk.troubles == ["the disk is full"]

    async def test_it_ends_by_itself(self, disk: Disk, autojump_clock: MockClock) -> None:
        disk.database.fault = "the disk is full"
        with pytest.raises(StoreUnavailableError):
            await disk.journal.commit([pending(1)], 1)
        await trio.sleep(10)
        assert disk.troubles == ["the disk is full"]
        disk.database.fault = None
        await trio.sleep(1.1)
        assert disk.troubles == ["the disk is full", None]
        assert disk.database.rows == {}, "what was refused is not written later"

    async def test_the_first_commit_that_goes_through_ends_it(self, disk: Disk, autojump_clock: MockClock) -> None:
        disk.database.fault = "the disk is full"
        with pytest.raises(StoreUnavailableError):
            await disk.journal.commit([pending(1)], 1)
        disk.database.fault = None
        await disk.journal.commit([pending(2)], 2)
        assert trio.current_time() < 1
        assert disk.journal.trouble is None

    async def test_all_of_a_transaction_fail_and_the_next_do_not(
        self, disk: Disk, nursery: trio.Nursery, autojump_clock: MockClock
    ) -> None:
        told: list[int] = []

        async def commit(serial: int) -> None:
            try:
                await disk.journal.commit([pending(serial)], serial)
            except StoreUnavailableError:
                told.append(serial)

        disk.database.fault = "full"
        for serial in (1, 2):
            nursery.start_soon(commit, serial)
        await wait_all_tasks_blocked()
        disk.database.fault = None
        await commit(3)
        assert sorted(told) == [1, 2]
        assert disk.database.rows == {3: pending(3)}


class TestEnd:
    async def test_what_is_in_line_is_written_and_the_file_closed(
        self, autojump_clock: MockClock, nursery: trio.Nursery
    ) -> None:
        disk = Disk()
        disk.seconds = 1.0
        async with disk.journal.opened(disk.current.get):
            for serial in (1, 2, 3):
                nursery.start_soon(disk.journal.commit, [pending(serial)], 3)
                await wait_all_tasks_blocked()
        assert disk.database.rows.keys() == {1, 2, 3}
        assert not disk.database.is_open

    async def test_who_is_cancelled_can_still_commit(self, autojump_clock: MockClock) -> None:
        disk = Disk()
        with trio.CancelScope() as scope:
            async with disk.journal.opened(disk.current.get):
                scope.cancel()
                with trio.CancelScope(shield=True):
                    await disk.journal.commit([pending(1)], 1)
        assert disk.database.rows.keys() == {1}
        assert not disk.database.is_open

    async def test_forgotten_records_are_dropped(self, autojump_clock: MockClock) -> None:
        disk = Disk()
        async with disk.journal.opened(disk.current.get):
            await disk.journal.commit([pending(1), pending(2)], 2)
            disk.journal.forget([1])
        assert disk.database.rows.keys() == {2}

    async def test_it_is_over_in_bounded_time(self, autojump_clock: MockClock) -> None:
        class Hangs(Disk):
            async def _in_thread(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
                if function == self.database.write:
                    await trio.sleep_forever()
                return function(*arguments)

        disk = Hangs()
        errors: list[StoreUnavailableError] = []

        async def submit(store: LocalStore) -> None:
            try:
                await store.submit([Task("a")])
            except StoreUnavailableError as error:
                errors.append(error)

        async with trio.open_nursery() as nursery:
            store = LocalStore(journal=disk.journal)
            async with store.opened():
                nursery.start_soon(submit, store)
                await wait_all_tasks_blocked()
        assert trio.current_time() <= 6
        assert len(errors) == 1, "and nobody was told that it is written"

    async def test_after_the_end_nothing_is_taken(self, autojump_clock: MockClock) -> None:
        disk = Disk()
        async with disk.journal.opened(disk.current.get):
            pass
        with pytest.raises(StoreUnavailableError, match="closed"):
            await disk.journal.commit([pending(1)], 1)


async def test_a_thread_that_cannot_be_started_is_a_trouble_that_passes(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_thread(*_: Any, **__: Any) -> Any:
        await trio.lowlevel.checkpoint()
        raise RuntimeError("can't start new thread")

    database: Any = FakeDatabase()
    troubles: list[str | None] = []
    journal = SqliteJournal(database, on_trouble=troubles.append)
    async with journal.opened(lambda _: None):
        with monkeypatch.context() as patch:
            patch.setattr(trio.to_thread, "run_sync", no_thread)
            with pytest.raises(StoreUnavailableError, match="cannot start a thread"):
                await journal.commit([pending(1)], 1)
        await journal.commit([pending(2)], 2)
    assert set(database.rows) == {2}
    assert [trouble is None for trouble in troubles] == [False, True]


async def test_a_schedule_in_doubt_is_written_as_the_store_has_it(autojump_clock: MockClock) -> None:
    disk, stored = Disk(), dict[str, Schedule]()
    new, removed = Schedule("new", EVERY, 1), Schedule("removed", EVERY, 2)
    async with disk.journal.opened(disk.current.get, lambda _, key: stored.get(key)):
        stored["removed"] = removed
        await disk.journal.commit((), 0, BesideRecords([ScheduleChange("removed", removed)]))
        disk.seconds = 2.0
        changes = [ScheduleChange("new", new), ScheduleChange("removed", None)]
        with trio.move_on_after(1.0):  # while the transaction is being written
            await disk.journal.commit((), 0, BesideRecords(changes))
        await trio.sleep(1.5)
        assert disk.database.beside["schedules"] == {"new": new}
        await trio.sleep(3.0)
        assert disk.database.beside["schedules"] == {"removed": removed}
    assert disk.database.closed_in_order


async def test_a_schedule_that_changed_after_the_doubt_keeps_its_change(autojump_clock: MockClock) -> None:
    disk = Disk()
    old, new = Schedule("s", EVERY, 1), Schedule("s", EVERY, 2)
    async with disk.journal.opened(disk.current.get, lambda _, key: {"s": new}.get(key)):
        disk.seconds = 2.0
        with trio.move_on_after(1.0):
            await disk.journal.commit((), 0, BesideRecords([ScheduleChange("s", old)]))
        await disk.journal.commit((), 0, BesideRecords([ScheduleChange("s", new)]))
    assert disk.database.beside["schedules"] == {"s": new}
