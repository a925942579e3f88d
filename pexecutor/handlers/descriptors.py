"""Wait when the system has no file descriptor, thread or process left: a shortage never fails a task.

When a server starts, it raises the soft limit on descriptors to the hard limit. Programs that the server starts get the
original limit back, because some programs allocate or close as many descriptors as the limit allows.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, TypeVar

import trio

T = TypeVar("T")

EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.ENOBUFS})
"""Error numbers that mean that the system has no descriptor, process or memory left at the moment."""

DESCRIPTORS_OF_A_TASK_MAX: Final = 12
"""The descriptors that the start of a command needs: its pipes, ``Popen``'s pipe, the null device and the pidfd."""

DESCRIPTORS_OF_A_SERVER: Final = 64
"""The descriptors that the server itself needs: store, log, listener and event loop, with some to spare."""

PAUSE_SECONDS_MIN: Final = 0.05
PAUSE_SECONDS_MAX: Final = 1.0

_NO_THREAD: Final = "can't start new thread"

_original_limit: tuple[int, int] | None = None
"""The limit before it was raised; ``None`` if it was not raised."""


class ExhaustedError(Exception):
    """A start failed because the system lacks a resource at the moment. Nothing was started."""


def is_exhaustion(error: BaseException | None) -> bool:
    """Return whether an error, or one of its causes, means that the system lacks a resource at the moment."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in EXHAUSTED:
            return True
        if isinstance(error, RuntimeError) and str(error) == _NO_THREAD:
            return True
        if isinstance(error, BaseExceptionGroup) and any(map(is_exhaustion, error.exceptions)):
            return True
        error = error.__cause__ or error.__context__
    return False


def is_descriptor_left() -> bool:
    """Return whether a descriptor is left, for libraries that hide this cause of an error."""
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        return error.errno not in EXHAUSTED
    return True


async def retry_while_exhausted(start: Callable[[], Awaitable[T]], waits: Callable[[ExhaustedError], None]) -> T:
    """Call ``start``, and try again while the system lacks a resource.

    Parameters:
        start: starts everything, or raises ``ExhaustedError``. It must hold no resource after it has raised: otherwise
            several waiting starts could block each other.
        waits: called with the reason before the first wait.
    """
    pause = PAUSE_SECONDS_MIN
    while True:
        try:
            return await start()
        except ExhaustedError as error:
            if pause == PAUSE_SECONDS_MIN:
                waits(error)
        await trio.sleep(pause)
        pause = min(2 * pause, PAUSE_SECONDS_MAX)


def raise_limit() -> int:
    """Raise the soft limit on descriptors to the hard limit, and return the present limit."""
    global _original_limit  # noqa: PLW0603  # one process has one
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            if _original_limit is None:
                _original_limit = (soft, hard)
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def give_original_limit(pid: int) -> None:
    """Give a process that was just started the limit that the server was started with."""
    if _original_limit is not None and hasattr(resource, "prlimit"):
        with suppress(OSError, ValueError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, _original_limit)


def connections_bound(wanted: int, pool_size: int, limit: int) -> int:
    """Return how many connections a server may have so that running tasks have descriptors left.

    Parameters:
        wanted: the number of connections that the settings allow.
        pool_size: how many tasks run at once.
        limit: the limit on descriptors of this process.
    """
    left = limit - DESCRIPTORS_OF_A_SERVER - pool_size * DESCRIPTORS_OF_A_TASK_MAX
    return max(1, min(wanted, max(limit // 2, left)))
