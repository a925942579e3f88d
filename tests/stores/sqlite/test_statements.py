"""What is written by one statement for many comes to the rows that are written one by one."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest

from pexecutor import Attempt, Ending, Finished, Following, Outcome, Pending, Record, Scheduled, Task
from pexecutor.stores.sqlite.rows import to_row
from pexecutor.stores.sqlite.schema import migrate
from pexecutor.stores.sqlite.statements import (
    END,
    END_UNTRIED,
    FORGET,
    GROUP_MAX,
    GROUP_MIN,
    ROWS_A_STATEMENT,
    forget,
    write_records,
)
from pexecutor.task import make_serial

FIRST = make_serial(2**23 - 1, 2**40 - 10_000)
NOW = 1_764_272_871.2224317
MANY = 2 * GROUP_MIN
CANCELLED = Ending(Outcome.CANCELLED)

ENDINGS = [
    Ending(Outcome.SUCCEEDED),
    Ending(Outcome.SUCCEEDED, result=b"null"),
    Ending(Outcome.SUCCEEDED, result=b'{"a": "\\u0000"}', output=b'{"stdout":"x"}'),
    Ending(Outcome.FAILED, "Straße \N{SNOWMAN} \x00 \"'", retryable=False, retry_after_seconds=0.1),
]


class Counting:
    """A connection that knows what it was asked."""

    def __init__(self, real: sqlite3.Connection) -> None:
        self._real = real
        self.asked: list[str] = []

    @property
    def in_transaction(self) -> bool:
        return self._real.in_transaction

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        self.asked.append(sql)
        return self._real.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        return self._real.executemany(sql, parameters)

    def close(self) -> None:
        self._real.close()

    def rows(self) -> list[tuple[Any, ...]]:
        return self._real.execute("SELECT * FROM tasks ORDER BY serial").fetchall()


@pytest.fixture
def connection() -> Iterator[Counting]:
    with closing(Counting(sqlite3.connect(":memory:", isolation_level=None))) as connection:
        migrate(connection, "a test")
        connection.asked.clear()
        yield connection


def accepted(number: int, **fields: Any) -> list[Pending]:
    return [Pending(FIRST + n, Task(f"task-{n}", **fields), NOW, ()) for n in range(number)]


def ended(records: Sequence[Pending], ending: Ending) -> list[Finished]:
    attempts = [(Attempt(NOW + n / 7, NOW + n / 3, ending.outcome, ending.error),) for n in range(len(records))]
    return [
        Finished(record.serial, record.task, record.submitted_at, tried, NOW + 1 / 3, ending)
        for record, tried in zip(records, attempts, strict=True)
    ]


def one_by_one(records: Sequence[Record]) -> list[tuple[Any, ...]]:
    return sorted(map(to_row, records))


def nested(depth: int) -> dict[str, Any]:
    deep: dict[str, Any] = {}
    for _ in range(depth):
        deep = {"x": deep}
    return deep


@pytest.mark.parametrize("number", [1, GROUP_MIN - 1, GROUP_MIN, MANY, GROUP_MAX + GROUP_MIN - 1, 2 * GROUP_MAX + 50])
def test_tasks_that_are_accepted_and_end_together(connection: Counting, number: int) -> None:
    pending = accepted(number, priority=1)
    write_records(connection, pending)
    assert connection.rows() == one_by_one(pending)
    finished = ended(pending, ENDINGS[1])
    write_records(connection, finished[::-1])
    assert connection.rows() == one_by_one(finished)


@pytest.mark.parametrize("params", [{"a": [1.50, 10**18, True, None, "\x00 \N{SNOWMAN}\ud7ff\"'\\/"]}, nested(900)])
def test_any_params(connection: Counting, params: dict[str, Any]) -> None:
    pending = accepted(MANY, params=params)
    write_records(connection, pending)
    assert connection.rows() == one_by_one(pending)
    assert len(connection.asked) == 1


@pytest.mark.parametrize("ending", ENDINGS)
def test_any_ending(connection: Counting, ending: Ending) -> None:
    pending = accepted(MANY)
    write_records(connection, pending)
    connection.asked.clear()
    write_records(connection, ended(pending, ending))
    assert connection.rows() == one_by_one(ended(pending, ending))
    assert connection.asked == [END]


def test_everything_in_one_transaction(connection: Counting) -> None:
    """Some have been accepted, some have ended in each way, some were cancelled before they began."""
    pending = accepted(8 * MANY)
    parts = [pending[begin : begin + MANY] for begin in range(0, len(pending), MANY)]
    finished = [record for part, ending in zip(parts, ENDINGS, strict=False) for record in ended(part, ending)]
    cancelled = [
        Finished(record.serial, record.task, NOW, (), NOW, Ending(Outcome.CANCELLED)) for record in parts[len(ENDINGS)]
    ]
    rest = pending[5 * MANY :]
    write_records(connection, pending[: 5 * MANY])
    write_records(connection, [*rest, *cancelled, *finished])
    assert connection.rows() == one_by_one([*rest, *cancelled, *finished])


def test_tasks_in_every_waiting_state_are_cancelled_by_one_statement(connection: Counting) -> None:
    pending = accepted(3 * MANY, params={"a": 1}, delay=5)
    waiting: list[Record] = [
        *pending[:MANY],
        *(Scheduled(record.serial, record.task, NOW, (), NOW + 5) for record in pending[MANY : 2 * MANY]),
        *(Following(record.serial, record.task, NOW, (), FIRST, True) for record in pending[2 * MANY :]),
    ]
    write_records(connection, waiting)
    assert connection.rows() == one_by_one(waiting)
    cancelled = [Finished(record.serial, record.task, NOW, (), NOW + 1, CANCELLED) for record in waiting]
    connection.asked.clear()
    write_records(connection, cancelled)
    assert connection.rows() == one_by_one(cancelled)
    assert connection.asked == [END_UNTRIED]


def test_a_cancelled_task_without_a_row_is_written_whole(connection: Counting) -> None:
    pending = accepted(MANY)
    write_records(connection, pending[1:])
    cancelled = [Finished(record.serial, record.task, NOW, (), NOW + 1, CANCELLED) for record in pending]
    write_records(connection, cancelled)
    assert connection.rows() == one_by_one(cancelled)


def test_what_has_no_row_yet_is_written_whole(connection: Counting) -> None:
    pending = accepted(MANY)
    write_records(connection, pending[1:])
    finished = ended(pending, ENDINGS[0])
    write_records(connection, finished)
    assert connection.rows() == one_by_one(finished)


def test_what_the_file_may_have_otherwise_is_written_whole(connection: Counting) -> None:
    write_records(connection, accepted(MANY, priority=5))
    finished = ended(accepted(MANY), ENDINGS[0])
    write_records(connection, finished, {record.serial for record in finished})
    assert connection.rows() == one_by_one(finished)


def test_of_two_states_of_a_task_the_later_is_written_whole(connection: Counting) -> None:
    write_records(connection, accepted(MANY, priority=5))
    pending, finished = accepted(MANY), ended(accepted(MANY), ENDINGS[0])
    write_records(connection, [*pending, *finished])
    assert connection.rows() == one_by_one(finished)


def test_a_thousand_are_written_by_one_statement(connection: Counting) -> None:
    pending = accepted(1000)
    write_records(connection, pending)
    write_records(connection, ended(pending, ENDINGS[1]))
    forget(connection, [record.serial for record in pending])
    assert connection.rows() == []
    assert len(connection.asked) == 3


def test_what_differs_goes_together_in_whole_rows(connection: Counting) -> None:
    pending = accepted(ROWS_A_STATEMENT)
    write_records(connection, pending)
    endings = [Ending(Outcome.SUCCEEDED, result=str(number).encode()) for number in range(ROWS_A_STATEMENT)]
    finished = [ended([record], ending)[0] for record, ending in zip(pending, endings, strict=True)]
    connection.asked.clear()
    write_records(connection, finished)
    assert connection.rows() == one_by_one(finished)
    assert len(connection.asked) == 1


@pytest.mark.parametrize(("sql", "bound"), [(END, 5), (END_UNTRIED, 5), (FORGET, 1)])
def test_rows_are_found_by_their_serial(connection: Counting, sql: str, bound: int) -> None:
    plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", [None] * bound).fetchall()
    assert any("SEARCH tasks USING INTEGER PRIMARY KEY" in step for *_, step in plan)
    assert not any("SCAN tasks" in step for *_, step in plan)
