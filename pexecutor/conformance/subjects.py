"""Subjects for the stores of one process: in memory, and in a file."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import trio

from ..errors import UnusableStoreError
from ..stores import Store
from ..stores.local.store import LocalStore
from ..stores.sqlite.database import Database, Durability
from ..stores.sqlite.journal import SqliteJournal
from .guarantee import Need, Place

_ONE_PROCESS: Final = "only one process at a time can use this store"

_POWER: Final[Mapping[Durability, str]] = {
    "full": "Each change was flushed to the disk before it was acknowledged. Whether it survives a power cut depends "
    "on the disk and was not tried; the death of the process was tried.",
    "normal": "With this durability a power cut may lose the last moments; the death of the process was tried.",
}


class MemorySubject:
    """A subject whose stores are in memory, each on its own.

    Parameters:
        make: makes a store from its settings.
    """

    shown = "memory"
    lacks: Mapping[Need, str] = {Need.DURABLE: "tasks live as long as the process", Need.SHARED: _ONE_PROCESS}
    unproved: Sequence[str] = ()

    def __init__(self, make: Callable[..., Store] = LocalStore) -> None:
        self._make = make

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Do nothing: memory needs no preparation."""
        await trio.lowlevel.checkpoint()
        yield

    def place(self) -> Place:
        """Return a place in memory."""
        return _MemoryPlace(self._make)


class _MemoryPlace:
    def __init__(self, make: Callable[..., Store]) -> None:
        self._make = make

    def open(self, **settings: Any) -> AbstractAsyncContextManager[Store]:
        return _opened(self._make(**settings))

    async def cut(self, _: Store) -> None:
        raise NotImplementedError("a guarantee that needs this does not apply")

    mend = cut


class SqliteSubject:
    """A subject whose stores are files, in a directory that is removed at the end.

    Parameters:
        directory: the parent of that directory.
        durability: how durable a change is when it is acknowledged.
        make_journal: makes a store's journal from its file.
    """

    lacks: Mapping[Need, str] = {Need.SHARED: _ONE_PROCESS}

    def __init__(
        self,
        directory: Path,
        *,
        durability: Durability = "full",
        make_journal: Callable[[Database], SqliteJournal] = SqliteJournal,
    ) -> None:
        self.shown: str = f"sqlite, in {directory}"
        self.unproved: tuple[str, ...] = (_POWER[durability],)
        self._directory = directory
        self._durability: Durability = durability
        self._make_journal = make_journal
        self._files: Path | None = None
        self._places = 0

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Create the directory, and remove it at the end.

        Raises:
            UnusableStoreError: the directory cannot be created.
        """
        await trio.lowlevel.checkpoint()
        try:
            files = tempfile.TemporaryDirectory(prefix=".pexecutor-conformance-", dir=self._directory)
        except OSError as error:
            raise UnusableStoreError(f"cannot create files in {self._directory}: {error.strerror}") from error
        with files as name:
            self._files = Path(name)
            yield

    def place(self) -> Place:
        """Return a place with a new file."""
        assert self._files is not None, "the subject is opened"
        self._places += 1
        return _SqlitePlace(self._files / f"{self._places}.db", self._durability, self._make_journal)


class _SqlitePlace:
    def __init__(self, path: Path, durability: Durability, make_journal: Callable[[Database], SqliteJournal]) -> None:
        self._path = path
        self._durability: Durability = durability
        self._make_journal = make_journal

    def open(self, **settings: Any) -> AbstractAsyncContextManager[Store]:
        journal = self._make_journal(Database(self._path, durability=self._durability))
        return _opened(LocalStore(journal=journal, **settings))

    async def cut(self, _: Store) -> None:
        """Continue with a copy of the file as it is at this instant, as the next process would find it."""
        await trio.lowlevel.checkpoint()
        copy = self._path.with_suffix(".next.db")
        for suffix in ("", "-wal"):
            file = self._path.with_name(self._path.name + suffix)
            if file.exists():
                shutil.copy(file, copy.with_name(copy.name + suffix))
        self._path = copy

    async def mend(self, _: Store) -> None:
        raise NotImplementedError("a guarantee that needs this does not apply")


@asynccontextmanager
async def _opened(store: Store) -> AsyncIterator[Store]:
    async with store.opened():
        yield store
