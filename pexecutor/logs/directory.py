"""The directories of log files: beside the file of a store, a temporary one for a store in memory, or one per node."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from ..stores.sqlite.file_lock import PRIVATE
from .segments import PRIVATE_DIRECTORY

NODES_MAX: Final = 1000


class Directory(Protocol):
    """A directory for the log files of one process. The functions are called in a thread."""

    @property
    def path(self) -> Path:
        """The directory; it need not exist until the first file."""

    def open(self) -> None:
        """Prepare the directory. Raises ``OSError``."""

    def close(self) -> None:
        """End the use of the directory."""


class KeptDirectory:
    """A directory that only one process uses, because another file of the store is locked.

    Parameters:
        path: the directory.
    """

    def __init__(self, path: Path) -> None:
        self.path: Path = path

    def open(self) -> None:
        """Do nothing: the directory is made with its first file."""

    def close(self) -> None:
        """Do nothing: the files stay."""


class TemporaryDirectory:
    """A private directory that is deleted at the end, for a store in memory. It is made with its first file.

    Parameters:
        parent: where to make it; ``None`` for the system's directory for temporary files.
    """

    def __init__(self, parent: Path | None = None) -> None:
        self.path = (parent or Path(tempfile.gettempdir())) / f"pexecutor-logs-{os.getpid()}-{os.urandom(8).hex()}"

    def open(self) -> None:
        """Do nothing: the directory is made with its first file."""

    def close(self) -> None:
        """Delete the directory with its files."""
        shutil.rmtree(self.path, ignore_errors=True)


class NodeDirectory:
    """The first directory below ``parent`` that no other process uses: ``1``, ``2`` and so on.

    So nodes on one machine do not disturb each other, and a node that is started again finds the files of the earlier
    one.

    Parameters:
        parent: the directory of all nodes on this machine that share a queue.
    """

    def __init__(self, parent: Path) -> None:
        self.path = parent / "1"
        self._parent = parent
        self._lock: int | None = None

    def open(self) -> None:
        """Lock a directory. Raises ``OSError``."""
        for number in range(1, NODES_MAX + 1):
            path = self._parent / str(number)
            path.mkdir(PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
            else:
                self.path, self._lock = path, lock
                return
        raise BlockingIOError(0, "too many nodes use this directory")

    def close(self) -> None:
        """Unlock the directory; the files stay."""
        if self._lock is not None:
            with suppress(OSError):
                os.close(self._lock)
            self._lock = None
