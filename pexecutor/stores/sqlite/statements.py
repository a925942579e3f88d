"""Statements that write the changes of a transaction: few of them, however many rows there are.

SQLite executes a statement without the interpreter's lock and needs the lock again at the end. Beside a busy main
thread this takes milliseconds, so one statement per row would wait at every row. Records that change together mostly
differ in one column only, and are written by one statement: the columns that they share are bound as parameters, and
the column that differs is one JSON object, keyed by serial, which SQLite takes apart. All other records are written as
whole rows, several per statement.

Roads not taken: a view with a trigger, which makes one statement of a whole transaction, was no faster than these few;
with more than one column in the JSON, SQLite takes twice as long, and it reads times less exactly than bound ones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Final, TypeVar

from ...task import Ending, Finished, Pending, Record
from .rows import (
    COLUMNS,
    ENDED_COLUMNS,
    WAITING_COLUMNS,
    Row,
    attempts_by_serial,
    ending_text,
    serials_of,
    tasks_by_serial,
    text,
    to_ended_row,
    to_row,
    to_waiting_row,
)
from .schema import SqliteConnection, has_rare

K = TypeVar("K")
R = TypeVar("R", Pending, Finished)

WRITE: Final = f"INSERT OR REPLACE INTO tasks VALUES ({', '.join('?' * len(COLUMNS))})"

ROWS_A_STATEMENT: Final = 64
"""How many whole rows one statement writes."""

GROUP_MIN: Final = 8
"""The number of records with shared columns from which one statement for all of them pays off."""

GROUP_MAX: Final = 1000
"""The largest number of such records in one statement, whose JSON is in memory as a whole."""

ACCEPT: Final = (
    "INSERT OR REPLACE INTO tasks (serial, state, submitted_at, task)"
    " SELECT CAST(key AS INTEGER), 'pending', ?, value FROM json_each(?)"
)

END: Final = (
    "UPDATE tasks SET state = 'finished', at = ?, ending = ?, result = ?, output = ?, attempts = own.value"
    " FROM json_each(?) AS own WHERE serial = CAST(own.key AS INTEGER)"
)

END_UNTRIED: Final = (
    "UPDATE tasks SET state = 'finished', at = ?, ending = ?, result = ?, output = ?, attempts = NULL, follows = NULL,"
    " supersedes = NULL WHERE serial IN (SELECT value FROM json_each(?))"
)
"""Ends tasks that have no attempt. A task that was a follower has columns that its end no longer has."""

FORGET: Final = "DELETE FROM tasks WHERE serial IN (SELECT value FROM json_each(?))"


def select_tasks(connection: SqliteConnection) -> str:
    """Return the query for whole rows; it also works on a file of an older version, which it does not change."""
    columns = COLUMNS if has_rare(connection) else (*COLUMNS[:-1], "NULL")
    return f"SELECT {', '.join(columns)} FROM tasks"


def write_records(connection: SqliteConnection, records: Sequence[Record], unsure: Container[int] = ()) -> None:
    """Write the new states of records; of two states of one task, the later one wins.

    Parameters:
        connection: the file, in a transaction.
        records: the new states.
        unsure: serials whose rows may differ from the store's state, and must be written as whole rows.
    """
    latest = {record.serial: record for record in records}
    # If a task occurs twice, an earlier state of it is skipped here, so no row can be relied on: write whole rows.
    accepted, ended, others = _sort(latest.values(), unsure if len(latest) == len(records) else latest)
    for submitted_at, pending in _large_groups(accepted, others):
        connection.execute(ACCEPT, (submitted_at, tasks_by_serial(pending)))
    for (finished_at, ending, is_tried), finished in _large_groups(ended, others):
        statement, own = (END, attempts_by_serial) if is_tried else (END_UNTRIED, serials_of)
        shared = (finished_at, ending_text(ending), ending.result, ending.output)
        if connection.execute(statement, (*shared, own(finished))).rowcount != len(finished):
            others += finished  # it updates rows, and some of these tasks have none: write them all as whole rows
    for columns, rows in _rows_by_columns(others):
        _write_rows(connection, columns, rows)


def write_one(connection: SqliteConnection, record: Record) -> None:
    """Write the new state of one record; if that fails, leave the transaction unchanged and raise the error."""
    connection.execute("SAVEPOINT one")
    try:
        for columns, rows in _rows_by_columns([record]):
            _write_rows(connection, columns, rows)
    except BaseException:
        connection.execute("ROLLBACK TO one")
        raise
    finally:
        connection.execute("RELEASE one")


def forget(connection: SqliteConnection, serials: Sequence[int]) -> None:
    """Delete the rows of these records, if any."""
    if serials:
        connection.execute(FORGET, (text(serials),))


_Accepted = defaultdict[float, list[Pending]]
_Ended = defaultdict[tuple[float, Ending, bool], list[Finished]]


def _sort(records: Iterable[Record], unsure: Container[int]) -> tuple[_Accepted, _Ended, list[Record]]:
    """Group accepted tasks by time, and ended tasks that have a row by time, ending and whether they were tried.

    Return the rest as a list.
    """
    accepted, ended, others = _Accepted(list), _Ended(list), list[Record]()
    for record in records:
        if record.rare is not None:
            others.append(record)
        elif isinstance(record, Pending) and not record.attempts:
            accepted[record.submitted_at].append(record)
        elif isinstance(record, Finished) and record.serial not in unsure:
            ended[record.finished_at, record.ending, bool(record.attempts)].append(record)
        else:
            others.append(record)
    return accepted, ended, others


def _large_groups(groups: Mapping[K, list[R]], others: list[Record]) -> Iterator[tuple[K, list[R]]]:
    """Yield the groups that are large enough for a statement, split at ``GROUP_MAX``; add the rest to ``others``."""
    for shared, group in groups.items():
        if len(group) < GROUP_MIN:
            others += group
        else:
            for begin in range(0, len(group), GROUP_MAX):
                yield shared, group[begin : begin + GROUP_MAX]


def _rows_by_columns(records: Iterable[Record]) -> Iterator[tuple[Sequence[str], list[Row]]]:
    """Return whole rows, grouped by the columns that they need. Most tasks need few."""
    waiting, ended, others = list[Row](), list[Row](), list[Row]()
    for record in records:
        if record.rare is not None:
            others.append(to_row(record))
        elif isinstance(record, Pending) and not record.attempts:
            waiting.append(to_waiting_row(record))
        elif isinstance(record, Finished) and record.ending.output is None:
            ended.append(to_ended_row(record))
        else:
            others.append(to_row(record))
    yield from ((WAITING_COLUMNS, waiting), (ENDED_COLUMNS, ended), (COLUMNS, others))


def _write_rows(connection: SqliteConnection, columns: Sequence[str], rows: Sequence[Row]) -> None:
    for begin in range(0, len(rows), ROWS_A_STATEMENT):
        group = rows[begin : begin + ROWS_A_STATEMENT]
        connection.execute(_write(columns, len(group)), list(chain.from_iterable(group)))


@cache
def _write(columns: Sequence[str], rows: int) -> str:
    row = f"({', '.join('?' * len(columns))})"
    return f"INSERT OR REPLACE INTO tasks ({', '.join(columns)}) VALUES {', '.join([row] * rows)}"
