"""Locks for one server per file, which the kernel releases when their holder dies, however it dies.

There are two locks. The first is on a lock file beside the store's file, which also holds the pid of the holder. The
lock file is never removed, because removing it could remove a file that another process has just locked. The second
lock is on the store's file itself, so a server that reaches the same file by another name (a hard link, another mount)
is refused too. It uses ``flock``, which does not interfere with SQLite's own locks, so backups and inspections work
while a server runs. (Road not taken: SQLite's exclusive mode, which would block these too.)
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Final

from ...errors import UnusableStoreError

PRIVATE: Final = 0o600
"""The mode of the store's files: only the owner may read the params of tasks."""

FILES: Final = ("", "-wal", "-shm")
"""The suffixes of the files that make up a store while it is in use."""


@contextmanager
def only_user_of(path: Path, *, make: bool = True) -> Iterator[None]:
    """Hold the locks of a store's file, as its only server.

    Parameters:
        path: the store's file.
        make: whether to create a missing file.

    Raises:
        UnusableStoreError: another process holds a lock; the message contains its pid.
        OSError: the file or the lock file cannot be created.
    """
    path = path.resolve()
    with _locked(lock_file_of(path)) as (lock_file, pid):
        if pid is not None:
            raise UnusableStoreError(
                f"{path} is in use by the server with pid {pid}: stop that server, or use another --data-dir or --store"
            )
        # SQLite's locks end when any descriptor of the file is closed, so this one is closed after SQLite's own.
        with _locked(path) if make or path.exists() else nullcontext((-1, None)) as (_, other):
            if other is not None:
                raise UnusableStoreError(
                    f"{path} is in use by a server that opened it under another name (a hard link, another mount): "
                    "stop that server, or use another --data-dir or --store"
                )
            os.pwrite(lock_file, b"%-20d\n" % os.getpid(), 0)
            yield


def lock_file_of(path: Path) -> Path:
    """Return the path of the lock file beside a store's file."""
    return path.with_name(path.name + ".lock")


def make_private(path: Path) -> None:
    """Let only the owner read a store's files, if they exist and belong to this user."""
    for suffix in FILES:
        file = path.with_name(path.name + suffix)
        with suppress(FileNotFoundError, PermissionError):
            if file.stat().st_mode & 0o077:
                file.chmod(PRIVATE)


@contextmanager
def _locked(path: Path) -> Iterator[tuple[int, str | None]]:
    """Give a descriptor of the file and ``None`` if it could be locked, otherwise the text that the holder wrote."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield descriptor, os.pread(descriptor, 20, 0).decode(errors="replace").strip()
        else:
            yield descriptor, None
    finally:
        os.close(descriptor)
