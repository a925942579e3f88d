"""``connect``: a database on a ``FakeDisk`` behind the face of the standard library's ``sqlite3``.

As much of that face as the journal looks at: a ``Connection`` in autocommit mode, its cursors, and its errors with
their codes. Once the disk has crashed everything raises ``Crash``.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, Final

import apsw

from pexecutor.stores.sqlite.schema import SqliteConnection

from .disk import FakeDisk

_OPERATIONAL: Final = frozenset(
    {
        apsw.SQLITE_ERROR,
        apsw.SQLITE_PERM,
        apsw.SQLITE_ABORT,
        apsw.SQLITE_BUSY,
        apsw.SQLITE_LOCKED,
        apsw.SQLITE_READONLY,
        apsw.SQLITE_INTERRUPT,
        apsw.SQLITE_IOERR,
        apsw.SQLITE_FULL,
        apsw.SQLITE_CANTOPEN,
        apsw.SQLITE_PROTOCOL,
        apsw.SQLITE_SCHEMA,
    }
)

_CHECKPOINT: Final = re.compile(r"PRAGMA wal_autocheckpoint ?= ?(\d+)", re.IGNORECASE)
_CHANGES: Final = re.compile("INSERT|UPDATE|DELETE|REPLACE", re.IGNORECASE)


def connect(disk: FakeDisk, path: str, *, checkpoint_pages: int = 1000) -> sqlite3.Connection:
    """Open a database; the file is made when there is none.

    There is no shared memory, so the write-ahead log needs the file for itself.

    Parameters:
        disk: where the file is.
        path: its name there.
        checkpoint_pages: how many pages the log has when they are taken over into the file; SQLite's default.
    """
    return _Connection(disk, path, checkpoint_pages)  # type: ignore[return-value]  # as much of it as is used


@contextmanager
def connected(disk: FakeDisk, path: Path, *, checkpoint_pages: int = 1000) -> Iterator[SqliteConnection]:
    """What ``database.connected`` does, on this disk."""
    disk.write_again(f"{path}-wal")
    with closing(connect(disk, str(path), checkpoint_pages=checkpoint_pages)) as connection:
        yield connection


class _Connection:
    def __init__(self, disk: FakeDisk, path: str, checkpoint_pages: int) -> None:
        self._disk = disk
        self._pages_in_log = 0
        self._checkpoint_pages = checkpoint_pages
        with self.translated_errors():
            self._real = apsw.Connection(path, vfs=disk.name)
            disk.connections.append(self._real)
            self._real.set_wal_hook(self._note_commit)
            self._real.execute("PRAGMA locking_mode = EXCLUSIVE")

    @property
    def in_transaction(self) -> bool:
        return self._real.in_transaction

    @property
    def total_changes(self) -> int:
        return self._real.total_changes()

    def cursor(self) -> _Cursor:
        return _Cursor(self, self._real)

    def execute(self, sql: str, parameters: Any = ()) -> _Cursor:
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, rows: Iterable[Any]) -> _Cursor:
        return self.cursor().executemany(sql, rows)

    def executescript(self, script: str) -> _Cursor:
        return self.execute(script)

    def commit(self) -> None:
        if self.in_transaction:
            self.execute("COMMIT")

    def rollback(self) -> None:
        if self.in_transaction:
            self.execute("ROLLBACK")

    def close(self) -> None:
        """Let go of the file; as with the standard library's, nothing is said of what fails at it."""
        if not self._disk.crashed:
            with suppress(apsw.Error):
                self._real.close()

    # What a commit that went well does on top is SQLite's own affair: when its checkpoint fails, nobody is told. With
    # apsw, an error of the disk is always told. So the checkpoint is made here, and its errors stay here.

    def set_checkpoint(self, pages: int) -> None:
        """Make a checkpoint after each commit that leaves so many pages in the log."""
        self._checkpoint_pages = pages
        self._real.set_wal_hook(self._note_commit)

    def _note_commit(self, connection: apsw.Connection, database: str, pages: int) -> int:
        self._pages_in_log = pages
        return apsw.SQLITE_OK

    def after_statement(self) -> None:
        """What SQLite does once a statement is done."""
        if 0 < self._checkpoint_pages <= self._pages_in_log:
            self._pages_in_log = 0
            with suppress(apsw.Error):
                self._real.wal_checkpoint()
        self._disk.raise_if_crashed()

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        try:
            yield
        except apsw.Error as error:
            self._disk.raise_if_crashed()
            raise _translated(error) from error


class _Cursor:
    """The rows of a statement. They are read at once: apsw cannot tell of an error in a half-read one."""

    arraysize = 1

    def __init__(self, connection: _Connection, real: apsw.Connection) -> None:
        self._connection = connection
        self._real = real
        self._rows: Iterator[tuple[Any, ...]] = iter(())
        self.rowcount = -1

    @property
    def lastrowid(self) -> int:
        return self._real.last_insert_rowid()

    def execute(self, sql: str, parameters: Any = ()) -> _Cursor:
        with self._connection.translated_errors():
            self._rows = iter(list(self._real.execute(sql, parameters or None)))
        if setting := _CHECKPOINT.match(sql):
            self._connection.set_checkpoint(int(setting[1]))
        self._connection.after_statement()
        self.rowcount = self._real.changes() if _CHANGES.match(sql) else -1
        return self

    def executemany(self, sql: str, rows: Iterable[Any]) -> _Cursor:
        before = self._real.total_changes()
        with self._connection.translated_errors():
            self._real.executemany(sql, rows)
        self._connection.after_statement()
        self.rowcount = self._real.total_changes() - before
        return self

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self._rows

    def fetchone(self) -> tuple[Any, ...] | None:
        return next(self._rows, None)

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        return list(islice(self._rows, self.arraysize if size is None else size))

    def fetchall(self) -> list[tuple[Any, ...]]:
        return list(self._rows)

    def close(self) -> None:
        self._rows = iter(())


def _translated(error: apsw.Error) -> sqlite3.Error:
    """What the standard library raises in the place of an error."""
    code = getattr(error, "extendedresult", 0) or getattr(error, "result", apsw.SQLITE_ERROR)
    translated = _class_of(code & 0xFF)(str(error))
    translated.sqlite_errorcode = code
    translated.sqlite_errorname = _name_of(code)
    return translated


def _class_of(code: int) -> type[sqlite3.Error]:
    if code in _OPERATIONAL:
        return sqlite3.OperationalError
    if code in (apsw.SQLITE_CONSTRAINT, apsw.SQLITE_MISMATCH):
        return sqlite3.IntegrityError
    return sqlite3.InterfaceError if code in (apsw.SQLITE_MISUSE, apsw.SQLITE_RANGE) else sqlite3.DatabaseError


def _name_of(code: int) -> str:
    names: Sequence[dict[Any, Any]] = (apsw.mapping_extended_result_codes, apsw.mapping_result_codes)
    return next(str(found[code]) for found in names if code in found)
