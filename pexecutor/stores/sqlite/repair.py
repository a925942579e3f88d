"""Reading every record of a file, and repairing the file: no row stops the server or hides another row.

A record with values out of bounds (see ``mending.py``) is mended when it is read, and its row is rewritten at the end.
A row that is not a valid record is set aside: it is moved to the table ``damaged``, with the reason.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from ...task import Record
from ..mending import mended
from .reading import every_row
from .rows import COLUMNS, Row, from_row, to_row
from .schema import SqliteConnection
from .statements import WRITE, select_tasks

BYTES_A_READ: Final = 16 * 1024 * 1024
"""About how many bytes of errors are in memory at once before they are shortened."""

_ATTEMPTS: Final = COLUMNS.index("attempts")
_ENDING: Final = COLUMNS.index("ending")
_SET_ASIDE: Final = (
    f"INSERT INTO damaged (found_at, reason, {', '.join(COLUMNS)})"
    f" SELECT ?, ?, {', '.join(COLUMNS)} FROM tasks WHERE serial = ?"
)


class Repairs(NamedTuple):
    """The repairs of a file.

    Parameters:
        mended: the number of records that were bounded or made representable.
        set_aside: the number of rows that are not valid records, and were moved to the table ``damaged``.
    """

    mended: int = 0
    set_aside: int = 0


class Reading:
    """One pass over all records of a file.

    Parameters:
        connection: the file.
        records_a_read: how many records to yield at once.
    """

    def __init__(self, connection: SqliteConnection, records_a_read: int) -> None:
        self._connection: Any = connection
        self._records_a_read = records_a_read
        # Kept until the last row was read, because a file is not written while it is read.
        self._mended: list[Record] = []
        self._unreadable: list[tuple[float, str, int]] = []

    @property
    def repairs(self) -> Repairs:
        """The number of repairs so far."""
        return Repairs(len(self._mended), len(self._unreadable))

    def records(self) -> Iterator[list[Record]]:
        """Yield every record that can be read, in order of acceptance, in batches."""
        some: list[Record] = []
        size = 0
        statement = f"{select_tasks(self._connection)} WHERE serial > ? ORDER BY serial"
        for row in every_row(self._connection, statement):
            size += len(row[_ATTEMPTS] or "") + len(row[_ENDING] or "")
            some += self._read(row)
            if len(some) >= self._records_a_read or size >= BYTES_A_READ:
                yield some
                some, size = [], 0
        if some:
            yield some

    def _read(self, row: Row) -> list[Record]:
        try:
            record = from_row(row)
        except ValueError as error:
            self._unreadable.append((time.time(), str(error), row[0]))
            return []
        if (fit := mended(record)) is not record:
            self._mended.append(fit)
        return [fit]

    def write(self) -> None:
        """Write the repairs, in a transaction."""
        self._connection.executemany(WRITE, map(to_row, self._mended))
        self._connection.executemany(_SET_ASIDE, self._unreadable)
        self._connection.executemany("DELETE FROM tasks WHERE serial = ?", [(row[2],) for row in self._unreadable])
