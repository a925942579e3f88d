"""One server a file: locks that the kernel lets go of when their holder dies, however it dies.

There are two. One is on a file of its own beside the store's, which also tells the holder's pid. It is never removed:
whoever removes a lock file can remove one that somebody else has just locked. The other one is on the store's file
itself, so a server that reaches the same file by another name (a hard link, another mount) is refused as well. It is
``flock``'s, which SQLite's own locks do not know of: a backup and a look into the file go on. (Road not taken: SQLite's
own exclusive mode. It would also shut out those.)
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
"""Who may read what tasks are told: the owner alone."""

FILES: Final = ("", "-wal", "-shm")
"""What is put behind the name of a file to have those that it consists of while it is in use."""


@contextmanager
def only_user_of(path: Path, *, make: bool = True) -> Iterator[None]:
    """Be the only server of a store's file, which is made if it is not there.

    Parameters:
        path: where it is.
        make: whether a file that is not there is made.

    Raises:
        UnusableStoreError: another process is; the message tells its pid.
        OSError: the file or the lock file cannot be made.
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
                    f"{path} is in use by a server that has it under another name (a hard link, another mount): stop "
                    "that one, or give this one another directory"
                )
            os.pwrite(lock_file, b"%-20d\n" % os.getpid(), 0)
            yield


def lock_file_of(path: Path) -> Path:
    """Return the path of the lock file beside a store's file."""
    return path.with_name(path.name + ".lock")


def make_private(path: Path) -> None:
    """Let only the owner read a store's files, as far as they are there and are ours."""
    for suffix in FILES:
        file = path.with_name(path.name + suffix)
        with suppress(FileNotFoundError, PermissionError):
            if file.stat().st_mode & 0o077:
                file.chmod(PRIVATE)


@contextmanager
def _locked(path: Path) -> Iterator[tuple[int, str | None]]:
    """A descriptor of a locked file and ``None``; or what the holder of the lock has written there."""
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
