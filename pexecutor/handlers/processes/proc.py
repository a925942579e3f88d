"""Linux processes: list them, inspect them, adopt and reap orphans.

Ending a process group must work when no descriptor is left. So the functions that it needs open none: ``/proc`` is
opened once and listed through that descriptor, and session, group and resource limits come from system calls. Only
``look`` and ``variables_of`` open a file.

*Orphans.* ``adopt_orphans`` makes this process a child subreaper: a process whose parent dies becomes a child of this
process. So every process of a command stays a descendant of the server, in any session or group.

*The tag.* A process can leave its session and clear its environment, but it keeps its resource limits. One limit does
not matter to ordinary programs: RLIMIT_RTTIME, the processor time of real-time processes. Its soft limit carries a
number, the tag, that identifies the attempt. The number is larger than any time that a process could use.
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
    """A process as in ``/proc/PID/stat``.

    Parameters:
        pid: the process id.
        parent: the pid of the parent.
        group: the process group.
        session: the session.
        zombie: whether all threads of the process have ended.
        started: when the process started, in clock ticks since the boot.
    """

    pid: int
    parent: int
    group: int
    session: int
    zombie: bool
    started: int


class _ProcDescriptors:
    """Descriptors that stay open, so that processes can be listed when no descriptor is left."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.can_tag = _limit_is_free()
        self.directory = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self.children: int | None = None
        # A kernel may be built without this file. Then orphans are searched among all processes.
        with suppress(FileNotFoundError):
            self.children = os.open(f"/proc/self/task/{self.pid}/children", os.O_RDONLY | os.O_CLOEXEC)


_descriptors: _ProcDescriptors | None = None
_tagging: Final = threading.Lock()
"""Held while a process that will carry a tag is forked."""

_listing: Final = threading.Lock()
"""Held while the descriptor of ``/proc`` is read, because all readers share its position."""


def adopt_orphans() -> None:
    """Adopt orphans from now on, and open the descriptors of ``list_processes``. A second call changes nothing.

    Raises:
        OSError: no descriptor is left.
    """
    global _descriptors  # noqa: PLW0603  # one process has one
    if _descriptors is not None and _descriptors.pid == os.getpid():
        return
    with suppress(FileNotFoundError):  # a system without /proc
        opened = _ProcDescriptors()
        if hasattr(_libc, "prctl"):
            _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        _descriptors = opened


def list_processes() -> list[int]:
    """Return the pids of all processes. Opens no descriptor after ``adopt_orphans``."""
    if _descriptors is None or _descriptors.pid != os.getpid():
        with suppress(FileNotFoundError):
            return [int(path.name) for path in Path("/proc").glob("[0-9]*")]
        return []
    buffer = ctypes.create_string_buffer(_DIRECTORY_BYTES)
    found: list[int] = []
    with _listing:
        os.lseek(_descriptors.directory, 0, os.SEEK_SET)
        while (size := _libc.getdents64(_descriptors.directory, buffer, _DIRECTORY_BYTES)) > 0:
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
    """Return the children of the main thread, with adopted orphans; ``None`` if the kernel does not list them."""
    if _descriptors is None or _descriptors.pid != os.getpid() or _descriptors.children is None:
        return None
    try:
        return [int(child) for child in os.pread(_descriptors.children, _CHILDREN_BYTES_MAX, 0).split()]
    except (OSError, ValueError):
        return None


def look(pid: int) -> Seen | None:
    """Return the state of a process, or ``None`` if it has ended.

    Raises:
        OSError: no descriptor is left.
    """
    try:
        with Path(f"/proc/{pid}/stat").open("rb", buffering=0) as file:
            fields = file.read(4096).rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    state, parent, group, session = fields[:4]
    # A process looks like a zombie if only its first thread has ended; field 20 counts its threads.
    zombie = state in (b"Z", b"X") and int(fields[17]) <= 1
    return Seen(pid, int(parent), int(group), int(session), zombie, int(fields[19]))


def variables_of(pid: int) -> list[bytes]:
    """Return the environment that a process was started with, or an empty list if it may not be read.

    Raises:
        OSError: no descriptor is left.
    """
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []


def session_of(pid: int) -> int | None:
    """Return the session of a process, or ``None`` if the process is gone."""
    try:
        return os.getsid(pid)
    except OSError:
        return None


def group_of(pid: int) -> int | None:
    """Return the process group of a process, or ``None`` if the process is gone."""
    try:
        return os.getpgid(pid)
    except OSError:
        return None


def is_dead_child(pid: int) -> bool:
    """Return whether a process is a child of this process that has ended and was not reaped."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False


def reap(pid: int) -> None:
    """Reap a child of this process that has ended."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def can_tag() -> bool:
    """Return whether the system can tag processes. Valid after ``adopt_orphans``."""
    return _descriptors is not None and _descriptors.pid == os.getpid() and _descriptors.can_tag


def _limit_is_free() -> bool:
    """Return whether the system has the limit and no other program has set it for this process."""
    try:
        return hasattr(resource, "prlimit") and resource.getrlimit(_RLIMIT_RTTIME) == _NO_LIMIT
    except (OSError, ValueError):
        return False


@contextmanager
def tagging(number: int) -> Iterator[None]:
    """Tag each process that is forked in this context, and so its descendants; one thread at a time.

    Parameters:
        number: the tag; less than 2 ** 61.
    """
    if not can_tag():
        yield
        return
    with _tagging:
        # The limit is set on this process and inherited, because a child that is tagged after its start may have forked
        # already. Another thread may fork meanwhile. Its child carries the tag, too, but is in the server's session,
        # and processes of that session are never taken for processes of an attempt.
        resource.setrlimit(_RLIMIT_RTTIME, (_TAG_BIT | number, resource.RLIM_INFINITY))
        try:
            yield
        finally:
            resource.setrlimit(_RLIMIT_RTTIME, _NO_LIMIT)


def tag_of(pid: int) -> int | None:
    """Return the tag of a process, or ``None``."""
    try:
        limit, _ = resource.prlimit(pid, _RLIMIT_RTTIME)
    except (OSError, ValueError):
        return None
    return limit ^ _TAG_BIT if limit > 0 and limit & _TAG_BIT else None
