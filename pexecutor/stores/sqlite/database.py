"""``Database``: a store's file, and every statement on it. It is synchronous, and does not start threads.

The file is a SQLite database in WAL mode: a transaction is appended to a log. It exists once it has reached the disk,
and otherwise not at all. If ``durability`` is ``full``, every commit is flushed, so acknowledged changes survive a
power cut. If it is ``normal``, they survive the death of the process, and a power cut may lose the last moments.

The connection stays open through every error: SQLite rolls a failed transaction back, and the next transaction
overwrites its remains.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from ...errors import StoreUnavailableError, UnusableStoreError
from ...task import TAG_BITS, Record
from ...validation import error_words
from ..local.journal_protocol import BesideKind
from ..mending import mended
from ..moves.marks import Mark, Role, check_not_sealed
from .beside_tables import Changes, reading, write_beside
from .file_lock import only_user_of
from .files import Files, LostFileError
from .repair import Reading, Repairs
from .rows import from_row
from .schema import SqliteConnection, migrate
from .statements import ROWS_A_STATEMENT, forget, select_tasks, write_records
from .unwritable import ALL_WRITTEN, FAULTS_OF_ROWS, Unwritten, write_one_by_one

Durability = Literal["full", "normal"]

BUSY_SECONDS_MAX: Final = 2.0
"""How long to wait, in seconds, if another program locks the file."""

WAL_BYTES_KEPT_MAX: Final = 64 * 1024 * 1024
"""The size to which SQLite truncates the log after a checkpoint."""
RECORDS_A_READ: Final = 2000
"""How many records one read returns."""
_LOG_BYTES_A_READ: Final = 1024 * 1024

_COUNT: Final = "UPDATE store SET acceptances = ?, transactions = transactions + 1"
"""Makes every transaction change something. SQLite commits a transaction without changes without using the disk."""

_SELECT_STORE: Final = "SELECT tag, acceptances, transactions, in_use, generations FROM store"

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


NOTHING_BESIDE: Final[Mapping[BesideKind, Changes]] = MappingProxyType({})


class StoreIdentity(NamedTuple):
    """The parts of a store's ids: its tag, and how many tasks it has accepted."""

    tag: int
    acceptances: int


@contextmanager
def connected(path: Path) -> Iterator[SqliteConnection]:
    """Open a connection to a file that no other server uses."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with only_user_of(path):
        write_again(path.resolve().with_name(f"{path.resolve().name}-wal"))
        with closing(connect(path)) as connection:
            yield connection


def write_again(log: Path) -> None:
    """Write the bytes of a log, if it exists, again in their place, and flush them.

    Pages that a failed flush did not write look written, to the next process as well, and no later flush writes them.
    In a power cut, all transactions after them would be lost too.
    """
    with suppress(FileNotFoundError), log.open("r+b") as file:
        while chunk := file.read(_LOG_BYTES_A_READ):
            file.seek(-len(chunk), os.SEEK_CUR)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def connect(path: Path, *, mode: Literal["rwc", "ro"] = "rwc") -> sqlite3.Connection:
    """Return a connection in autocommit mode, for one thread at a time."""
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
        path: the file; it and its directory are created if they are missing.
        durability: ``full`` flushes every commit, ``normal`` does not.
        connected: opens the connection, and closes it.
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
        """Whether the last user of the file died without closing it; known once the file is opened."""
        self.repairs: Repairs = Repairs()
        """The repairs of the file; known once all records are read."""
        self.lost_transactions: int = 0
        """How many of the last transactions are missing from the file, if that can be detected."""
        self.generations: int = 0
        """The highest generation of a schedule that was given; known once the file is opened."""
        self._open = ExitStack()
        self._is_open = False
        self._transactions = 0
        self._acceptances = 0

    def open(self) -> StoreIdentity:
        """Open the file, or create it.

        Raises:
            UnusableStoreError: the file cannot be used; the message says why, and what to do.
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
            row = self._connection.execute(_SELECT_STORE).fetchone()
            if row is None:
                row = (secrets.randbits(TAG_BITS), 0, 0, False, 0)
                self._connection.execute(NEW_STORE, row[:3])
            self._connection.execute("UPDATE store SET in_use = 1")
        tag, acceptances, self._transactions, in_use, self.generations = row
        self.after_crash = bool(in_use)
        return StoreIdentity(tag, acceptances)

    def records(self) -> Iterator[list[Record]]:
        """Yield every record that can be read, in order of acceptance, in batches; then repair the rows.

        Raises:
            UnusableStoreError: the file cannot be read.
        """
        with usable(self.path):
            tasks = Reading(self._connection, RECORDS_A_READ)
            yield from tasks.records()
            self.repairs = tasks.repairs
            if any(self.repairs):
                with transaction(self._connection):
                    tasks.write()

    def stored(self, kind: BesideKind) -> list[Any]:
        """Return everything of a kind that can be read, in the order of its rows; then set the other rows aside.

        Raises:
            UnusableStoreError: the file cannot be read.
        """
        with usable(self.path):
            table = reading(self._connection, kind)
            values = table.values()
            if table.unreadable:
                with transaction(self._connection):
                    table.set_aside()
                self.repairs = self.repairs._replace(set_aside=self.repairs.set_aside + len(table.unreadable))
        return values

    def write(
        self,
        records: Sequence[Record],
        forgotten: Sequence[int],
        acceptances: int,
        unsure: Container[int] = (),
        beside: Mapping[BesideKind, Changes] = NOTHING_BESIDE,
    ) -> Unwritten:
        """Write the new states, delete forgotten records and change what is kept beside them, in one transaction.

        Parameters:
            records: the new states; of two states of one task, the later one wins.
            forgotten: serials of records that are no longer kept.
            acceptances: how many serials the store has drawn, including these.
            unsure: serials whose rows may hold a state that the store never had.
            beside: the changes of each kind that is kept beside records.

        Returns:
            Unwritten: the records that could not be written as they are; all others were written.

        Raises:
            LostFileError: the file is missing, and may have been missing when it was written.
            StoreUnavailableError: nothing was written; the message says why.
        """
        if (trouble := self.file_trouble()) is not None:
            raise StoreUnavailableError(trouble)
        unwritten = self._write(records, forgotten, acceptances, unsure, beside)
        if (trouble := self.file_trouble()) is not None:  # replaced meanwhile: either file may have got the changes
            raise LostFileError(trouble)
        self._transactions += 1
        self._files.note(self._transactions)
        return unwritten

    def file_trouble(self) -> str | None:
        """Return why the open file is not the one that the next server would open, or ``None`` if it is."""
        return self._files.trouble()

    @property
    def is_watched(self) -> bool:
        """Whether the file is on a real disk, where it can be deleted or replaced."""
        return self._files.are_watched

    def _write(
        self,
        records: Sequence[Record],
        forgotten: Sequence[int],
        acceptances: int,
        unsure: Container[int],
        beside: Mapping[BesideKind, Changes],
    ) -> Unwritten:
        try:
            try:
                with transaction(self._connection):
                    write_records(self._connection, records, unsure)
                    write_beside(self._connection, beside)
                    self._complete(forgotten, acceptances)
                return ALL_WRITTEN
            except FAULTS_OF_ROWS:  # a value cannot be written: find its record, and write all others
                with transaction(self._connection):
                    unwritten = write_one_by_one(self._connection, records)
                    write_beside(self._connection, beside, unwritten)
                    self._complete(forgotten, acceptances)
                return unwritten
        except sqlite3.Error as error:
            raise StoreUnavailableError(f"the store cannot be written: {reason(error)}") from error

    def _complete(self, forgotten: Sequence[int], acceptances: int) -> None:
        forget(self._connection, forgotten)
        self._connection.execute(_COUNT, (acceptances,))

    def close(self, in_order: bool = True) -> None:
        """Close the file, so that another server can use it.

        Parameters:
            in_order: whether every change is in the file, so that the next user need not expect a crash.
        """
        with suppress(sqlite3.Error):
            if in_order and self._is_open:
                self._connection.execute("UPDATE store SET in_use = 0")
        self._is_open = False
        with suppress(sqlite3.Error):
            self._open.close()


@contextmanager
def transaction(connection: SqliteConnection) -> Iterator[None]:
    """Run the context as one transaction; roll it back if it raises."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:  # also a KeyboardInterrupt: the connection must not stay in the transaction
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise


@contextmanager
def usable(path: Path) -> Iterator[None]:
    """Turn errors in this context into a message about why the file cannot be used, and what to do.

    Raises:
        UnusableStoreError: the operation failed.
    """
    try:
        yield
    except ValueError as error:
        raise UnusableStoreError(damaged(path, f"a task cannot be read: {error_words(error)}")) from error
    except sqlite3.Error as error:
        if is_damage(error):
            raise UnusableStoreError(damaged(path, str(error))) from error
        raise UnusableStoreError(f"{path} cannot be used: {reason(error)}") from error
    except OSError as error:
        raise UnusableStoreError(f"{path} cannot be used: {error.strerror}") from error


def read_after(connection: SqliteConnection, serial: int) -> list[Record]:
    """Return the next records after a serial, in order of acceptance; an empty list at the end."""
    statement = f"{select_tasks(connection)} WHERE serial > ? ORDER BY serial LIMIT ?"
    return [mended(from_row(row)) for row in connection.execute(statement, (serial, RECORDS_A_READ))]


def read_marks(connection: SqliteConnection) -> list[Mark]:
    """Return the marks that moves have left in a file."""
    rows = connection.execute("SELECT move, role, other, history FROM moves")
    return [Mark(move, Role(role), other, bool(history)) for move, role, other, history in rows]


def reason(error: sqlite3.Error) -> str:
    """Return why a file cannot be used, in words for clients: without its path."""
    return _REASONS.get(primary_code(error), "the file cannot be used")


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether the file itself is damaged, as opposed to its environment."""
    return primary_code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's result code without its extension."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def damaged(path: Path, what: str) -> str:
    """Return the message about a damaged file."""
    return f"{path} is damaged ({what}): run `pexecutor db check` for details, `pexecutor db export` to save its tasks"
