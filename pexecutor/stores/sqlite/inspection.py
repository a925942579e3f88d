"""An operator's tools for a store's file: check it, export its tasks, copy it, shrink it.

All but the last work on a file that a server is using, and change nothing. The export also works on a damaged file: it
reads forwards to the damage, then backwards from the end to the damage, so only the part between is lost.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from ...errors import UnusableStoreError
from ...task import Finished, InFlight, Record
from ...validation import error_words
from ..local.journal_protocol import BesideKind
from ..mending import mended
from ..schedules import Schedule
from .beside_tables import TABLES, reading, stored
from .database import connect, connected, is_damage, reason, usable
from .file_lock import PRIVATE, make_private
from .rows import Row, from_row
from .schema import SqliteConnection, check_version, has_rare, version_of
from .statements import select_tasks

FAULTS_MAX: Final = 100
"""How many faults of a file SQLite reports at most."""


class Findings(msgspec.Struct):
    """The number of records, and of each kind beside them, in a file, and the faults that were found."""

    in_flight: int = 0
    history: int = 0
    faults: list[str] = []
    set_aside: int = 0
    beside: dict[BesideKind, int] = {}

    def count(self, record: Record) -> None:
        """Count a record that was read."""
        if isinstance(record, Finished):
            self.history += 1
        else:
            self.in_flight += 1


def check(path: Path) -> Findings:
    """Check whether a file is intact, and whether every record in it can be read.

    Raises:
        UnusableStoreError: the file does not belong to a store, or cannot be read at all.
    """
    findings = Findings()
    with _reading(path) as connection:
        try:
            lines = connection.execute(f"PRAGMA integrity_check({FAULTS_MAX})")
            findings.faults += [line for (line,) in lines if line != "ok"]
        except sqlite3.DatabaseError as error:
            findings.faults.append(str(error))
        for record in _records(connection, findings):
            findings.count(record)
        if has_rare(connection):
            with suppress(sqlite3.DatabaseError):  # the integrity check has reported it already
                [(findings.set_aside,)] = connection.execute("SELECT count(*) FROM damaged")
        for kind in TABLES:
            with suppress(sqlite3.DatabaseError):
                _check_beside(connection, kind, findings)
    return findings


def _check_beside(connection: SqliteConnection, kind: BesideKind, findings: Findings) -> None:
    if version_of(connection) < TABLES[kind].version:
        return
    noun, table = TABLES[kind].noun, reading(connection, kind)
    if number := len(table.values()):
        findings.beside[kind] = number
    findings.faults += [f"{noun} number {number} cannot be read: {why}" for _, why, number in table.unreadable]
    [(set_aside,)] = connection.execute(f"SELECT count(*) FROM damaged_{kind}")
    findings.set_aside += set_aside


def save(path: Path, findings: Findings) -> Iterator[InFlight]:
    """Yield the tasks in flight that can be read, in order of acceptance.

    Parameters:
        path: the file.
        findings: records what was read, and the faults.

    Raises:
        UnusableStoreError: the file does not belong to a store, or cannot be read at all.
    """
    with _reading(path) as connection:
        for record in _records(connection, findings):
            findings.count(record)
            if not isinstance(record, Finished):
                yield record


def save_schedules(path: Path) -> list[dict[str, Any]]:
    """Return every schedule that can be read, as it was declared and with its name.

    Raises:
        UnusableStoreError: the file does not belong to a store, or cannot be read.
    """
    with _reading(path) as connection:
        return [_declared(schedule) for schedule in stored(connection, "schedules")]


def _declared(schedule: Schedule) -> dict[str, Any]:
    fields = {"name": schedule.name, **msgspec.to_builtins(schedule.definition)}
    fields.pop("given", None)  # which fields of the task were in the declaration
    return fields | ({"paused": True} if schedule.paused else {})


def save_answers(path: Path) -> list[dict[str, Any]]:
    """Return every remembered answer that can be read: the key of its request, its time, and the ids of its tasks.

    Raises:
        UnusableStoreError: the file does not belong to a store, or cannot be read.
    """
    with _reading(path) as connection:
        return [
            {**msgspec.to_builtins(key), "at": answer.at, "tasks": [verdict.id for verdict in answer.verdicts]}
            for key, answer in stored(connection, "answers")
        ]


def back_up(path: Path, copy: Path) -> None:
    """Copy a file as it is at one instant. The copy is either complete or does not exist.

    Raises:
        UnusableStoreError: the file cannot be read, or the copy cannot be written.
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
    """Rewrite a file without its unused pages; return its size before and after, in bytes.

    No server may use the file meanwhile. If this is interrupted, the file is unchanged.

    Raises:
        UnusableStoreError: the file does not belong to a store, is in use, or cannot be written.
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
    """Yield every record that can be read, in order; add the faults to the findings."""
    last = 0
    select = select_tasks(connection)
    try:
        for row in connection.execute(f"{select} ORDER BY serial"):
            last = row[0]
            yield from _record(row, findings)
        return
    except sqlite3.DatabaseError as error:
        findings.faults.append(f"after task number {last}: {error}")
    after_damage: list[Row] = []
    try:
        after_damage.extend(connection.execute(f"{select} WHERE serial > ? ORDER BY serial DESC", (last,)))
    except sqlite3.DatabaseError as error:
        findings.faults.append(f"before task number {after_damage[-1][0] if after_damage else 'unknown'}: {error}")
    for row in reversed(after_damage):
        yield from _record(row, findings)


def _record(row: Row, findings: Findings) -> Iterator[Record]:
    try:
        yield mended(from_row(row))
    except ValueError as error:
        findings.faults.append(f"task number {row[0]} cannot be read: {error_words(error)}")
