"""How the changes of a transaction are written: in few statements, however many rows there are.

SQLite works on a statement without the interpreter's lock, and needs it back at the end. Next to a busy main thread
that takes milliseconds, so a statement a row would be held up at every row. What happens to many tasks at the same time
differs in one column alone, and is written by one statement: what they have in common is bound, and what each has for
itself stands in one JSON object, by serial, which SQLite takes apart. Everything else is written in whole rows, some to
a statement.

Roads not taken: a view with a trigger that makes one statement of a whole transaction, which was no faster than these
few; more than one column in the JSON, since SQLite takes twice as long for that, and reads times less exactly than they
are bound.
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
"""How many whole rows go into one statement."""

ALIKE_MIN: Final = 8
"""From how many tasks on that the same has happened to they have a statement of their own."""

ALIKE_MAX: Final = 1000
"""How many go into one: it is in memory as a whole."""

ACCEPT: Final = (
    "INSERT OR REPLACE INTO tasks (serial, state, submitted_at, task)"
    " SELECT CAST(key AS INTEGER), 'pending', ?, value FROM json_each(?)"
)

END: Final = (
    "UPDATE tasks SET state = 'finished', at = ?, ending = ?, result = ?, output = ?, attempts = own.value"
    " FROM json_each(?) AS own WHERE serial = CAST(own.key AS INTEGER)"
)

FORGET: Final = "DELETE FROM tasks WHERE serial IN (SELECT value FROM json_each(?))"


def select_tasks(connection: SqliteConnection) -> str:
    """Return the statement that reads whole rows, also of a file of an older version that is not to be changed."""
    columns = COLUMNS if has_rare(connection) else (*COLUMNS[:-1], "NULL")
    return f"SELECT {', '.join(columns)} FROM tasks"


def write_records(connection: SqliteConnection, records: Sequence[Record], unsure: Container[int] = ()) -> None:
    """Write the new state of records; the later of two of the same task wins.

    Parameters:
        connection: to the file, in a transaction.
        records: the new states.
        unsure: serials whose rows may be other than the store has them, and have to be written as a whole.
    """
    latest = {record.serial: record for record in records}
    accepted, ended, others = _sort(latest.values(), unsure if len(latest) == len(records) else latest)
    for submitted_at, pending in _alike(accepted, others):
        connection.execute(ACCEPT, (submitted_at, tasks_by_serial(pending)))
    for (finished_at, ending), finished in _alike(ended, others):
        shared = (finished_at, ending_text(ending), ending.result, ending.output)
        if connection.execute(END, (*shared, attempts_by_serial(finished))).rowcount != len(finished):
            others += finished  # not each of them has a row
    for columns, rows in _in_kinds(others):
        _write_rows(connection, columns, rows)


def write_one(connection: SqliteConnection, record: Record) -> None:
    """Write the new state of one record, or leave the transaction as it is and raise what stands against it."""
    connection.execute("SAVEPOINT one")
    try:
        for columns, rows in _in_kinds([record]):
            _write_rows(connection, columns, rows)
    except BaseException:
        connection.execute("ROLLBACK TO one")
        raise
    finally:
        connection.execute("RELEASE one")


def forget(connection: SqliteConnection, serials: Sequence[int]) -> None:
    """Drop what there is of these records."""
    if serials:
        connection.execute(FORGET, (text(serials),))


_Accepted = defaultdict[float, list[Pending]]
_Ended = defaultdict[tuple[float, Ending], list[Finished]]


def _sort(records: Iterable[Record], unsure: Container[int]) -> tuple[_Accepted, _Ended, list[Record]]:
    """Tasks that were accepted, by when; tasks that have ended and have their row, by when and how; and the others."""
    accepted, ended, others = _Accepted(list), _Ended(list), list[Record]()
    for record in records:
        if record.rare is not None:
            others.append(record)
        elif isinstance(record, Pending) and not record.attempts:
            accepted[record.submitted_at].append(record)
        elif isinstance(record, Finished) and record.attempts and record.serial not in unsure:
            ended[record.finished_at, record.ending].append(record)
        else:
            others.append(record)
    return accepted, ended, others


def _alike(groups: Mapping[K, list[R]], others: list[Record]) -> Iterator[tuple[K, list[R]]]:
    """The groups that are worth a statement of their own, some records at a time; the rest goes to the others."""
    for shared, group in groups.items():
        if len(group) < ALIKE_MIN:
            others += group
        else:
            for begin in range(0, len(group), ALIKE_MAX):
                yield shared, group[begin : begin + ALIKE_MAX]


def _in_kinds(records: Iterable[Record]) -> Iterator[tuple[Sequence[str], list[Row]]]:
    """Whole rows, by the columns that they need: what nearly every task becomes needs few."""
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
