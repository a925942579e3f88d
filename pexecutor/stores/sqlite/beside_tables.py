"""The tables of what a store keeps beside its records, each kind in a table of its own.

The journal, the tools for a file and the moves handle all kinds alike. A new kind is a row in ``TABLES``, a field of
``BesideRecords``, and its form in ``schema.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from ..local.journal_protocol import BesideKind
from . import answer_rows, delivery_rows, limit_rows, schedule_rows
from .reading import TableReading
from .rows import Row
from .schema import SqliteConnection, version_of
from .unwritable import Unwritten

Changes = Mapping[Any, Any]
"""The new values of one kind, by their keys; ``None`` for a value that was removed."""


class BesideTable(NamedTuple):
    """The table of one kind.

    Parameters:
        noun: what a row holds, in messages.
        version: the first version of a file that has the table.
        columns: the names of its columns.
        from_row: returns the value of a row. Raises ``ValueError`` if the row is not valid.
        key: returns the key of a value, and the value as it is kept under the key.
        write: writes changes, in a transaction.
        adapt: returns the changes that remain if some records could not be written.
    """

    noun: str
    version: int
    columns: Sequence[str]
    from_row: Callable[[Row], Any]
    key: Callable[[Any], tuple[Any, Any]]
    write: Callable[[SqliteConnection, Any], None]
    adapt: Callable[[Any, Unwritten], Changes] = lambda changes, _: changes


TABLES: Final[Mapping[BesideKind, BesideTable]] = {
    "schedules": BesideTable(
        noun="schedule",
        version=4,
        columns=schedule_rows.COLUMNS,
        from_row=schedule_rows.from_row,
        key=lambda schedule: (schedule.name, schedule),
        write=schedule_rows.write_schedules,
    ),
    "answers": BesideTable(
        noun="answer",
        version=4,
        columns=answer_rows.COLUMNS,
        from_row=answer_rows.from_row,
        key=lambda keyed: (keyed.key, keyed.answer),
        write=answer_rows.write_answers,
        adapt=answer_rows.without_refused,
    ),
    "deliveries": BesideTable(
        noun="delivery",
        version=5,
        columns=delivery_rows.COLUMNS,
        from_row=delivery_rows.from_row,
        key=lambda delivery: (delivery.serial, delivery),
        write=delivery_rows.write_deliveries,
        adapt=delivery_rows.with_failures,
    ),
    "limits": BesideTable(
        noun="limit or pause",
        version=6,
        columns=limit_rows.COLUMNS,
        from_row=limit_rows.from_row,
        key=lambda change: change,
        write=limit_rows.write_limits,
    ),
}


def reading(connection: SqliteConnection, kind: BesideKind) -> TableReading[Any]:
    """Return a reading of the table of a kind."""
    table = TABLES[kind]
    return TableReading(connection, kind, table.columns, table.from_row)


def stored(connection: SqliteConnection, kind: BesideKind) -> list[Any]:
    """Return every valid value of a kind, also from a file of an older version, which it does not change."""
    if version_of(connection) < TABLES[kind].version:
        return []
    return reading(connection, kind).values()


def write_beside(
    connection: SqliteConnection, changes: Mapping[BesideKind, Changes], unwritten: Unwritten | None = None
) -> None:
    """Write changes of every kind, in a transaction.

    Parameters:
        connection: the file.
        changes: the changes of each kind.
        unwritten: the records of the step that could not be written as they are.
    """
    for kind, some in changes.items():
        table = TABLES[kind]
        table.write(connection, some if unwritten is None else table.adapt(some, unwritten))


def write_values(connection: SqliteConnection, kind: BesideKind, values: Sequence[Any]) -> None:
    """Write new values of a kind, in a transaction."""
    TABLES[kind].write(connection, dict(map(TABLES[kind].key, values)))
