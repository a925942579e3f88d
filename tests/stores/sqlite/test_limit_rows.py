"""Numbers of limits and pauses in a file: every row comes back as it was, and an invalid row hides no other."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from trio.testing import MockClock

from pexecutor import LocalStore, Task
from pexecutor.stores.limits import LimitNumbers, TaskPause
from pexecutor.stores.local.journal_protocol import BesideRecords
from pexecutor.stores.local.limit_settings import LimitChange, SettingKey, changes_between, settings_of
from pexecutor.stores.sqlite.database import Database
from pexecutor.stores.sqlite.inspection import check
from pexecutor.stores.sqlite.journal import SqliteJournal
from pexecutor.stores.sqlite.limit_rows import from_row, to_row

from .test_journal import Disk

NOW: Final = 1_800_000_000.0
NUMBERS: Final = LimitNumbers({"api": 5, "ä\U0001f600": 1}, {"api": 2})
PAUSES: Final = [TaskPause(None, NOW, "token `ops`"), TaskPause("api", NOW + 0.125, "")]
SETTINGS: Final = settings_of(NUMBERS, PAUSES)


@pytest.mark.parametrize("key", SETTINGS, ids=" ".join)
def test_a_row_comes_back_as_it_was(key: SettingKey) -> None:
    assert from_row(to_row(key, SETTINGS[key])) == LimitChange(key, SETTINGS[key])


def new_store(path: Path) -> LocalStore:
    return LocalStore(journal=SqliteJournal(Database(path)), now=lambda: NOW)


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A file with numbers and pauses."""
    path = tmp_path / "tasks.db"
    async with (store := new_store(path)).opened():
        await store.limits.set_numbers({"api": 5, "gone": 7}, {"x": 2})
        await store.limits.set_numbers({"api": 6}, {})
        await store.limits.pause("sleep", "me")
        await store.limits.pause("gone", "me")
        await store.limits.resume("gone")
    return path


async def test_a_store_finds_what_was_set_last(path: Path) -> None:
    async with (store := new_store(path)).opened():
        state = await store.limits.state()
        assert state.numbers == LimitNumbers({"api": 6}, {"x": 2})
        assert state.pauses == (TaskPause("sleep", NOW, "me"),)
        await store.submit([Task("a")])
        assert store.claim_nowait(1) == []
    assert check(path).beside == {"limits": 3}


@pytest.mark.parametrize(
    ("column", "value"),
    [("number", 0), ("number", -1), ("number", None), ("kind", "other"), ("name", "x" * 256), ("name", b"\xff")],
)
async def test_an_invalid_number_is_set_aside(path: Path, column: str, value: Any) -> None:
    await spoilt(
        path, f"UPDATE OR IGNORE limits SET {column} = CAST(? AS {_AFFINITY[column]}) WHERE kind = 'limit'", value
    )
    assert check(path).set_aside == 1
    async with (store := new_store(path)).opened():
        state = await store.limits.state()
        assert (state.numbers, len(state.pauses)) == (LimitNumbers({}, {"x": 2}), 1)


_AFFINITY: Final = {"number": "INTEGER", "kind": "TEXT", "name": "TEXT", "since": "REAL", "by": "TEXT"}


@pytest.mark.parametrize(("column", "value"), [("since", None), ("since", -1.0), ("since", 1e300), ("by", None)])
async def test_an_invalid_pause_is_set_aside(path: Path, column: str, value: Any) -> None:
    await spoilt(path, f"UPDATE limits SET {column} = ? WHERE kind = 'pause'", value)
    async with (store := new_store(path)).opened():
        state = await store.limits.state()
        assert (state.numbers, state.pauses) == (LimitNumbers({"api": 6}, {"x": 2}), ())


async def spoilt(path: Path, statement: str, value: Any) -> None:
    """Change a row by hand, and let a store set it aside."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement, (value,))
        connection.commit()
    assert len(check(path).faults) == 1
    async with (store := new_store(path)).opened():
        assert store.statistics().damaged == 1


def test_changes_lead_from_one_set_of_settings_to_another() -> None:
    new = settings_of(LimitNumbers({"api": 5}, {"api": 3}), PAUSES[:1])
    changes = dict(changes_between(SETTINGS, new))
    assert {key: value for key, value in {**SETTINGS, **changes}.items() if value is not None} == new
    assert len(changes) == 3


async def test_a_number_in_doubt_is_written_as_the_store_has_it(autojump_clock: MockClock) -> None:
    disk = Disk()
    key = SettingKey("limit", "api")
    async with disk.journal.opened(disk.current.get, lambda *_: 1):
        await disk.journal.commit((), 0, BesideRecords(limits=[LimitChange(key, 1)]))
        disk.seconds = 2.0
        with trio.move_on_after(1.0):  # while the transaction is being written
            await disk.journal.commit((), 0, BesideRecords(limits=[LimitChange(key, 2)]))
        await trio.sleep(1.5)
        assert disk.database.beside["limits"] == {key: 2}
        await trio.sleep(3.0)
        assert disk.database.beside["limits"] == {key: 1}
