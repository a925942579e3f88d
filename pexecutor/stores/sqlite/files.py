"""Checks that the files of a store are still the opened ones, and that they end where the last server left them.

If a file is deleted or replaced under a server, it stays open, and SQLite keeps writing to a file that nothing will
read. So the files under their names are compared with the opened ones: before each transaction, and again before it is
acknowledged.

If the end of the log is missing, SQLite behaves as if its last transactions had never existed. So the number of the
last transaction is also in the lock file, written after each transaction, without a flush. The number is right after
the death of a process. After a power cut it may be too low, and then no loss is detected.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from ...errors import StoreUnavailableError
from .file_lock import FILES, PRIVATE, lock_file_of, make_private

_AT: Final = 32
"""The offset of the transaction number in the lock file; the pid comes before it."""

_DIGITS: Final = 20


class LostFileError(StoreUnavailableError):
    """A file was deleted or replaced during a write. If it is put back, it may contain what was written."""


class Files:
    """The files of an open store. Files that do not exist on a real disk are not watched.

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
        """Return what has happened to a file since it was opened, and what to do; ``None`` if nothing has."""
        for file, opened in self._opened.items():
            now = _identity(file)
            if now != opened:
                what = "was deleted or moved away" if now is None else "was replaced by another file"
                return (
                    f"{file.name} {what} while the server was using it: put the original file back, or stop the server "
                    "and restore a backup"
                )
        return None

    def last_transaction(self) -> int:
        """Return the number of the last transaction that a server has noted, or 0."""
        if self._lock_file is None:
            return 0
        noted = os.pread(self._lock_file, _DIGITS, _AT).strip()
        return int(noted) if noted.isdigit() else 0

    def note(self, transaction: int) -> None:
        """Note the number of the last transaction. Errors are ignored: the number only helps to detect a loss."""
        if self._lock_file is not None:
            with suppress(OSError):
                os.pwrite(self._lock_file, b"%-*d\n" % (_DIGITS, transaction), _AT)

    def close(self) -> None:
        """Close the lock file. The lock itself belongs to another descriptor and stays."""
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None


def _identity(file: Path) -> tuple[int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
