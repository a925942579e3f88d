"""Rows that cannot be written: each fails its own task, and never the transaction of other tasks.

What is written comes from the program itself and has passed ``values.py``, so this is the last resort: a text that
has no encoding, a value that SQLite refuses.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec

from ...errors import StoreUnavailableError
from ...task import Finished, Record, Scheduled
from ..mending import failed_to_write
from .schema import SqliteConnection
from .statements import write_one

FAULTS_OF_ROWS: Final = (
    ValueError,
    TypeError,
    OverflowError,
    RecursionError,
    msgspec.MsgspecError,
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)
"""What is raised because of a value, and not because of the disk."""


class Unwritten(msgspec.Struct, frozen=True):
    """Records that were not written as they are.

    Parameters:
        replaced: by serial, what was written instead: the end of a task as failed.
        refused: by serial, why nothing was written.
    """

    replaced: dict[int, Record] = {}
    refused: dict[int, str] = {}

    def reason_against(self, records: Sequence[Record]) -> StoreUnavailableError | None:
        """Return the error for who wanted these records written, if one of them was refused."""
        if self.refused:
            for record in records:
                if (reason := self.refused.get(record.serial)) is not None:
                    return StoreUnavailableError(f"the task {record.task.name!r} cannot be written: {reason}")
        return None


ALL_WRITTEN: Final = Unwritten()


def write_one_by_one(connection: SqliteConnection, records: Sequence[Record]) -> Unwritten:
    """Write what can be written of the new states of records, in a transaction."""
    unwritten = Unwritten({}, {})
    for record in {record.serial: record for record in records}.values():
        try:
            write_one(connection, record)
        except FAULTS_OF_ROWS as error:
            reason = f"{type(error).__name__}: {error}"
            if isinstance(record, Finished | Scheduled) and record.attempts:
                unwritten.replaced[record.serial] = _replace(connection, record, reason)
            else:
                unwritten.refused[record.serial] = reason
    return unwritten


def _replace(connection: SqliteConnection, record: Finished | Scheduled, reason: str) -> Finished:
    """Write the end of the task as failed. If even that cannot be written, the file keeps the state before."""
    failed = failed_to_write(record, reason)
    with suppress(*FAULTS_OF_ROWS):
        write_one(connection, failed)
    return failed
