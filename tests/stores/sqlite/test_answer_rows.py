"""Remembered answers in a file: in one transaction with their tasks, and no row stops the server."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from pexecutor import LocalStore, Pending, StoreUnavailableError, Task
from pexecutor.conformance.requests import DIGEST, key
from pexecutor.stores.answers import (
    ANSWER_BOUNDS,
    Answer,
    AnswerBounds,
    KeyedAnswer,
    RequestKey,
    RequestKind,
    answer_of,
)
from pexecutor.stores.local.journal_protocol import BesideRecords
from pexecutor.stores.sqlite.answer_rows import from_row, to_row
from pexecutor.stores.sqlite.database import Database
from pexecutor.stores.sqlite.inspection import check
from pexecutor.stores.sqlite.journal import SqliteJournal

from ..test_upgrade import FORM_2, FORM_3, Form
from .test_journal import Disk, pending

ONE = KeyedAnswer(key("1"), answer_of(DIGEST, 5.0, [7, -8, 0, (1 << 63) - 1, 1 - (1 << 63)]))
TWO = KeyedAnswer(key("2", kind=RequestKind.TOKEN), answer_of(b"", 6.5, []))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tasks.db"


@asynccontextmanager
async def serving(path: Path, bounds: AnswerBounds = ANSWER_BOUNDS) -> AsyncIterator[LocalStore]:
    store = LocalStore(journal=SqliteJournal(Database(path)), answer_bounds=bounds)
    async with store.opened():
        yield store


def rows(path: Path, columns: str = "scope, key", table: str = "answers") -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"SELECT {columns} FROM {table} ORDER BY rowid").fetchall()


@pytest.mark.parametrize("keyed", [ONE, TWO])
def test_a_row_is_its_answer(keyed: KeyedAnswer) -> None:
    assert from_row(to_row(keyed)) == keyed


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("kind", "postcard"),
        ("kind", None),
        ("scope", ""),
        ("key", "k" * 256),
        ("key", b"\xff"),
        ("digest", None),
        ("digest", b"d" * 65),
        ("digest", "text"),
        ("at", None),
        ("at", -1.0),
        ("at", float("inf")),
        ("verdicts", b"1234567"),
        ("verdicts", None),
        ("verdicts", "12345678"),
    ],
)
def test_a_row_that_is_no_answer_is_refused(column: str, value: object) -> None:
    row = dict(zip(("kind", "scope", "key", "digest", "at", "verdicts"), to_row(ONE), strict=True)) | {column: value}
    with pytest.raises(ValueError, match=r"."):
        from_row(tuple(row.values()))


async def test_spoilt_rows_are_set_aside(path: Path) -> None:
    async with serving(path) as store:
        for number in range(4):
            await store.answers.submit(key(str(number)), DIGEST, [Task(f"task-{number}")])
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE answers SET kind = 'postcard' WHERE key = '1'")
        connection.execute("UPDATE answers SET key = CAST(X'ff' AS TEXT) WHERE key = '2'")
        connection.commit()
    assert [fault.partition(":")[0] for fault in check(path).faults] == [
        "answer number 2 cannot be read",
        "answer number 3 cannot be read",
    ]
    async with serving(path) as store:
        assert store.statistics().damaged == 2
        assert await store.answers.remembered(key("0")) is not None
        assert await store.answers.remembered(key("3")) is not None
    assert rows(path) == [("deploy", "0"), ("deploy", "3")]
    assert [kind for (kind,) in rows(path, "kind", "damaged_answers")] == ["postcard", "hook"]
    assert not check(path).faults


async def test_what_is_forgotten_leaves_the_file(path: Path) -> None:
    async with serving(path, AnswerBounds(answers_max=2)) as store:
        for number in (0, 1, 0, 2, 3):
            await store.answers.submit(key(str(number)), DIGEST, [Task(f"task-{number}")])
    assert rows(path) == [("deploy", "2"), ("deploy", "3")]
    async with serving(path, AnswerBounds(answers_max=1)) as store:
        assert await store.answers.remembered(key("2")) is None
    assert rows(path) == [("deploy", "3")]
    async with serving(path, AnswerBounds(seconds_max=0)):
        pass
    assert rows(path) == []


async def test_a_key_that_is_used_again_is_the_latest(path: Path) -> None:
    async with serving(path, AnswerBounds(answers_max=2, seconds_max=0)) as store:
        for number in (0, 1, 0):
            await store.answers.submit(key(str(number)), DIGEST, [Task(f"task-{number}", on_conflict="join")])
    async with serving(path) as store:
        assert await store.answers.remembered(key("1")) is None


@pytest.mark.parametrize("form", [FORM_2, FORM_3], ids=lambda form: str(form.version))
async def test_a_file_without_answers_takes_some(path: Path, form: Form) -> None:
    await trio.Path(path).write_bytes(form.content)
    assert len(check(path).faults) == (2 if form is FORM_2 else 0)
    async with serving(path) as store:
        await store.answers.submit(key("1"), DIGEST, [Task("by a hook")])
    async with serving(path) as store:
        assert await store.answers.remembered(key("1")) is not None


async def test_a_refused_task_takes_its_answer_along(path: Path) -> None:
    """A task that cannot be written makes its own submit fail, not the others of the transaction."""
    async with serving(path) as store:
        errors: list[StoreUnavailableError] = []

        async def submit(number: int, task: Task) -> None:
            try:
                await store.answers.submit(key(str(number)), DIGEST, [task])
            except StoreUnavailableError as error:
                errors.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(submit, 1, Task("good"))
            nursery.start_soon(submit, 2, Task("bad", handler="\udce9"))
            nursery.start_soon(submit, 3, Task("better"))
        assert len(errors) == 1
        with closing(sqlite3.connect(path)) as connection:
            assert sorted(key for (key,) in connection.execute("SELECT key FROM answers")) == ["1", "3"]
        assert await store.answers.remembered(key("2")) is None


class TestDoubt:
    async def given_up(self, disk: Disk, changes: list[Pending], answer: KeyedAnswer) -> None:
        disk.seconds = 1.0
        with trio.move_on_after(0.5):
            await disk.journal.commit(changes, 1, BesideRecords(answers=[answer]))

    async def test_an_answer_whose_caller_left_is_deleted(self, autojump_clock: MockClock) -> None:
        disk = Disk()
        async with disk.journal.opened(disk.current.get):
            await self.given_up(disk, [pending(1)], ONE)
            await trio.sleep(0.6)
            assert disk.database.beside["answers"] == dict([ONE])
            await trio.sleep(2)
            assert (disk.database.rows, disk.database.beside["answers"]) == ({}, {})

    async def test_an_answer_without_changes_too(self, autojump_clock: MockClock) -> None:
        disk = Disk()
        async with disk.journal.opened(disk.current.get):
            await self.given_up(disk, [], ONE)
            await trio.sleep(4)
            assert disk.database.beside["answers"] == {}

    async def test_a_repetition_that_is_quicker_is_kept(self, autojump_clock: MockClock) -> None:
        disk = Disk()
        again = answer_of(DIGEST, 9.0, [2])
        async with disk.journal.opened(disk.current.get):
            await self.given_up(disk, [pending(1)], ONE)
            await disk.journal.commit([pending(2)], 2, BesideRecords(answers=[KeyedAnswer(ONE.key, again)]))
            await trio.sleep(4)
            assert disk.database.beside["answers"] == {ONE.key: again}
            assert disk.database.rows.keys() == {2}

    async def test_a_disk_that_fails_delays_it(self, autojump_clock: MockClock) -> None:
        disk = Disk()
        async with disk.journal.opened(disk.current.get):
            await self.given_up(disk, [], ONE)
            await trio.sleep(0.6)
            disk.journal.forget_beside("answers", [TWO.key])
            disk.database.beside["answers"] |= dict([TWO])
            disk.database.fault = "full"
            await trio.sleep(5)
            assert disk.database.beside["answers"].keys() == {ONE.key, TWO.key}
            disk.database.fault = None
            await trio.sleep(3)
            assert disk.database.beside["answers"] == {}


def test_deletions_come_first(path: Path) -> None:
    database = Database(path)
    database.open()
    try:
        database.write([], [], 0, beside={"answers": dict([ONE, TWO])})
        database.write([], [], 0, beside={"answers": {TWO.key: None} | dict([ONE])})
        assert database.stored("answers") == [ONE]
    finally:
        database.close()


def test_keys_are_bounded() -> None:
    for text in ("", "k" * 256, "\u00e4" * 128, "\udce9"):
        with pytest.raises(ValueError, match=r"1 to 255 bytes|surrogates not allowed"):
            RequestKey(RequestKind.HOOK, "scope", text)
    with pytest.raises(ValueError, match="at most 64 bytes"):
        Answer(b"d" * 65, 0.0, b"")
