"""Schedules in a file: every row comes back as it was, and a row that is no schedule hides no other."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from pexecutor import LocalStore, Task
from pexecutor.stores.schedules import Definition, Fired, NextTime, Schedule, ScheduleChange, Skipped
from pexecutor.stores.sqlite.database import Database
from pexecutor.stores.sqlite.inspection import back_up, check
from pexecutor.stores.sqlite.journal import SqliteJournal
from pexecutor.stores.sqlite.schedule_rows import from_row, to_row

NOW: Final = 1_800_000_000.0
CRON: Final = Definition(
    Task("ä", params={"x": [1, "ß"]}, on_conflict="latest"),
    cron="0 3 * * *",
    timezone="Europe/Berlin",
    jitter=500,
    until=datetime(2030, 1, 1, tzinfo=UTC),
    catch_up="none",
    late_max=60_000,
)
EVERY: Final = Definition(Task("b"), every=1000, start_at=datetime(2027, 1, 1, 0, 0, 0, 1000, tzinfo=UTC))
OCCURRENCES: Final = (Skipped(NOW, NOW + 1, "held", 3, "1-1"), Fired(1.5, "1"))
SCHEDULES: Final = [
    Schedule("a", CRON, 1, NextTime(NOW + 0.125, NOW + 0.5)),
    Schedule("ö\U0001f600", EVERY, 2**40, None, "file", True, OCCURRENCES),
]


def write(database: Database, *changes: ScheduleChange) -> None:
    database.write([], [], 0, beside={"schedules": dict(changes)})


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.name)
def test_a_row_comes_back_as_it_was(schedule: Schedule) -> None:
    assert from_row(to_row(schedule)) == schedule


def spoil(path: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(statement, values)
        connection.commit()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("definition", "{"),
        ("definition", '{"task":{"name":"a"}}'),
        ("definition", '{"task":{"name":"a","params":{"a":' + "[" * 100_000 + "]" * 100_000 + '}},"every":1000}'),
        ("definition", b"\xff"),
        ("definition", '{"task":{"name":"a"},"every":1000}'),
        ("owner", "nobody"),
        ("next_at", -1.0),
        ("next_due_at", None),
        ("occurrences", '[{"type":"lost"}]'),
        ("name", "a\nb"),
        ("name", b"\xff"),
    ],
)
async def test_a_row_that_is_no_schedule_is_set_aside(tmp_path: Path, column: str, value: Any) -> None:
    path = tmp_path / "tasks.db"
    database = Database(path)
    database.open()
    changes = [ScheduleChange(name, Schedule(name, CRON, 1, NextTime(NOW, NOW))) for name in ("a", "b", "c")]
    write(database, *changes)
    database.close()
    as_text = "CAST(? AS TEXT)" if isinstance(value, bytes) else "?"
    spoil(path, f"UPDATE schedules SET {column} = {as_text} WHERE name = 'b'", value)
    findings = check(path)
    assert findings.beside["schedules"] == 2
    assert [fault.partition(":")[0] for fault in findings.faults] == ["schedule number 2 cannot be read"]
    for damaged in (1, 0):
        store = LocalStore(journal=SqliteJournal(Database(path)))
        async with store.opened():
            assert [schedule.name for schedule in await store.schedules.page(10)] == ["a", "c"]
            assert store.statistics().damaged == damaged
    findings = check(path)
    assert (findings.beside["schedules"], findings.set_aside, findings.faults) == (2, 1, [])
    with closing(sqlite3.connect(path)) as connection:
        [(reason,)] = connection.execute("SELECT reason FROM damaged_schedules")
        assert reason
        assert connection.execute("SELECT count(*) FROM schedules").fetchone() == (2,)


async def test_a_copy_of_the_file_has_the_schedules(tmp_path: Path) -> None:
    database = Database(tmp_path / "tasks.db")
    database.open()
    write(database, *[ScheduleChange(schedule.name, schedule) for schedule in SCHEDULES])
    back_up(tmp_path / "tasks.db", tmp_path / "copy.db")
    database.close()
    async with (store := LocalStore(journal=SqliteJournal(Database(tmp_path / "copy.db")))).opened():
        assert await store.schedules.page(10) == SCHEDULES


def test_the_later_state_of_a_schedule_wins(tmp_path: Path) -> None:
    database = Database(tmp_path / "tasks.db")
    database.open()
    [first, second] = [Schedule("a", CRON, generation) for generation in (7, 8)]
    write(database, ScheduleChange("a", first), ScheduleChange("a", second))
    assert database.stored("schedules") == [second]
    write(database, ScheduleChange("a", second), ScheduleChange("a", None), ScheduleChange("b", None))
    assert database.stored("schedules") == []
    database.close()
    database.open()
    assert database.generations == 8
    database.close()
