"""``FileSide``: a store's file, while tasks are moved out of it or into it. It holds the locks of the file meanwhile.

Each step writes in one transaction, so the file always shows how far the move is. The step that first writes creates a
missing file and migrates one of an older version; reading changes nothing.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import trio

from ...errors import UnusableStoreError
from ...limits.defaults import CRASHES_MAX
from ...task import Finished, Record, Running
from ..answers import KeyedAnswer
from ..deliveries import Delivery
from ..local.book import Book
from ..local.history import HistoryBounds
from ..local.journal_protocol import BesideKind, leave_as_is
from ..local.limit_settings import LimitChange
from ..local.recovery import load, recovery
from ..schedules import Schedule
from ..sqlite.beside_tables import TABLES, reading, stored, write_values
from ..sqlite.database import (
    NEW_STORE,
    StoreIdentity,
    connect,
    read_after,
    read_marks,
    transaction,
    usable,
    write_again,
)
from ..sqlite.file_lock import only_user_of
from ..sqlite.rows import to_row
from ..sqlite.schema import SqliteConnection, check_version, has_marks, migrate
from ..sqlite.statements import WRITE
from .marks import Mark
from .renumbering import More

_MARK = "INSERT OR REPLACE INTO moves VALUES (?, ?, ?, ?)"
_NUMBERS = "SELECT coalesce(max(transactions), 0), coalesce(max(generations), 0) FROM store"
_ADOPT = WRITE.replace("OR REPLACE ", "")


class FileSide:
    """A file to move tasks out of or into.

    Parameters:
        path: the file.
        must_exist: whether a missing file is an error.
        crashes_max: the number of crashes at which a task is abandoned.
        end_leftovers: called with the tasks that ran when the server died; ends the work that they left behind.
    """

    def __init__(
        self,
        path: Path,
        *,
        must_exist: bool,
        crashes_max: int = CRASHES_MAX,
        end_leftovers: Callable[[Sequence[Running]], Awaitable[None]] = leave_as_is,
    ) -> None:
        self.path: Path = path.resolve()
        self.shown: str = f"sqlite:{self.path}"
        self._must_exist = must_exist
        self._crashes_max = crashes_max
        self._end_leftovers = end_leftovers
        # Both are owned by opened(); there is no connection while there is no file.
        self._open = ExitStack()
        self._connection: SqliteConnection | None = None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Hold the locks of the file.

        Raises:
            UnusableStoreError: the file is in use, missing, empty, or cannot be used.
        """
        await trio.lowlevel.checkpoint()
        if self._must_exist:
            self._check_exists()
        with self._open:
            with usable(self.path):
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._open.enter_context(only_user_of(self.path, make=False))
                if self.path.exists() and self.path.stat().st_size:
                    self._connect()
            yield

    def _check_exists(self) -> None:
        named = "check --from, and name the server's --config or --data-dir if it has one"
        if not self.path.exists():
            raise UnusableStoreError(f"there is no file {self.path}: {named}")
        if not self.path.stat().st_size:
            raise UnusableStoreError(f"{self.path} is an empty file, without a store: {named}")

    def _connect(self) -> SqliteConnection:
        write_again(self.path.with_name(f"{self.path.name}-wal"))
        connection = self._open.enter_context(closing(connect(self.path)))
        check_version(connection, str(self.path))
        self._connection = connection
        return connection

    @contextmanager
    def _writing(self) -> Iterator[SqliteConnection]:
        """Run one step: a transaction that is on the disk at its end."""
        with usable(self.path):
            connection = self._connection or self._connect()
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = full")
            migrate(connection, str(self.path))
        with usable(self.path), transaction(connection):
            yield connection

    async def identity(self) -> StoreIdentity:
        """Return the file's tag, and how many tasks it has accepted."""
        await trio.lowlevel.checkpoint()
        row = None
        with usable(self.path):
            if self._connection is not None:
                row = self._connection.execute("SELECT tag, acceptances FROM store").fetchone()
        return StoreIdentity(0, 0) if row is None else StoreIdentity(*row)

    async def marks(self) -> list[Mark]:
        """Return the marks of earlier moves."""
        await trio.lowlevel.checkpoint()
        with usable(self.path):
            if self._connection is None or not has_marks(self._connection):
                return []
            return read_marks(self._connection)

    async def read(self, after: int) -> list[Record]:
        """Return the next records after this serial, in order of acceptance; an empty list at the end."""
        await trio.lowlevel.checkpoint()
        with usable(self.path):
            return [] if self._connection is None else read_after(self._connection, after)

    async def schedules(self) -> list[Schedule]:
        """Return every schedule that can be read."""
        return await self._stored("schedules")

    async def recover(self) -> None:
        """Recover tasks that ran when the server died, as the start of a server would."""
        one = HistoryBounds(1, math.inf)
        book = Book(successes=one, others=one, history_bytes_max=1, forget=lambda _: None)
        async with book.registry.all_locked():
            await load(self._in_flight(), book)
        running = list(book.running.values())
        await self._end_leftovers(running)
        with self._writing() as connection:
            connection.executemany(WRITE, map(to_row, recovery(book, running, time.time(), self._crashes_max)))

    async def _in_flight(self) -> AsyncIterator[list[Record]]:
        last = 0
        while some := await self.read(last):
            last = some[-1].serial
            yield [record for record in some if not isinstance(record, Finished)]

    async def seal(self, mark: Mark) -> None:
        """Leave a mark."""
        await trio.lowlevel.checkpoint()
        with self._writing() as connection:
            _leave(connection, mark)

    async def unseal(self, mark: Mark) -> None:
        """Remove a mark. No tasks have arrived with it, because they arrive in one transaction."""
        await trio.lowlevel.checkpoint()
        if self._connection is not None:
            with self._writing() as connection:
                connection.execute("DELETE FROM moves WHERE move = ?", (mark.move,))

    async def answers(self) -> list[KeyedAnswer]:
        """Return the remembered answers, the oldest first."""
        return await self._stored("answers")

    async def deliveries(self) -> list[Delivery]:
        """Return every delivery that can be read."""
        return await self._stored("deliveries")

    async def limits(self) -> list[LimitChange]:
        """Return every number and pause that can be read, with its key."""
        return await self._stored("limits")

    async def _stored(self, kind: BesideKind) -> list[Any]:
        await trio.lowlevel.checkpoint()
        with usable(self.path):
            return [] if self._connection is None else stored(self._connection, kind)

    async def adopt(
        self,
        mark: Mark,
        identity: StoreIdentity,
        more: More,
        *,
        schedules: Sequence[Schedule] = (),
        answers: Sequence[KeyedAnswer] = (),
        deliveries: Sequence[Delivery] = (),
        limits: Sequence[LimitChange] = (),
    ) -> None:
        """Take over tasks and what is kept beside them, and leave the mark, in one transaction."""
        with self._writing() as connection:
            connection.execute("DELETE FROM moves WHERE role = 'left'")
            [(transactions, generations)] = connection.execute(_NUMBERS)
            connection.execute("DELETE FROM store")
            connection.execute(NEW_STORE, (*identity, transactions))
            connection.execute("UPDATE store SET generations = ?", (generations,))
            write_values(connection, "schedules", schedules)
            try:
                while some := await more():
                    connection.executemany(_ADOPT, map(to_row, some))
            except sqlite3.IntegrityError as error:
                raise UnusableStoreError(f"{self.shown} has other tasks with the same ids: use a new store") from error
            write_values(connection, "answers", answers)
            write_values(connection, "deliveries", deliveries)
            write_values(connection, "limits", limits)
            _leave(connection, mark)

    async def let_go(self, mark: Mark) -> None:
        """Drop the moved tasks and what is kept beside them, and leave the mark, in one transaction."""
        await trio.lowlevel.checkpoint()
        with self._writing() as connection:
            connection.execute("DELETE FROM tasks WHERE ? OR state <> 'finished'", (mark.history,))
            for kind in TABLES:
                table = reading(connection, kind)
                table.values()
                table.set_aside()
                connection.execute(f"DELETE FROM {kind}")
            _leave(connection, mark)


def _leave(connection: SqliteConnection, mark: Mark) -> None:
    connection.execute(_MARK, (mark.move, mark.role.value, mark.other, mark.history))
