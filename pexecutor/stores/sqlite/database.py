"""``Database``: a store's file, and every statement that it is asked. Nothing in here awaits, or knows of threads.

The file is SQLite's, in WAL mode: a transaction is appended to a log, and is there when that has reached the disk, or
is not there at all. With ``durability`` at ``full`` every commit is flushed, so what was answered survives a power cut;
at ``normal`` it survives the death of the process, and a power cut may take the last moments.

The connection stays open through every error: SQLite undoes a transaction that failed, and the next one is written
over what was left of it.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Final, Literal, NamedTuple

from ...errors import StoreUnavailableError, UnusableStoreError
from ...task import TAG_BITS, Record
from ..mending import mended
from ..moves.marks import Mark, Role, check_not_sealed
from .file_lock import only_user_of
from .files import Files, LostFileError
from .repair import Reading, Repairs
from .rows import from_row
from .schema import SqliteConnection, migrate
from .statements import ROWS_A_STATEMENT, forget, select_tasks, write_records
from .unwritable import ALL_WRITTEN, FAULTS_OF_ROWS, Unwritten, write_one_by_one

Durability = Literal["full", "normal"]

BUSY_SECONDS_MAX: Final = 2.0
"""How long to wait for another program that holds the file."""

WAL_BYTES_KEPT_MAX: Final = 64 * 1024 * 1024
RECORDS_A_READ: Final = 2000
_LOG_BYTES_A_READ: Final = 1024 * 1024

_COUNT: Final = "UPDATE store SET acceptances = ?, transactions = transactions + 1"
"""Makes every transaction change something. One that does not, SQLite ends well without a look at the disk."""

NEW_STORE: Final = "INSERT INTO store (tag, acceptances, transactions) VALUES (?, ?, ?)"

_REASONS: Final = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk failed",
    sqlite3.SQLITE_READONLY: "the file cannot be written to",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened",
    sqlite3.SQLITE_PERM: "the file cannot be opened",
    sqlite3.SQLITE_BUSY: "another program holds the file",
    sqlite3.SQLITE_LOCKED: "another program holds the file",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_NOTADB: "the file is damaged",
}


class StoreIdentity(NamedTuple):
    """What makes the ids of a store: its tag, and how many tasks it has accepted."""

    tag: int
    acceptances: int


@contextmanager
def connected(path: Path) -> Iterator[SqliteConnection]:
    """A connection to a file that no other server uses."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with only_user_of(path):
        write_again(path.resolve().with_name(f"{path.resolve().name}-wal"))
        with closing(connect(path)) as connection:
            yield connection


def write_again(log: Path) -> None:
    """Put the bytes of a log, if there is one, where they are, and flush them.

    What a flush that failed has not written looks written, to the next process too, and no later flush writes it; all
    that comes after it would be lost with it in a power cut.
    """
    with suppress(FileNotFoundError), log.open("r+b") as file:
        while chunk := file.read(_LOG_BYTES_A_READ):
            file.seek(-len(chunk), os.SEEK_CUR)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def connect(path: Path, *, mode: Literal["rwc", "ro"] = "rwc") -> sqlite3.Connection:
    """A connection in autocommit mode, for one thread at a time."""
    return sqlite3.connect(
        f"{path.resolve().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS_MAX,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=4 * ROWS_A_STATEMENT,
    )


class Database:
    """The file of a store; used by one thread at a time.

    Parameters:
        path: where it is; it and its directory are made when they are not there.
        durability: ``full`` flushes every commit, ``normal`` does not.
        connected: makes the connection, and ends it.
    """

    def __init__(
        self,
        path: Path,
        *,
        durability: Durability = "full",
        connected: Callable[[Path], AbstractContextManager[SqliteConnection]] = connected,
    ) -> None:
        self.path = path
        self._durability = durability
        self._connected = connected
        self.after_crash: bool = False
        """Whether the last user of the file did not close it in order; known once it is opened."""
        self.repairs: Repairs = Repairs()
        """What was repaired; known once all records are read."""
        self.lost_transactions: int = 0
        """How many of the last transactions are not in the file any more, as far as can be told."""
        self._open = ExitStack()
        self._is_open = False
        self._transactions = 0
        self._acceptances = 0

    def open(self) -> StoreIdentity:
        """Open the file, or make it.

        Raises:
            UnusableStoreError: it cannot be used; says why, and what to do.
        """
        with usable(self.path), ExitStack() as opening:
            self._connection = opening.enter_context(self._connected(self.path))
            self._set_up()
            check_not_sealed(read_marks(self._connection), str(self.path))
            identity = self._identity()
            self._files = Files(self.path)
            opening.callback(self._files.close)
            self.lost_transactions = max(0, self._files.last_transaction() - self._transactions)
            self._files.note(self._transactions)
            self._open = opening.pop_all()
            self._is_open = True
        self._acceptances = identity.acceptances
        return identity

    def _set_up(self) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute(f"PRAGMA synchronous = {self._durability}")
        self._connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT_MAX}")
        migrate(self._connection, str(self.path))

    def _identity(self) -> StoreIdentity:
        with transaction(self._connection):
            row = self._connection.execute("SELECT tag, acceptances, transactions, in_use FROM store").fetchone()
            if row is None:
                row = (secrets.randbits(TAG_BITS), 0, 0, False)
                self._connection.execute(NEW_STORE, row[:3])
            self._connection.execute("UPDATE store SET in_use = 1")
        tag, acceptances, self._transactions, in_use = row
        self.after_crash = bool(in_use)
        return StoreIdentity(tag, acceptances)

    def records(self) -> Iterator[list[Record]]:
        """Give every record that can be read, in order of acceptance, some at a time; then repair the rows.

        Raises:
            UnusableStoreError: the file cannot be read.
        """
        with usable(self.path):
            reading = Reading(self._connection, RECORDS_A_READ)
            yield from reading.records()
            self.repairs = reading.repairs
            if any(self.repairs):
                with transaction(self._connection):
                    reading.write()

    def write(
        self, records: Sequence[Record], forgotten: Sequence[int], acceptances: int, unsure: Container[int] = ()
    ) -> Unwritten:
        """Write the new state of records and drop what is forgotten, in one transaction.

        Parameters:
            records: the later of two of the same task wins.
            forgotten: serials whose records are no longer kept.
            acceptances: how many tasks the store has accepted by then.
            unsure: serials of which the file may hold what the store never had.

        Returns:
            Unwritten: the records that cannot be written as they are; the others are.

        Raises:
            LostFileError: the file is not there any more, and perhaps was not when it was written.
            StoreUnavailableError: nothing of it was written; says why.
        """
        if (trouble := self.file_trouble()) is not None:
            raise StoreUnavailableError(trouble)
        unwritten = self._write(records, forgotten, acceptances, unsure)
        if (trouble := self.file_trouble()) is not None:
            raise LostFileError(trouble)
        self._transactions += 1
        self._files.note(self._transactions)
        return unwritten

    def file_trouble(self) -> str | None:
        """Return why the open file is no longer the one that the next server would open, if so."""
        return self._files.trouble()

    @property
    def is_watched(self) -> bool:
        """Whether the file is one that can be deleted or replaced."""
        return self._files.are_watched

    def _write(
        self, records: Sequence[Record], forgotten: Sequence[int], acceptances: int, unsure: Container[int]
    ) -> Unwritten:
        try:
            try:
                with transaction(self._connection):
                    write_records(self._connection, records, unsure)
                    self._complete(forgotten, acceptances)
                return ALL_WRITTEN
            except FAULTS_OF_ROWS:
                with transaction(self._connection):
                    unwritten = write_one_by_one(self._connection, records)
                    self._complete(forgotten, acceptances)
                return unwritten
        except sqlite3.Error as error:
            raise StoreUnavailableError(f"the store cannot be written: {reason(error)}") from error

    def _complete(self, forgotten: Sequence[int], acceptances: int) -> None:
        forget(self._connection, forgotten)
        self._connection.execute(_COUNT, (acceptances,))

    def close(self, in_order: bool = True) -> None:
        """Close the file, and let another server have it.

        Parameters:
            in_order: whether everything is in the file, so that the next user need not think of a crash.
        """
        with suppress(sqlite3.Error):
            if in_order and self._is_open:
                self._connection.execute("UPDATE store SET in_use = 0")
        self._is_open = False
        with suppress(sqlite3.Error):
            self._open.close()


@contextmanager
def transaction(connection: SqliteConnection) -> Iterator[None]:
    """Have what is done in here done as a whole, or not at all."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise


@contextmanager
def usable(path: Path) -> Iterator[None]:
    """Say of a file that cannot be used why, and what to do.

    Raises:
        UnusableStoreError: what is in here cannot be done with it.
    """
    try:
        yield
    except ValueError as error:
        raise UnusableStoreError(damaged(path, f"a task cannot be read: {error}")) from error
    except sqlite3.Error as error:
        if is_damage(error):
            raise UnusableStoreError(damaged(path, str(error))) from error
        raise UnusableStoreError(f"{path} cannot be used: {reason(error)}") from error
    except OSError as error:
        raise UnusableStoreError(f"{path} cannot be used: {error.strerror}") from error


def read_behind(connection: SqliteConnection, serial: int) -> list[Record]:
    """The first records behind a serial, in order of acceptance; none at the end."""
    statement = f"{select_tasks(connection)} WHERE serial > ? ORDER BY serial LIMIT ?"
    return [mended(from_row(row)) for row in connection.execute(statement, (serial, RECORDS_A_READ))]


def read_marks(connection: SqliteConnection) -> list[Mark]:
    """What moves have left in a file."""
    rows = connection.execute("SELECT move, role, other, history FROM moves")
    return [Mark(move, Role(role), other, bool(history)) for move, role, other, history in rows]


def reason(error: sqlite3.Error) -> str:
    """Why a file cannot be used, in words that a caller may read."""
    return _REASONS.get(primary_code(error), "the file cannot be used")


def is_damage(error: sqlite3.Error) -> bool:
    """Whether it is the file that is broken, and not the world around it."""
    return primary_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def primary_code(error: sqlite3.Error) -> int:
    """SQLite's result code without its extension."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def damaged(path: Path, what: str) -> str:
    """The message about a broken file."""
    return f"{path} is damaged ({what}): `pexecutor db check` tells more, `pexecutor db export` saves what can be read"
