"""What an operator does with a store's file: check it, save the tasks in it, copy it, make it smaller.

All but the last works on a file that a server is using, and changes nothing. Saving works on a damaged one, too: it
reads forwards as far as that goes, and then backwards, so only what lies between is lost.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec

from ...errors import UnusableStoreError
from ...task import Finished, InFlight, Record
from ..mending import mended
from .database import connect, connected, is_damage, reason, usable
from .file_lock import PRIVATE, make_private
from .rows import Row, from_row
from .schema import SqliteConnection, check_version, has_rare
from .statements import select_tasks

FAULTS_TOLD_MAX: Final = 100


class Findings(msgspec.Struct):
    """What was read of a file, and what could not be."""

    in_flight: int = 0
    history: int = 0
    faults: list[str] = []
    set_aside: int = 0

    def count(self, record: Record) -> None:
        """Count a record that was read."""
        if isinstance(record, Finished):
            self.history += 1
        else:
            self.in_flight += 1


def check(path: Path) -> Findings:
    """See whether a file is whole, and every record in it can be read.

    Raises:
        UnusableStoreError: it is no store's, or cannot be read at all.
    """
    findings = Findings()
    with _reading(path) as connection:
        try:
            lines = connection.execute(f"PRAGMA integrity_check({FAULTS_TOLD_MAX})")
            findings.faults += [line for (line,) in lines if line != "ok"]
        except sqlite3.DatabaseError as error:
            findings.faults.append(str(error))
        for record in _records(connection, findings):
            findings.count(record)
        if has_rare(connection):
            with suppress(sqlite3.DatabaseError):  # then it is among the faults already
                [(findings.set_aside,)] = connection.execute("SELECT count(*) FROM damaged")
    return findings


def save(path: Path, findings: Findings) -> Iterator[InFlight]:
    """The tasks in flight, in order of acceptance, as far as they can be read.

    Parameters:
        path: the file.
        findings: told what was read, and what could not be.

    Raises:
        UnusableStoreError: it is no store's, or cannot be read at all.
    """
    with _reading(path) as connection:
        for record in _records(connection, findings):
            findings.count(record)
            if not isinstance(record, Finished):
                yield record


def back_up(path: Path, copy: Path) -> None:
    """Copy a file as it is at one instant; the copy is there as a whole or not at all.

    Raises:
        UnusableStoreError: it cannot be read, or not be copied there.
    """
    if copy.exists():
        raise UnusableStoreError(f"{copy} exists already: name another file")
    partial = copy.with_name(copy.name + ".partial")
    try:
        with suppress(FileNotFoundError):
            partial.unlink()
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, PRIVATE))
        with _reading(path) as source, closing(sqlite3.connect(partial)) as target:
            source.backup(target)
        partial.replace(copy)
    except (sqlite3.Error, OSError) as error:
        words = reason(error) if isinstance(error, sqlite3.Error) else error.strerror
        raise UnusableStoreError(f"{copy} cannot be written: {words}") from error
    finally:
        with suppress(OSError):
            partial.unlink()


def vacuum(path: Path) -> tuple[int, int]:
    """Write a file anew without the room that nothing uses; return its size before and after, in bytes.

    No server may be using it. When this is interrupted, the file is as it was.

    Raises:
        UnusableStoreError: it is no store's, in use, or cannot be written.
    """
    if not path.exists():
        raise UnusableStoreError(f"there is no file {path}: name the directory with --data-dir")
    with usable(path), connected(path) as connection:
        check_version(connection, str(path))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        before = path.stat().st_size
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        make_private(path)
        return before, path.stat().st_size


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    if not path.exists():
        raise UnusableStoreError(f"there is no file {path}: name the directory with --data-dir")
    with closing(connect(path, mode="ro")) as connection:
        try:
            check_version(connection, str(path))
        except sqlite3.Error as error:
            what = "it is damaged from its first page on" if is_damage(error) else reason(error)
            raise UnusableStoreError(f"{path} cannot be read: {what}") from error
        yield connection


def _records(connection: SqliteConnection, findings: Findings) -> Iterator[Record]:
    """Every record that can be read, in order; faults are noted."""
    last = 0
    select = select_tasks(connection)
    try:
        for row in connection.execute(f"{select} ORDER BY serial"):
            last = row[0]
            yield from _record(row, findings)
        return
    except sqlite3.DatabaseError as error:
        findings.faults.append(f"after task number {last}: {error}")
    behind: list[Row] = []
    try:
        behind.extend(connection.execute(f"{select} WHERE serial > ? ORDER BY serial DESC", (last,)))
    except sqlite3.DatabaseError as error:
        findings.faults.append(f"before task number {behind[-1][0] if behind else 'unknown'}: {error}")
    for row in reversed(behind):
        yield from _record(row, findings)


def _record(row: Row, findings: Findings) -> Iterator[Record]:
    try:
        yield mended(from_row(row))
    except ValueError as error:
        findings.faults.append(f"task number {row[0]} cannot be read: {error}")
