"""See that the files of a store stay the ones that are open, and that they end where the last server has left them.

A file that is deleted or replaced under a server stays open, and SQLite goes on writing to what nobody will ever read.
So the names are compared with what was opened: before a transaction, and once more before it is acknowledged.

A log whose end is missing looks to SQLite as if its last transactions had never been. So the number of the last
transaction also stands in the lock file, which is written after each of them, without a flush. What it tells is right
after the death of a process; after a power cut it may be behind, and then nothing is told.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from ...errors import StoreUnavailableError
from .file_lock import FILES, PRIVATE, lock_file_of, make_private

_AT: Final = 32
"""Where in the lock file the number stands; before it is the pid."""

_DIGITS: Final = 20


class LostFileError(StoreUnavailableError):
    """A file was deleted or replaced while it was written: if it comes back, what was written may be in it."""


class Files:
    """The files of a store that is open. Those that are not on a real disk are not watched.

    Parameters:
        path: the store's file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()
        self._opened = {file: _identity(file) for file in self._files() if file.exists()}
        self._lock_file: int | None = None
        self.are_watched: bool = self._path in self._opened
        if self.are_watched:
            make_private(self._path)
            self._lock_file = os.open(lock_file_of(self._path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)

    def _files(self) -> list[Path]:
        return [self._path.with_name(self._path.name + suffix) for suffix in FILES]

    def trouble(self) -> str | None:
        """Return what has happened to a file since it was opened, and what to do; ``None`` when nothing has."""
        for file, opened in self._opened.items():
            now = _identity(file)
            if now != opened:
                what = "was deleted or moved away" if now is None else "was replaced by another file"
                return (
                    f"{file.name} {what} while the server was using it: put the file back that was there, or stop the "
                    "server and restore a backup"
                )
        return None

    def last_transaction(self) -> int:
        """Return the number of the last transaction that a server has noted; 0 for none."""
        if self._lock_file is None:
            return 0
        noted = os.pread(self._lock_file, _DIGITS, _AT).strip()
        return int(noted) if noted.isdigit() else 0

    def note(self, transaction: int) -> None:
        """Note the number of the last transaction. It is a help, so an error is no trouble."""
        if self._lock_file is not None:
            with suppress(OSError):
                os.pwrite(self._lock_file, b"%-*d\n" % (_DIGITS, transaction), _AT)

    def close(self) -> None:
        """Let go of the lock file. Its lock is another descriptor's."""
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
