"""Linux processes: list them, look at them, adopt and reap orphans.

Whatever the end of a process group depends on works without opening a descriptor: the table of processes may be full of
descriptors when a group has to be ended. ``/proc`` is opened once and listed through that descriptor; session, group
and resource limits are system calls. Only ``look`` opens a file.

*Orphans.* ``adopt_orphans`` makes this process a child subreaper: a process whose parent dies becomes our child, so
every process of a command is a descendant of ours for as long as it lives, whatever session or group it is in.

*The tag.* A process can leave its session and clear its environment; it keeps its resource limits. One limit is of
no use to ordinary programs: RLIMIT_RTTIME, the processor time of real-time processes. Its soft limit carries a number
that tells whose process it is. The number is larger than any time that could be used up.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

_PR_SET_CHILD_SUBREAPER: Final = 36
_RLIMIT_RTTIME: Final = 15
_TAG_BIT: Final = 1 << 61
_NO_LIMIT: Final = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
_DIRECTORY_BYTES: Final = 64 * 1024
_CHILDREN_BYTES_MAX: Final = 1024 * 1024

_libc: Final = ctypes.CDLL(None, use_errno=True)


class Seen(NamedTuple):
    """A process as ``/proc/PID/stat`` shows it.

    Parameters:
        pid: its number.
        parent: its parent's.
        group: its process group.
        session: its session.
        zombie: whether all of its threads have ended.
        started: when it was started, in clock ticks since the boot.
    """

    pid: int
    parent: int
    group: int
    session: int
    zombie: bool
    started: int


class _Held:
    """Descriptors that stay open, so that none has to be opened when there is none left."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.can_tag = _limit_is_free()
        self.directory = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.children: int | None = None
        # The kernel may be built without this file; then orphans are found among all processes.
        with suppress(FileNotFoundError):
            self.children = os.open(f"/proc/self/task/{self.pid}/children", os.O_RDONLY | os.O_CLOEXEC)


_held: _Held | None = None
_tagging: Final = threading.Lock()
"""Held while a process is forked that is to carry a tag."""

_listing: Final = threading.Lock()
"""Held while the descriptor of ``/proc`` is read, as its position is shared."""


def adopt_orphans() -> None:
    """Adopt orphans from now on, and open what ``list_processes`` needs. Calling it again changes nothing.

    Raises:
        OSError: no descriptor is left.
    """
    global _held  # noqa: PLW0603  # one process has one
    if _held is not None and _held.pid == os.getpid():
        return
    with suppress(FileNotFoundError):  # a system without /proc
        held = _Held()
        if hasattr(_libc, "prctl"):
            _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        _held = held


def list_processes() -> list[int]:
    """Return the numbers of all processes; opens no descriptor after ``adopt_orphans``."""
    if _held is None or _held.pid != os.getpid():
        with suppress(FileNotFoundError):
            return [int(path.name) for path in Path("/proc").glob("[0-9]*")]
        return []
    buffer = ctypes.create_string_buffer(_DIRECTORY_BYTES)
    found: list[int] = []
    with _listing:
        os.lseek(_held.directory, 0, os.SEEK_SET)
        while (size := _libc.getdents64(_held.directory, buffer, _DIRECTORY_BYTES)) > 0:
            found.extend(_numbers_in(buffer.raw[:size]))
    return found


def _numbers_in(entries: bytes) -> list[int]:
    """Return the numeric names of ``struct linux_dirent64`` records: length at 16, name at 19."""
    found, at = [], 0
    while at < len(entries):
        [length] = struct.unpack_from("=H", entries, at + 16)
        name = entries[at + 19 : at + length].partition(b"\0")[0]
        if name.isdigit():
            found.append(int(name))
        at += length
    return found


def our_children() -> list[int] | None:
    """Return the children of the main thread, adopted orphans among them; ``None`` where the kernel cannot tell."""
    if _held is None or _held.pid != os.getpid() or _held.children is None:
        return None
    try:
        return [int(child) for child in os.pread(_held.children, _CHILDREN_BYTES_MAX, 0).split()]
    except (OSError, ValueError):
        return None


def look(pid: int) -> Seen | None:
    """Look at a process; ``None`` when it has ended.

    Raises:
        OSError: no descriptor is left.
    """
    try:
        with Path(f"/proc/{pid}/stat").open("rb", buffering=0) as file:
            fields = file.read(4096).rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    state, parent, group, session = fields[:4]
    # A process whose first thread alone has ended looks like a zombie; field 20 counts its threads.
    zombie = state in (b"Z", b"X") and int(fields[17]) <= 1
    return Seen(pid, int(parent), int(group), int(session), zombie, int(fields[19]))


def variables_of(pid: int) -> list[bytes]:
    """Return the environment that a process was started with, as far as it may be read.

    Raises:
        OSError: no descriptor is left.
    """
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []


def session_of(pid: int) -> int | None:
    """Return the session of a process, or ``None`` when it is gone."""
    try:
        return os.getsid(pid)
    except OSError:
        return None


def group_of(pid: int) -> int | None:
    """Return the process group of a process, or ``None`` when it is gone."""
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def is_dead_child(pid: int) -> bool:
    """Whether a process is a child of ours that has ended and was not reaped."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False


def reap(pid: int) -> None:
    """Reap a child of ours that has ended."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def can_tag() -> bool:
    """Whether processes can be tagged here; known after ``adopt_orphans``."""
    return _held is not None and _held.pid == os.getpid() and _held.can_tag


def _limit_is_free() -> bool:
    """Whether the limit is there, and nobody has set it for us."""
    try:
        return hasattr(resource, "prlimit") and resource.getrlimit(_RLIMIT_RTTIME) == _NO_LIMIT
    except (OSError, ValueError):
        return False


@contextmanager
def tagging(number: int) -> Iterator[None]:
    """Have each process that is forked in here carry a number, as do its descendants; one thread at a time.

    The limit is set on ourselves, since a process that is tagged after its start may have forked before. Another thread
    may fork in here as well: processes in our own session are never taken for those of an attempt.

    Parameters:
        number: less than 2 ** 61.
    """
    if not can_tag():
        yield
        return
    with _tagging:
        resource.setrlimit(_RLIMIT_RTTIME, (_TAG_BIT | number, resource.RLIM_INFINITY))
        try:
            yield
        finally:
            resource.setrlimit(_RLIMIT_RTTIME, _NO_LIMIT)


def tag_of(pid: int) -> int | None:
    """Return the number that a process was tagged with, or ``None``."""
    try:
        limit, _ = resource.prlimit(pid, _RLIMIT_RTTIME)
    except (OSError, ValueError):
        return None
    return limit ^ _TAG_BIT if limit > 0 and limit & _TAG_BIT else None
