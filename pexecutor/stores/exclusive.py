"""One server a file: a lock that the kernel lets go of when its holder dies, however it dies.

The lock is on a file of its own beside the store's, which also tells the holder's pid. It is never removed: whoever
removes a lock file can remove one that somebody else has just locked. (Road not taken: SQLite's own exclusive mode. It
would also shut out a backup and a look into the file while the server runs.)
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import UnusableStoreError


@contextmanager
def only_user_of(path: Path) -> Iterator[None]:
    """Be the only server of a store's file.

    Raises:
        UnusableStoreError: another process is; the message tells its pid.
        OSError: the lock file cannot be made.
    """
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            raise UnusableStoreError(
                f"{path} is in use by the server with pid {pid}: stop that one, or give this one another directory"
            ) from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        yield
    finally:
        os.close(descriptor)
