"""Rows that cannot be written: each fails its own task, and not the transaction of other tasks.

The values come from the program itself and have passed ``values.py``, so this is the last resort, for a text that
cannot be encoded or a value that SQLite refuses.
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
"""The errors that a value causes, as opposed to the disk."""


class Unwritten(msgspec.Struct, frozen=True):
    """The records that could not be written as they are.

    Parameters:
        replaced: by serial, the record that was written instead: the end of the task as failed.
        refused: by serial, the reason why nothing was written.
    """

    replaced: dict[int, Record] = {}
    refused: dict[int, str] = {}

    def reason_against(self, records: Sequence[Record]) -> StoreUnavailableError | None:
        """Return the error for the caller that wanted these records written, or ``None`` if none was refused."""
        if self.refused:
            for record in records:
                if (reason := self.refused.get(record.serial)) is not None:
                    return StoreUnavailableError(f"the task {record.task.name!r} cannot be written: {reason}")
        return None


ALL_WRITTEN: Final = Unwritten()


def write_one_by_one(connection: SqliteConnection, records: Sequence[Record]) -> Unwritten:
    """Write the new states of records one by one, in a transaction; skip or replace those that cannot be written."""
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
    """Write the end of the task as failed. If even that cannot be written, the file keeps the task's earlier state."""
    failed = failed_to_write(record, reason)
    with suppress(*FAULTS_OF_ROWS):
        write_one(connection, failed)
    return failed
