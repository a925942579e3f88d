"""Reading a whole table although some of its rows are damaged: each of these is set aside, and hides no other row."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from .rows import Row
from .schema import SqliteConnection

V = TypeVar("V")


def every_row(connection: SqliteConnection, statement: str) -> Iterator[Row]:
    """Iterate over the rows of a statement, also over those with a text that is not UTF-8.

    Parameters:
        connection: the file.
        statement: selects the rows whose number is above its parameter, in ascending order; the first column is the
            number. From the first text that is not UTF-8 on, all texts are bytes.
    """
    reader: Any = connection
    last = 0
    try:
        for row in reader.execute(statement, (last,)):
            last = row[0]
            yield row
    except sqlite3.OperationalError as error:
        if "decode" not in str(error):
            raise
        reader.text_factory = bytes  # a text in the next row is not UTF-8: read it, to set the row aside
        try:
            yield from reader.execute(statement, (last,))
        finally:
            reader.text_factory = str


class TableReading(Generic[V]):
    """One pass over a table whose damaged rows go to the table ``damaged_`` and its name.

    Parameters:
        connection: the file.
        table: the name of the table.
        columns: its columns.
        from_row: returns the value of a row. Raises ``ValueError`` if the row is not valid.
    """

    def __init__(
        self, connection: SqliteConnection, table: str, columns: Sequence[str], from_row: Callable[[Row], V]
    ) -> None:
        self._connection: Any = connection
        self._table = table
        self._columns = ", ".join(columns)
        self._from_row = from_row
        self.unreadable: list[tuple[float, str, int]] = []
        """The rows that are not valid: when that was found, why, and their number."""

    def values(self) -> list[V]:
        """Return the value of every valid row, in the order of their numbers."""
        statement = f"SELECT rowid, {self._columns} FROM {self._table} WHERE rowid > ? ORDER BY rowid"
        return [value for row in every_row(self._connection, statement) for value in self._read(row)]

    def _read(self, row: Row) -> list[V]:
        number, *values = row
        try:
            return [self._from_row(tuple(values))]
        except ValueError as error:
            self.unreadable.append((time.time(), str(error), number))
            return []

    def set_aside(self) -> None:
        """Move the rows that are not valid to their own table, in a transaction."""
        self._connection.executemany(
            f"INSERT INTO damaged_{self._table} (found_at, reason, {self._columns})"
            f" SELECT ?, ?, {self._columns} FROM {self._table} WHERE rowid = ?",
            self.unreadable,
        )
        numbers = [row[2:] for row in self.unreadable]
        self._connection.executemany(f"DELETE FROM {self._table} WHERE rowid = ?", numbers)
